"""transformers' Trainer for an objective of one's own and ready-made DataLoaders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from torch.utils.data import DataLoader

from .batches import NO_LABEL, Batch, Objective, num_labeled
from .optimizer import SCHEDULES, check_schedule, check_settings
from .precision import check_precision


class Trainer(transformers.Trainer):
    """transformers' Trainer (5.x) that minimizes an objective and takes DataLoaders as they are.

    Use it instead of `fit` for what long runs need: checkpoints, resuming, TensorBoard. With the same batches in the
    same order, and the same optimizer and seed, it gives the same weights as `fit`.

    Training uses the objective; evaluation reports the model's own cross-entropy, so that runs with different
    objectives can be compared. Under gradient accumulation every batch counts by its labeled items. The stock Trainer
    of transformers 5.23 leaves that to the model, which it passes `num_items_in_batch`. BERT and RoBERTa classifiers
    ignore that argument, so loss and gradient become `gradient_accumulation_steps` times too large
    (huggingface/transformers issue 47688).

    One process trains on one device. Several devices need `accelerate launch`, which was not tested.

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

    Raises:
        ValueError: The settings could not train the model, or a score is asked for that nothing computes.

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

    def get_train_dataloader(self) -> DataLoader[Any]:
        """Return the DataLoader that was passed in, on the right device; transformers would make its own."""
        return self.accelerator.prepare(self.train_dataloader)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        """Return the dev DataLoader that was passed in; for any other data set transformers makes one."""
        if self.dev_dataloader is not None and (eval_dataset is None or eval_dataset is self.eval_dataset):
            return self.accelerator.prepare(self.dev_dataloader)
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
            # Gradients are averaged over the processes, but `num_items_in_batch` counts the items of all of them.
            loss = self.objective(model, inputs) * self.accelerator.num_processes
            return loss * (inputs["labels"] != NO_LABEL).sum() / num_items_in_batch.clamp(min=1)
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

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


def make_training_arguments(
    output_dir: str | Path,
    *,
    num_epochs: float,
    precision: str = "fp32",
    gradient_accumulation_steps: int = 1,
    max_grad_norm: float = 1.0,
    schedule: str = "linear",
    warmup_ratio: float = 0.1,
    gradient_checkpointing: bool = False,
    metric_for_best_model: str | None = "weighted_f1",
    tensorboard: bool = False,
    seed: int = 0,
    **others: Any,
) -> transformers.TrainingArguments:
    """Make TrainingArguments with the parameter names of `fit` and defaults that suit most fine-tuning runs.

    The run is evaluated and saved after each epoch. It keeps two checkpoints: the best one, which is loaded at the
    end, and the last one, from which a run can be resumed.

    Args:
        output_dir: Where checkpoints (and, with `tensorboard`, event files) go.
        num_epochs: Passes over the data.
        precision: "fp32", "bf16" or "fp16".
        gradient_accumulation_steps: Batches per update.
        max_grad_norm: Clip the norm of the gradient to this value; 0 turns clipping off.
        schedule: "linear", "cosine" or "constant", after the warm-up.
        warmup_ratio: The share of all steps, from 0 to below 1, in which the learning rate rises.
        gradient_checkpointing: Recompute activations in the backward pass instead of storing them. This saves memory
            and takes more time.
        metric_for_best_model: The name of the score in what `compute_metrics` returns; higher is better. With None
            the run is neither evaluated nor saved, and ends with its last weights.
        tensorboard: Write event files for TensorBoard.
        seed: Set by the Trainer before training.
        **others: Any other argument of TrainingArguments.

    Raises:
        ValueError: The precision, the schedule or the warm-up ratio is not one of those above.

    >>> args = make_training_arguments("checkpoints", num_epochs=3, metric_for_best_model=None)
    >>> args.num_train_epochs, str(args.save_strategy.value)
    (3, 'no')
    """
    check_precision(precision)
    check_schedule(schedule, warmup_ratio)
    has_metric = metric_for_best_model is not None
    defaults = {
        "eval_strategy": "epoch" if has_metric else "no",
        "save_strategy": "epoch" if has_metric else "no",
        "save_total_limit": 2,
        "load_best_model_at_end": has_metric,
        # Early stopping continues its count after a resume instead of starting at 0.
        "restore_callback_states_from_checkpoint": True,
        "metric_for_best_model": metric_for_best_model,
        "greater_is_better": True if has_metric else None,
        "logging_steps": 10,
        "disable_tqdm": True,
        "use_cpu": not (torch.cuda.is_available() or torch.backends.mps.is_available()),
    }
    return transformers.TrainingArguments(
        output_dir=str(output_dir),
        num_train_epochs=num_epochs,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        gradient_accumulation_steps=gradient_accumulation_steps,
        max_grad_norm=max_grad_norm,
        lr_scheduler_type=SCHEDULES[schedule],
        warmup_steps=warmup_ratio,  # transformers 5 reads a number below 1 as a share of all steps
        activation_checkpointing=gradient_checkpointing,
        report_to="tensorboard" if tensorboard else "none",
        seed=seed,
        **{**defaults, **others},
    )


def last_checkpoint(output_dir: str | Path) -> str | None:
    """Find the newest complete checkpoint, to resume from with `trainer.train(resume_from_checkpoint=...)`.

    A run that was killed while it saved leaves an incomplete checkpoint. `resume_from_checkpoint=True` would take
    that one and fail.

    Returns:
        The checkpoint's path, or None if there is none: the Trainer then starts from the beginning.

    >>> last_checkpoint("no_such_folder") is None
    True
    """
    # transformers writes trainer_state.json last, so a checkpoint that has it is complete.
    complete = [path.parent for path in Path(output_dir).glob("checkpoint-*/trainer_state.json")]
    return str(max(complete, key=lambda path: int(path.name.split("-")[1]))) if complete else None
