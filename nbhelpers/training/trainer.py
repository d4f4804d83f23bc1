"""transformers' Trainer for an objective of one's own and ready-made DataLoaders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from accelerate.data_loader import prepare_data_loader
from torch import nn
from torch.utils.data import DataLoader

from .arguments import check_resumable
from .batches import NO_LABEL, Batch, Objective, num_labeled, updates_per_epoch
from .graphs import GraphedStep
from .memory import keep_freed_memory
from .optimizer import check_settings
from .precision import LossScaler
from .sharing import share


class Trainer(transformers.Trainer):
    """transformers' Trainer (5.x) that minimizes an objective and takes DataLoaders as they are.

    Use it instead of `fit` for what long runs need: checkpoints, resuming, TensorBoard. With the same batches in the
    same order, and the same optimizer and seed, it gives the same weights as `fit`.

    Training uses the objective; evaluation reports the model's own cross-entropy, so that runs with different
    objectives can be compared. Under gradient accumulation every batch counts by its labeled items. The stock Trainer
    of transformers 5.23 leaves that to the model, which it passes `num_items_in_batch`. BERT and RoBERTa classifiers
    ignore that argument, so loss and gradient become `gradient_accumulation_steps` times too large
    (huggingface/transformers issue 47688).

    Under `torchrun` or `accelerate launch`, several processes train one model, each with its share of every batch. The
    learning rates stay as they are, because the batches are those of a single process, and the result is the same up
    to rounding and dropout. Each process evaluates all of dev. Objectives that need more of a model than its forward
    pass, such as those that change word embeddings, do not work then. Two processes on a CPU were tested, and no GPUs.

    Args:
        model: A transformers model with a head.
        args: From `make_training_arguments`, or any TrainingArguments.
        objective: `objective(model, batch) -> loss`, the mean over the labeled items of the batch.
        train_dataloader: Gives dicts of tensors, among them "labels".
        dev_dataloader: Read in its own order by `evaluate()`; needed for a score after each epoch.
        optimizer: From `make_optimizer`. Its learning rates are used, and the one in `args` is not. The schedule and
            the warm-up come from `args`.
        tokenizer: Saved with every checkpoint, so that a checkpoint can be loaded as a model.
        compute_metrics: As in transformers: (logits, labels) -> {name: value}. One of the names must be
            `args.metric_for_best_model`.
        callbacks: As in transformers.
        patience: Stop after this many evaluations in a row without a better score.
        threshold: For patience, a score must exceed the best one so far by more than this, as in `fit`.
        log: Called with each row of `trainer.state.log_history` as soon as there is one. Its names are those of
            transformers ("loss", "eval_loss", ...).
        graphs: On an NVIDIA GPU, compute loss and gradient by a `GraphedStep`, which is faster for small batches.
            The DataLoader must give few shapes. Not yet run on a GPU.

    Raises:
        ValueError: The settings could not train the model or be recorded as graphs, or a score is asked for that
            nothing computes.

    Example:
        def compute_metrics(prediction):
            predicted = prediction.predictions.argmax(-1)
            return {"weighted_f1": sklearn.metrics.f1_score(prediction.label_ids, predicted, average="weighted")}

        args = make_training_arguments("checkpoints", num_epochs=3, metric_for_best_model="weighted_f1")
        trainer = Trainer(model, args, objective, train_dataloader, dev_dataloader, optimizer=optimizer,
                          tokenizer=tokenizer, compute_metrics=compute_metrics)
        trainer.train(resume_from_checkpoint=last_checkpoint("checkpoints"))
    """

    loss_is_scaled_for_ga = True  # `compute_loss` averages over the whole update, so nothing is left to divide by

    def __init__(
        self,
        model: nn.Module,
        args: transformers.TrainingArguments,
        objective: Objective,
        train_dataloader: DataLoader[Any],
        dev_dataloader: DataLoader[Any] | None = None,
        *,
        optimizer: torch.optim.Optimizer,
        tokenizer: Any = None,
        compute_metrics: Callable[[Any], dict[str, float]] | None = None,
        callbacks: list[transformers.TrainerCallback] | None = None,
        patience: int | None = None,
        threshold: float = 0.0,
        log: Callable[[dict[str, float]], None] = lambda row: None,
        graphs: bool = False,
    ) -> None:
        check_settings(model, optimizer, args.num_train_epochs, args.gradient_accumulation_steps)
        check_score(args, patience, dev_dataloader, compute_metrics)
        args._n_gpu = min(args.n_gpu, 1)  # nn.DataParallel would split a token-budget batch into uneven parts
        early_stopping = [] if patience is None else [transformers.EarlyStoppingCallback(patience, threshold)]
        super().__init__(
            model=model,
            args=args,
            data_collator=train_dataloader.collate_fn,
            train_dataset=train_dataloader.dataset,
            eval_dataset=None if dev_dataloader is None else dev_dataloader.dataset,
            processing_class=tokenizer,
            compute_metrics=compute_metrics,
            callbacks=[*(callbacks or []), *early_stopping],
            optimizers=(optimizer, None),
        )
        self.remove_callback(transformers.PrinterCallback)  # it prints every row; `log` decides that here
        self.objective = objective
        self.train_dataloader = train_dataloader
        self.dev_dataloader = dev_dataloader
        self.on_log = log
        # transformers then counts the labeled items of each update and passes them as `num_items_in_batch`.
        self.model_accepts_loss_kwargs = True
        precision = "fp16" if args.fp16 else "fp32"
        self.scaler = LossScaler(args.device, precision)  # only its `check_loss` is used; accelerate scales the loss
        self.graphed_step: GraphedStep | None = None
        if graphs and args.device.type == "cuda":
            if args.world_size > 1 or args.gradient_checkpointing:
                raise ValueError("graphs are for one process without gradient checkpointing; leave one of these out")
            self.graphed_step = GraphedStep(model, objective, "bf16" if args.bf16 else precision)

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs: Any) -> Any:
        """Train as transformers does, after checking that a checkpoint belongs to a run like this one.

        Raises:
            FloatingPointError: The loss is infinite or NaN (in fp16: eleven times in a row).
            ValueError: The checkpoint was saved with another number of updates per epoch.
        """
        if isinstance(resume_from_checkpoint, str):
            steps = self.args.gradient_accumulation_steps
            check_resumable(resume_from_checkpoint, updates_per_epoch(self.train_dataloader, steps))
        if self.args.device.type == "cpu":
            keep_freed_memory()  # the next step needs as much
        return super().train(resume_from_checkpoint=resume_from_checkpoint, **kwargs)

    def training_step(self, model: nn.Module, inputs: Any, num_items_in_batch: Any = None) -> Any:
        """Stop when the loss is not finite; transformers would go on and save weights of NaN as the best ones."""
        if self.graphed_step is None:
            loss = super().training_step(model, inputs, num_items_in_batch)
        else:
            model.train()
            loss = self.graphed_step(inputs, (inputs["labels"] != NO_LABEL).sum() / num_items_in_batch.clamp(min=1))
        self.scaler.check_loss(loss.item(), update=self.state.global_step + 1)
        return loss

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the DataLoader that was passed in, on the right device; transformers would make its own."""
        if self.args.world_size == 1:
            return self.accelerator.prepare(self.train_dataloader)
        # accelerate would give each process whole batches, so that an update reads as many as there are processes
        return self.on_device(share(self.train_dataloader, self.args.process_index, self.args.world_size))

    def on_device(self, dataloader: DataLoader[Any]) -> DataLoader[Any]:
        """Return a DataLoader that all of this process reads, on the right device."""
        return prepare_data_loader(dataloader, self.args.device, num_processes=1, process_index=0, put_on_device=True)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Return the dev DataLoader that was passed in; for any other data set transformers makes one."""
        if self.dev_dataloader is not None and (eval_dataset is None or eval_dataset is self.eval_dataset):
            return self.on_device(self.dev_dataloader)
        return super().get_eval_dataloader(eval_dataset)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Pass each row of the log history to the `log` function as well."""
        super().log(logs, start_time)
        self.on_log(self.state.log_history[-1])

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """Compute the objective for training and the model's own cross-entropy for evaluation."""
        if model.training:
            num_items = (inputs["labels"] != NO_LABEL).sum()
            if self.args.world_size > 1 and not num_items:
                # nothing to learn here, but the gradients of the other processes are waited for
                return model(**inputs).logits.sum() * 0.0
            # Gradients are averaged over the processes, but `num_items_in_batch` counts the items of all of them.
            loss = self.objective(model, inputs) * self.accelerator.num_processes
            return loss * num_items / num_items_in_batch.clamp(min=1)
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate as transformers does. Each process reads all rows, so nothing is gathered."""
        if self.args.world_size > 1:
            self.gather_function = lambda tensor: tensor
        return super().evaluation_loop(*args, **kwargs)

    def prediction_step(self, model: nn.Module, inputs: Batch, *args: Any, **kwargs: Any) -> Any:
        """Return the batch's mean loss once for each of its labeled items, so that every item counts the same."""
        loss, logits, labels = super().prediction_step(model, inputs, *args, **kwargs)
        # transformers averages over all losses it gets. With one loss per batch, small batches would count too much.
        return None if loss is None else loss.expand(num_labeled(inputs)), logits, labels


def check_score(args: transformers.TrainingArguments, patience: Any, dev_dataloader: Any, compute_metrics: Any) -> None:
    """Raise a ValueError if a score decides about the run, but nothing computes it."""
    if patience is not None and dev_dataloader is None:
        raise ValueError(f"patience={patience} needs a score after each epoch; pass a dev_dataloader")
    metric = args.metric_for_best_model
    if metric not in (None, "loss", "eval_loss") and compute_metrics is None:  # the Trainer computes these itself
        raise ValueError(f"metric_for_best_model={metric!r} is not computed; pass compute_metrics, or set it to None")
    if args.eval_strategy != "no" and dev_dataloader is None:
        raise ValueError(
            "these arguments ask for a score after each epoch; pass a dev_dataloader, or set metric_for_best_model=None"
        )
