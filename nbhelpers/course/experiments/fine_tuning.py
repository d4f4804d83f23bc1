"""Fine-tuning as a row of a results table describes it: load an encoder, train it, and count what that cost."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader

from nbhelpers import adapters, batching, distillation, encoders, environment, imbalance, metrics, training

from .baselines import Measured, Splits
from .data import Split, inputs
from .distilling import teacher_logits
from .lengths import join_windows
from .models import load_model
from .objective import make_objective
from .perturbing import PREFIX, SEARCH, perturbed_splits, searched_texts

Config = Mapping[str, Any]


class Trained(NamedTuple):
    """What `train` gives.

    `logits(split)` computes the logits [items, classes] of a split other than train. `seconds` are those of training
    alone. `tokens` is how many tokens the model read, in all epochs together.
    """

    tokenizer: Any
    model: Any
    logits: Callable[[str], torch.Tensor]
    seconds: float
    tokens: int


class Stopwatch:
    """Adds up the seconds of training, without those in which it was paused for an evaluation."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time of a `with` block."""
        start = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - start

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time of a `with` block that is inside of a `running` one."""
        start = time.perf_counter()
        yield
        self.seconds -= time.perf_counter() - start


def fine_tuning(data: Splits, names: list[str], config: Config, seed: int) -> Measured:
    """Train an encoder with `train`.

    Returns:
        Split -> probabilities [items, classes] for dev, test and perturbed versions of test, and the costs: tokens,
        seconds, parameters and bytes.
    """
    data = {**data, **perturbed_splits(data["test"], config)}
    trained = train(data, names, config, seed)
    with tempfile.TemporaryDirectory() as folder, encoders.quiet():
        trained.model.save_pretrained(folder)
        saved_bytes = sum(file.stat().st_size for file in Path(folder).iterdir())
    parameters = adapters.num_parameters(trained.model)
    costs = {
        "tokens": trained.tokens,
        "training_seconds": trained.seconds,
        "trainable_parameters": parameters["trainable"],
        "trainable_without_head": parameters["without head"],
        "saved_bytes": saved_bytes,
    }
    if config.get("context", "none") == "none":
        costs["milliseconds"] = latency(partial(predict_texts, trained, config=config), data["test"].texts)
    probabilities = {split: trained.logits(split).softmax(-1).numpy() for split in data if split != "train"}
    if SEARCH in config.get("perturbations", ()):
        predict = partial(predict_texts, trained, config=config)
        probabilities[PREFIX + SEARCH] = predict(searched_texts(data["test"], predict))
    return probabilities, costs


def latency(predict: Callable[[Sequence[str]], Any], texts: Sequence[str]) -> float:
    """The median milliseconds for one text at a time, over 20 texts that are spread over a split."""
    chosen = texts[:: max(1, len(texts) // 20)][:20]
    predict(chosen[:1])  # the first call prepares what the others reuse
    measured = []
    for text in chosen:
        start = time.perf_counter()
        predict([text])
        measured.append(1000 * (time.perf_counter() - start))
    return float(np.median(measured))


def predict_texts(trained: Trained, texts: Sequence[str], config: Config) -> np.ndarray:
    """The probabilities [texts, classes] of new texts."""
    part = Split(list(texts), [0] * len(texts), [], [], [])
    precision, _ = environment.best_precision(environment.best_device())
    dataloader = make_dataloader(part, trained.tokenizer, config)
    found = training.predict(trained.model, dataloader, precision=precision)
    return join_windows(found, part.texts, part.labels, trained.tokenizer, config).softmax(-1).numpy()


def train(
    data: Splits,
    names: list[str],
    config: Config,
    seed: int,
    log: Callable[[dict[str, float]], None] = lambda row: None,
) -> Trained:
    """Train an encoder with `training.fit`, and keep the epoch with the best weighted F1 on dev.

    Args:
        data: split -> its texts and labels.
        names: the class names.
        config: a row of a results table. How its inputs are made is written into `model.config.settings`.
        seed: of everything that is random: the head, dropout, and the order of the batches.
        log: called with each row of `training.fit`'s history.
    """
    from_teachers = None
    if "teachers" in config:
        from_teachers = teacher_logits(data, config, seed, lambda data, config, seed: train(data, names, config, seed))
    environment.set_seed(seed)
    device = environment.best_device()
    precision, _ = environment.best_precision(device)
    tokenizer, model = load_model(names, config)
    model = model.to(device)
    dataloaders = {split: make_dataloader(part, tokenizer, config) for split, part in data.items() if split != "train"}
    stopwatch, tokens = Stopwatch(), 0

    def logits(split: str) -> torch.Tensor:
        # With sentiment as a second task, its classes come after those of the first.
        found = training.predict(model, dataloaders[split], precision=precision)[:, : len(names)]
        return join_windows(found, data[split].texts, data[split].labels, tokenizer, config)

    def dev_score(_: Any) -> float:
        with stopwatch.paused():
            predicted = logits("dev").argmax(-1).numpy()
            return metrics.scores(data["dev"].labels, predicted, len(names))["weighted_f1"]

    for phase in phases(config):
        dataloader = make_dataloader(data["train"], tokenizer, phase, train_seed=seed, teacher_logits=from_teachers)
        objective = make_objective(phase, data["train"].labels, len(names))
        # An epoch of single turns is not scored, because the model has yet to learn what dialogues look like.
        evaluate = dev_score if phase is config else None
        with stopwatch.running():
            fit(model, dataloader, objective, phase, evaluate=evaluate, precision=precision, log=log)
        tokens += tokens_read(dataloader, phase)
    return Trained(tokenizer, model, logits, stopwatch.seconds, tokens)


def make_dataloader(
    split: Split,
    tokenizer: Any,
    config: Config,
    train_seed: int | None = None,
    teacher_logits: torch.Tensor | None = None,
) -> Any:
    """A DataLoader for training when it gets a seed, else for evaluation: in order, and without sentiments.

    With a teacher's logits [items, classes], the examples carry them.
    """
    train = train_seed is not None
    examples = inputs(split, tokenizer, config, sentiments=train and "sentiment" in config)
    if teacher_logits is not None:
        examples = distillation.add_teacher_logits(examples, teacher_logits)
    if train and "balanced_sampler" in config:
        sampler = imbalance.BalancedSampler(
            split.labels,
            config["batch_size"],
            power=config["balanced_sampler"],
            lengths=[len(example["input_ids"]) for example in examples],
            seed=train_seed or 0,
        )
        collator = batching.Collator(tokenizer.pad_token_id)
        return DataLoader(examples, batch_sampler=sampler, collate_fn=collator)  # type: ignore[arg-type]
    return batching.make_dataloader(
        examples,
        tokenizer.pad_token_id,
        max_tokens=config["max_tokens"],
        batch_size=config["batch_size"] if train else 128,
        shuffle=train,
        seed=train_seed or 0,
    )


def phases(config: Config) -> list[Config]:
    """The configurations to train with, one after another.

    With "single_turns_first", a model of dialogues first reads single turns for that many epochs, and so learns what
    words mean before it learns what context adds. Each phase has a learning rate schedule of its own.
    """
    num_epochs = config.get("single_turns_first", 0)
    if not num_epochs:
        return [config]
    # No emotion shift: it compares the turns of a dialogue, and here each turn is alone.
    single_turns = {"context": "windows", "past": 0, "num_epochs": num_epochs, "shift": 0}
    return [{**config, **single_turns}, config]


def fit(model: Any, dataloader: Any, objective: Any, config: Config, **options: Any) -> None:
    """`training.fit` with the optimizer and the schedule of a configuration. `options` go on to it."""
    layer_decay = config.get("layer_decay", 1.0)
    optimizer = training.make_optimizer(model, config["lr"], head_lr=config["head_lr"], layer_decay=layer_decay)
    if "unfreeze_per_epoch" in config:  # after the optimizer is made: it moves no weights that were frozen before
        options["evaluate"] = unfreezing(model, config["unfreeze_per_epoch"], options["evaluate"])
    num_steps = training.updates_per_epoch(dataloader) * config["num_epochs"]
    scheduler = training.make_scheduler(
        optimizer, num_steps, schedule=config["schedule"], warmup_ratio=config["warmup_ratio"]
    )
    training.fit(model, dataloader, objective, optimizer, scheduler, num_epochs=config["num_epochs"], **options)


def unfreezing(model: Any, layers_per_epoch: int, evaluate: Callable[[Any], float]) -> Callable[[Any], float]:
    """Freeze the encoder, and return an `evaluate` that trains more of it in the next epoch, from its last layer down.

    The embeddings come after the first layer (Howard and Ruder 2018, arXiv 1801.06146).
    """
    frozen = [model.get_input_embeddings(), *distillation.encoder_layers(model)]
    training.freeze_encoder(model)

    def evaluate_and_unfreeze(model: Any) -> float:
        for _ in range(min(layers_per_epoch, len(frozen))):
            frozen.pop().requires_grad_(True)
        if not frozen:
            model.requires_grad_(True)  # what is neither a layer nor a word embedding, such as positions
        return evaluate(model)

    return evaluate_and_unfreeze


def tokens_read(dataloader: Any, config: Config) -> int:
    """How many tokens the model reads in a phase, without padding. R-Drop reads each batch twice."""
    per_epoch = sum(len(example["input_ids"]) for example in dataloader.dataset)
    return per_epoch * config["num_epochs"] * (2 if "r_drop" in config else 1)
