"""Fit a model to a task: load an encoder, train it in one or two phases, and keep the best epoch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from nbhelpers import (
    adapters,
    adversarial,
    augmentation,
    batching,
    corpora,
    distillation,
    encoders,
    environment,
    imbalance,
    objectives,
    training,
)

from . import processes
from .data import Task, lengths_of, make_examples
from .errors import ClassifierError
from .loading import load_torch
from .rows import Rows
from .scoring import dev_scores, score_name
from .settings import LOSSES, Settings
from .trainer import OutOfMemory, Progress, ProgressCallback, Step, Trainer

SINGLE_TEXTS = ("adversarial", "augment", "teacher")  # settings that were not tested with dialogues
MAX_PARTS = 64  # into which a batch is cut before the memory of the device is said to be too small


def check_task(task: Task, settings: Settings) -> None:
    """Raise ClassifierError for the first setting that does not go with the data."""
    if task.several:
        for name in (*LOSSES, "label_smoothing", "class_weights"):
            if getattr(settings, name):
                raise ClassifierError(
                    f"{name} is for one label per text, and these texts can have several; leave it out"
                )
    for name in SINGLE_TEXTS:
        if (task.is_dialogue or task.tags) and getattr(settings, name):
            raise ClassifierError(f"{name} is for texts that stand alone; leave it out for dialogues and for tags")
    if processes.number() > 1 and (settings.search or settings.adversarial):
        name = "search" if settings.search else "adversarial"
        raise ClassifierError(f"{name} trains in one process; leave it out, or pass processes=1")
    if task.tags and settings.search:
        raise ClassifierError("search is for classes of texts; leave it out for tags")
    if settings.augment and task.splits["train"].pairs:
        raise ClassifierError("augment is for single texts; leave it out for pairs")


def load_model(task: Task, settings: Settings, remembered: Mapping[str, Any]) -> tuple[Any, Any]:
    """The tokenizer and the model, ready to be trained."""
    # Without attention dropout, a step takes a sixth less time on a CPU
    tokenizer, model = encoders.load(settings.encoder, task.names, attention_dropout=0.0)
    device = environment.best_device()
    encoders.use_fast_layers(model, device, environment.best_precision(device)[0])
    tokenizer = corpora.normalizing_tokenizer(tokenizer)
    if settings.max_length and settings.max_length > tokenizer.model_max_length:
        raise ClassifierError(
            f"max_length is {settings.max_length}, but {settings.encoder} reads {tokenizer.model_max_length} tokens"
        )
    if task.several:
        model.config.problem_type = "multi_label_classification"
    model.config.causal_turns = settings.past_only
    inputs: dict[str, Any] = {"pairs": True} if task.splits["train"].pairs else {}
    if settings.context == "whole_dialogues":
        inputs |= {"context": settings.context}
        inputs |= {"speaker_format": "name"} if task.splits["train"].speakers else {}
    if settings.context == "words":
        inputs = {"context": "words", "pieces": "first"}
    if settings.max_length:
        inputs["max_length"] = settings.max_length
    model.config.settings = {**remembered, **inputs}
    if settings.method == "frozen":
        training.freeze_encoder(model)
    elif settings.method == "lora":
        model = adapters.lora(model, r=16, alpha=32, target_modules="all")
    elif settings.method == "ia3":
        model = adapters.ia3(model)
    return tokenizer, model


def fit(
    model: Any,
    tokenizer: Any,
    task: Task,
    settings: Settings,
    checkpoints: Path,
    progress: Progress,
    num_parts: int = 1,
) -> Any:
    """Train a model, and return it with the weights of the best epoch.

    A model of whole dialogues first reads single turns for some epochs. Each phase has its own checkpoints and
    schedule. Each batch is computed in `num_parts` parts, or in more of them where the GPU has too little memory.
    """
    whole = model.config.settings
    phases = [(whole, settings.num_epochs or 1)]
    if settings.single_turn_epochs:
        single = {**whole, "context": "windows", "past": 0}
        phases.insert(0, (single, settings.single_turn_epochs))
    rows = training_rows(task, settings)
    logits = teacher_logits(model, rows, task, settings) if settings.teacher else None
    dataloaders = [
        make_dataloader(rows, tokenizer, inputs, task, settings, train=True, logits=logits) for inputs, _ in phases
    ]
    steps = settings.gradient_accumulation_steps
    updates = [
        training.updates_per_epoch(dataloader, steps) * num_epochs
        for dataloader, (_, num_epochs) in zip(dataloaders, phases, strict=True)
    ]
    for phase, (dataloader, (inputs, num_epochs)) in enumerate(zip(dataloaders, phases, strict=True)):
        last = phase == len(phases) - 1
        epochs = [num_epochs for _, num_epochs in phases]
        start = Step(sum(updates[:phase]), sum(updates), sum(epochs[:phase]), sum(epochs), None, score_name(task))
        callback = ProgressCallback(progress, start, "weighted_f1")
        dev = make_dataloader(task.splits["dev"], tokenizer, inputs, task, settings) if last else None
        options = {
            "output_dir": checkpoints / f"phase-{phase + 1}",
            "num_epochs": num_epochs,
            "seed": settings.seed + phase,
            "gradient_accumulation_steps": steps,
            "metric_for_best_model": "weighted_f1" if last else None,
        }
        model = fit_phase(model, task, settings, dataloader, dev, options, callback, tokenizer, num_parts)
    return model


def fit_phase(
    model: Any, task: Task, settings: Settings, dataloader: Any, dev: Any, options: dict[str, Any], callback: Any,
    tokenizer: Any, num_parts: int,
) -> Any:  # fmt: skip
    """Train one phase from its last checkpoint on. Where the GPU has too little memory, batches are cut into parts."""
    device = environment.best_device()
    precision, _ = environment.best_precision(device)
    initial = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}
    while True:
        environment.set_seed(options["seed"])  # also where the phase before was trained in another process
        args = training.make_training_arguments(
            **options, precision=precision, logging_strategy="no", save_strategy="epoch",
        )  # fmt: skip
        optimizer = training.make_optimizer(model, settings.lr or 0.0, head_lr=settings.head_lr)
        trainer = Trainer(
            model,
            args,
            make_objective(task, settings),
            dataloader,
            dev,
            optimizer=optimizer,
            tokenizer=tokenizer,
            compute_metrics=partial(dev_scores, task=task) if dev is not None else None,
            callbacks=[callback],
            patience=settings.patience if dev is not None else None,
        )
        trainer.num_parts = num_parts
        try:
            with encoders.quiet():
                trainer.train(resume_from_checkpoint=training.last_checkpoint(options["output_dir"]))
        except OutOfMemory as error:
            if processes.number() > 1:  # the others would wait for this one
                raise ClassifierError("the device has too little memory; use a smaller batch_size") from error
            num_parts *= 2
            if num_parts > MAX_PARTS:
                raise ClassifierError(
                    "the device has too little memory even for single texts; use a smaller encoder or max_length"
                ) from error
            model.load_state_dict(initial)  # some updates may have been made since the last checkpoint, if there is any
            torch.cuda.empty_cache()
            continue
        return trainer.model


def training_rows(task: Task, settings: Settings) -> Rows:
    """The rows to train on: those of the train split, and with "augment" a changed copy of each."""
    rows = task.splits["train"]
    if not settings.augment:
        return rows
    made = augmentation.augment(list(rows.texts), rows.labels, augmentation.make_typos, seed=settings.seed)
    return rows._replace(texts=made.texts, labels=made.labels)


def teacher_logits(model: Any, rows: Rows, task: Task, settings: Settings) -> torch.Tensor:
    """What the teacher says of each row: its logits [rows, classes]."""
    tokenizer, teacher = load_torch(Path(settings.teacher or ""))
    try:
        distillation.check_same_labels(teacher, model)
    except ValueError as error:
        raise ClassifierError(f"{settings.teacher} cannot be the teacher: {error}") from error
    device = environment.best_device()
    dataloader = make_dataloader(rows, tokenizer, teacher.config.settings, task, settings)
    return training.predict(teacher.to(device), dataloader, precision=environment.best_precision(device)[0])


def make_dataloader(
    rows: Rows, tokenizer: Any, inputs: Mapping[str, Any], task: Task, settings: Settings, train: bool = False,
    logits: torch.Tensor | None = None,
) -> Any:  # fmt: skip
    """A DataLoader: for training in a new order in each epoch, else in the order of the rows.

    With a teacher's logits [rows, classes], the examples carry them.
    """
    examples = make_examples(rows, tokenizer, inputs, len(task.names) if task.several else 0)
    lengths = lengths_of(examples)
    return batching.make_dataloader(
        examples if logits is None else distillation.add_teacher_logits(examples, logits),
        tokenizer.pad_token_id,
        max_tokens=settings.max_tokens if train else 4096,
        batch_size=settings.batch_size if train else 128,
        shuffle=train,
        seed=settings.seed,
        lengths=lengths,
    )


def make_objective(task: Task, settings: Settings) -> training.Objective:
    """The loss that the settings ask for."""
    if task.several:
        return own_loss
    labels = task.splits["train"].labels
    if task.tags:
        labels = [label for sentence in labels for label in sentence]
    if settings.teacher:
        return partial(distillation.distill, temperature=2.0, alpha=0.9)
    if settings.logit_adjustment:
        counts = imbalance.count_labels(labels, len(task.names))
        return partial(imbalance.logit_adjusted_loss, counts=counts, tau=settings.logit_adjustment)
    options: dict[str, Any] = {"label_smoothing": settings.label_smoothing}
    if settings.class_weights:
        options["class_weights"] = objectives.class_weights(labels, len(task.names), power=settings.class_weights)
    if settings.r_drop:
        return partial(objectives.r_drop, alpha=settings.r_drop, **options)
    objective = partial(objectives.cross_entropy, **options)
    if settings.adversarial:
        return partial(getattr(adversarial, settings.adversarial), objective=objective)
    return objective


def own_loss(model: Any, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The model's own loss, which is binary cross-entropy where a text can have several labels."""
    return model(**batch).loss
