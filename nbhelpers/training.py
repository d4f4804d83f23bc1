"""Training: a loop that can be read in one go (`fit`), and transformers' Trainer made to take an objective (`Trainer`).

Both minimise any `objective(model, batch) -> loss` whose loss is a mean over the batch's labelled items, both keep the
best model by a dev score, and with the same batches, optimizer and seed both give the same curve.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.utils.data import DataLoader

Batch = Mapping[str, Tensor]
Objective = Callable[[nn.Module, Batch], Tensor]
SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}  # here -> transformers
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def fit(
    model: nn.Module,
    dataloader: DataLoader[Any],
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    *,
    num_epochs: int,
    evaluate: Callable[[nn.Module], float] | None = None,
    precision: str = "fp32",
    gradient_accumulation_steps: int = 1,
    max_grad_norm: float = 1.0,
    patience: int | None = None,
    threshold: float = 0.0,
    log: Callable[[dict[str, float]], None] = lambda row: None,
) -> list[dict[str, float]]:
    """Train the model in place and leave it with the weights of the epoch that scored best on dev.

    Args:
        dataloader: dicts of tensors with "labels"; if the batch sampler has `set_epoch`, it is called.
        objective: `objective(model, batch) -> loss`, a mean over the batch's labelled items.
        optimizer, scheduler: from `make_optimizer` and `make_scheduler`; the scheduler moves once per update.
        evaluate: `evaluate(model) -> score` on dev after each epoch, higher is better; None keeps the last epoch.
        precision: "fp32", "bf16", or "fp16" (with loss scaling).
        gradient_accumulation_steps: batches per update. Each counts by its labelled items, so that the gradient is the one of a single
            big batch, also when the batches differ in size.
        max_grad_norm: longer gradients are scaled down to this norm; 0 switches it off.
        patience: stop after this many epochs in a row without a better score.
        threshold: a score counts as better, for patience, when it exceeds the best so far by more than this. The best
            weights are kept whatever the margin, as in transformers' EarlyStoppingCallback.
        log: called with each row of the history as it comes.

    Returns: the history, a dict per update (step, epoch, train_loss, lr of the encoder's last layer) and per epoch
    (step, epoch, dev_score).

    Raises FloatingPointError when the loss is not finite (in fp16: eleven times in a row), ValueError for settings that
    could not train.
    """
    check_settings(model, optimizer, num_epochs, gradient_accumulation_steps, patience is not None and evaluate is None)
    device, step = next(model.parameters()).device, 0
    history: list[dict[str, float]] = []
    waited, skipped, best_score, best_weights = 0, 0, -math.inf, None
    scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16")
    for epoch in range(1, num_epochs + 1):
        set_epoch(dataloader, epoch - 1)
        for micro_batches in groups(dataloader, gradient_accumulation_steps):
            model.train()
            num_items = max(1, sum(num_labeled(batch) for batch in micro_batches))
            total = torch.zeros((), device=device)
            for batch in micro_batches:
                batch = {name: tensor.to(device) for name, tensor in batch.items()}
                with autocast(device, precision):
                    loss = objective(model, batch) * num_labeled(batch) / num_items
                scaler.scale(loss).backward()
                total += loss.detach()
            train_loss = total.item()
            skipped = 0 if math.isfinite(train_loss) else skipped + 1  # in fp16 the scaler skips such an update
            if skipped > (10 if precision == "fp16" else 0):
                raise FloatingPointError(f"update {step + 1}: the loss is {train_loss}; lower lr, or use fp32")
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm or math.inf)
            rates = zip(scheduler.get_last_lr(), scheduler.base_lrs, strict=True)
            factor = max((now / base for now, base in rates if base), default=0.0)  # a group may have the rate 0
            step, lr = step + 1, optimizer.defaults["lr"] * factor
            scaler.step(optimizer)
            scaler.update()
            scheduler.step()
            optimizer.zero_grad()
            history.append(
                {
                    "step": step,
                    "epoch": step / updates_per_epoch(dataloader, gradient_accumulation_steps),
                    "train_loss": train_loss,
                    "lr": lr,
                }
            )
            log(history[-1])
        if evaluate is not None:
            score = evaluate(model)
            history.append({"step": step, "epoch": epoch, "dev_score": score})
            log(history[-1])
            waited = 0 if score - best_score > threshold else waited + 1
            if score > best_score:
                best_score = score
                best_weights = {x: tensor.detach().to("cpu", copy=True) for x, tensor in model.state_dict().items()}
            if patience is not None and waited >= patience:
                break
    if best_weights is not None:
        model.load_state_dict(best_weights)
    return history


def check_settings(
    model: nn.Module, optimizer: Any, num_epochs: float, gradient_accumulation_steps: int, no_score: bool
) -> None:
    """Refuse what would train nothing without saying so."""
    if gradient_accumulation_steps < 1 or num_epochs <= 0:
        raise ValueError(
            f"gradient_accumulation_steps={gradient_accumulation_steps} and num_epochs={num_epochs} must be at least 1"
        )
    if no_score:
        raise ValueError("patience and a best epoch need a score on dev; pass what computes it")
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not any(id(parameter) in held for parameter in model.parameters()):
        raise ValueError("the optimizer holds no parameter of this model; make it from this model")


def num_labeled(batch: Batch) -> int:
    """How many items of the batch have a label (are not -100): what its mean loss was divided by."""
    return int((batch["labels"] != -100).sum())


def groups(batches: Iterable[Batch], size: int) -> Iterator[list[Batch]]:
    """`size` batches at a time; the last group of an epoch may be smaller.

    >>> [len(group) for group in groups([{}, {}, {}], 2)]
    [2, 1]
    """
    iterator = iter(batches)
    return iter(lambda: list(itertools.islice(iterator, size)), [])


def updates_per_epoch(dataloader: DataLoader[Any], gradient_accumulation_steps: int = 1) -> int:
    """Optimizer steps in one pass over the batches."""
    return math.ceil(len(dataloader) / gradient_accumulation_steps)


def set_epoch(dataloader: DataLoader[Any], epoch: int) -> None:
    """Tell the batch sampler which epoch's order to give, if it can be told."""
    sampler: Any = dataloader.batch_sampler
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which matrix products run in "bf16" or "fp16"; weights stay fp32. For "fp32" it does nothing."""
    if precision not in DTYPES:
        raise ValueError(f"precision {precision!r} is not one of {', '.join(DTYPES)}")
    return torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32")


@torch.no_grad()
def predict(model: nn.Module, dataloader: DataLoader[Any], *, precision: str = "fp32") -> Tensor:
    """Logits for every item, in the order of the data set, whatever the order of the batches; leaves eval() mode on.

    Returns: [items, classes], fp32, on the CPU. Where an example has a label per token or per turn, its items are those
    with a label (not -100).
    """
    device, dataset, collate = next(model.parameters()).device, dataloader.dataset, dataloader.collate_fn
    model.eval()
    found: dict[int, Tensor] = {}
    for indices in dataloader.batch_sampler or ():
        batch = collate([dataset[index] for index in indices])
        inputs = {name: tensor.to(device) for name, tensor in batch.items() if name != "labels"}
        with autocast(device, precision):
            logits = model(**inputs).logits.float().cpu()
        if logits.ndim == 2:
            logits = logits.unsqueeze(1)  # [batch, 1, classes]
            labelled = torch.ones(logits.shape[:2], dtype=torch.bool)
        else:
            labelled = batch["labels"] != -100
        found |= {index: row[mask] for index, row, mask in zip(indices, logits, labelled, strict=True)}
    return torch.cat([found[index] for index in range(len(found))])


def is_encoder(model: nn.Module, name: str) -> bool:
    """Whether the parameter of this name belongs to the pre-trained encoder (else: to the head).

    Raises ValueError when the model does not say which part is its encoder, as transformers' models do.
    """
    if not hasattr(model, "base_model_prefix"):
        raise ValueError(f"a {type(model).__name__} has no base_model_prefix; pass a transformers model with a head")
    inner = re.sub(r"^(module\.|_orig_mod\.|base_model\.model\.)+", "", name)  # added by DDP, compile, peft
    return inner.startswith(f"{model.base_model_prefix}.")


def freeze_encoder(model: nn.Module) -> None:
    """Train only the head: the encoder's parameters get no gradient."""
    for name, parameter in model.named_parameters():
        if is_encoder(model, name):
            parameter.requires_grad_(False)


def make_optimizer(
    model: nn.Module,
    lr: float,
    *,
    head_lr: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 0.01,
) -> torch.optim.AdamW:
    """Fused AdamW with bias correction; biases and LayerNorm are not decayed.

    Args:
        lr: peak learning rate of the encoder's last layer.
        head_lr: that of the head; default `lr`.
        layer_decay: each encoder layer below the last gets this times the rate of the one above, the embeddings one
            time more (layer-wise learning-rate decay; Howard and Ruder 2018, arXiv 1801.06146). 1.0 switches it off.
        weight_decay: of weight matrices and embeddings.

    Raises ValueError when no parameter is trainable.
    """
    layer = re.compile(r"\.layers?\.(\d+)\.")
    depth = {name: int(found[1]) for name, _ in model.named_parameters() if (found := layer.search(name))}
    top = max(depth.values(), default=0)
    parameters = defaultdict(list)
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if not is_encoder(model, name):
            rate = lr if head_lr is None else head_lr
        elif name in depth or "embeddings" in name:
            rate = lr * layer_decay ** (top - depth.get(name, -1))
        else:
            rate = lr  # a pooler or a final norm, above the last layer
        parameters[rate, weight_decay if parameter.ndim > 1 else 0.0].append(parameter)
    if not parameters:
        raise ValueError("no parameter of the model is trainable; set requires_grad on some before training")
    groups = [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in parameters.items()]
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    return torch.optim.AdamW(groups, lr=lr, fused=fused)


def make_scheduler(
    optimizer: torch.optim.Optimizer, num_steps: int, *, schedule: str = "linear", warmup_ratio: float = 0.1
) -> torch.optim.lr_scheduler.LRScheduler:
    """Linear warm-up over the first `warmup_ratio` share of the steps, then "linear" or "cosine" down to 0, or "constant"."""
    check_schedule(schedule, warmup_ratio)
    return transformers.get_scheduler(SCHEDULES[schedule], optimizer, math.ceil(warmup_ratio * num_steps), num_steps)


def check_schedule(schedule: str, warmup_ratio: float) -> None:
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule {schedule!r} is not one of {', '.join(SCHEDULES)}")
    if not 0 <= warmup_ratio < 1:
        raise ValueError(f"warmup_ratio={warmup_ratio}: it is a share of all steps, from 0 to below 1")


class Trainer(transformers.Trainer):
    """transformers' Trainer (5.x) that minimises an objective and reads batches as they are given.

    In training the loss is the objective's; in evaluation it is the model's own plain cross-entropy. Under gradient
    accumulation every micro-batch counts by its labelled items. The stock Trainer of transformers 5.23 relies there on
    the model to divide by `num_items_in_batch`, which BERT and RoBERTa classifiers ignore: its loss and gradient come
    out `gradient_accumulation_steps` times too large (huggingface/transformers issue 47688).

    Args:
        model: a transformers model with a head.
        args: from `make_training_arguments`, or any TrainingArguments.
        objective: `objective(model, batch) -> loss`, a mean over the batch's labelled items.
        train_dataloader, dev_dataloader: DataLoaders; `evaluate()` reads dev_dataloader in their order.
        optimizer: from `make_optimizer`; the learning rates in it count, the one in args does not.
        tokenizer: saved with every checkpoint, so that a checkpoint can be loaded as a model.
        compute_metrics, callbacks: as in transformers.
        patience: stop after this many evaluations without a better score (needs `dev_dataloader`).
        threshold: by how much a score must exceed the best so far to count as better for patience, as in `fit`.
        log: called with each row of `trainer.state.log_history` as it comes.

    One process drives one device; several devices go through `accelerate launch`, which was not tested.
    """

    loss_is_scaled_for_ga = True

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
        scored = args.metric_for_best_model not in (None, "loss", "eval_loss")
        no_score = (patience is not None and dev_dataloader is None) or (scored and compute_metrics is None)
        check_settings(model, optimizer, args.num_train_epochs, args.gradient_accumulation_steps, no_score)
        args._n_gpu = min(args.n_gpu, 1)  # nn.DataParallel would split a token-budget batch into uneven parts
        stop = [] if patience is None else [transformers.EarlyStoppingCallback(patience, threshold)]
        super().__init__(
            model=model,
            args=args,
            data_collator=train_dataloader.collate_fn,
            train_dataset=train_dataloader.dataset,
            eval_dataset=None if dev_dataloader is None else dev_dataloader.dataset,
            processing_class=tokenizer,
            compute_metrics=compute_metrics,
            callbacks=[*(callbacks or []), *stop],
            optimizers=(optimizer, None),
        )
        self.remove_callback(transformers.PrinterCallback)  # `log` is there for that
        self.objective, self.train_dataloader, self.dev_dataloader, self.on_log = (
            objective,
            train_dataloader,
            dev_dataloader,
            log,
        )
        self.model_accepts_loss_kwargs = True  # makes the Trainer count the labelled items of an update

    def get_train_dataloader(self) -> DataLoader[Any]:
        return self.accelerator.prepare(self.train_dataloader)

    def get_eval_dataloader(self, eval_dataset: Any = None) -> DataLoader[Any]:
        if self.dev_dataloader is not None and (eval_dataset is None or eval_dataset is self.eval_dataset):
            return self.accelerator.prepare(self.dev_dataloader)
        return super().get_eval_dataloader(eval_dataset)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        super().log(logs, start_time)
        self.on_log(self.state.log_history[-1])

    def compute_loss(
        self, model: nn.Module, inputs: Batch, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        if model.training:
            loss = self.objective(model, inputs) * self.accelerator.num_processes
            return loss * (inputs["labels"] != -100).sum() / num_items_in_batch.clamp(min=1)
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss

    def prediction_step(self, model: nn.Module, inputs: Batch, *args: Any, **kwargs: Any) -> Any:
        loss, logits, labels = super().prediction_step(model, inputs, *args, **kwargs)
        # The stock loop averages over batches; with one loss per labelled item it averages over items.
        return None if loss is None else loss.expand(num_labeled(inputs)), logits, labels


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
    """TrainingArguments in this course's words, with what most runs want.

    Evaluates and saves after each epoch, keeps the best checkpoint (by `metric_for_best_model`, a name that compute_metrics gives;
    higher is better) and the last one to resume from, and loads the best at the end. `metric_for_best_model=None` does none of these.

    Args:
        output_dir: where checkpoints (and, with `tensorboard`, event files) go.
        precision: "fp32", "bf16" or "fp16".
        schedule: "linear", "cosine" or "constant", after a warm-up over the first `warmup_ratio` share of all steps.
        gradient_checkpointing: compute activations again in the backward pass instead of keeping them: less memory, more time.
        others: any further argument of TrainingArguments.
    """
    if precision not in DTYPES:
        raise ValueError(f"precision {precision!r} is not one of {', '.join(DTYPES)}")
    check_schedule(schedule, warmup_ratio)
    by_epoch = "no" if metric_for_best_model is None else "epoch"
    defaults = {
        "eval_strategy": by_epoch,
        "save_strategy": by_epoch,
        "save_total_limit": 2,
        "load_best_model_at_end": metric_for_best_model is not None,
        "restore_callback_states_from_checkpoint": True,  # early stopping goes on counting after a resume
        "metric_for_best_model": metric_for_best_model,
        "greater_is_better": None if metric_for_best_model is None else True,
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
        warmup_steps=warmup_ratio,
        activation_checkpointing=gradient_checkpointing,
        report_to="tensorboard" if tensorboard else "none",
        seed=seed,
        **{**defaults, **others},
    )


def last_checkpoint(folder: str | Path) -> str | None:
    """The newest complete checkpoint in a Trainer's output folder, for `train(resume_from_checkpoint=...)`, or None.

    A run killed while it wrote a checkpoint leaves one that cannot be resumed; `resume_from_checkpoint=True` takes it.
    """
    done = [path.parent for path in Path(folder).glob("checkpoint-*/trainer_state.json")]  # the file written last
    return str(max(done, key=lambda path: int(path.name.split("-")[1]))) if done else None
