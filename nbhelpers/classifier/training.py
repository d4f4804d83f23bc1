"""Train a classifier on a corpus, and write its folder."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from datasets import DatasetDict

from nbhelpers import adapters, corpora, encoders, environment
from nbhelpers import training as loops

from . import processes
from .calibrating import several_labels, single_label
from .card import write_card
from .data import Task
from .errors import ClassifierError
from .fitting import MAX_PARTS, check_task, fit, load_model, make_dataloader
from .folders import new_folder
from .reading import origin, place_for_data, read_task
from .report import joined, write_report
from .runs import changed_since_start, discarded_if_empty
from .searching import better_settings
from .seen import write_hashes
from .settings import Settings, complete
from .trainer import Progress

SETTINGS = tuple(field.name for field in dataclasses.fields(Settings))


def train(
    corpus: str | Path | Mapping[str, Any] | DatasetDict,
    output: str | Path | None = None,
    *,
    resume: bool = False,
    progress: Progress = lambda step: None,
    log: Callable[[str], None] = print,
    **options: Any,
) -> Path:
    """Train a classifier, and write a folder that `evaluate`, `predict` and `nbhelpers serve` can use.

    Several processes can train it together, as under torchrun; all of them call this function with the same arguments.

    The folder has the model with its tokenizer, and what is known about it: README.md (the model card), scores.json,
    confusion.png and mistakes.csv. They say how good the model is on the test split; without one, on the dev split.

    Args:
        corpus: what `corpora.load` reads, or what it returns; or tagged sentences, as `tagging.load` reads them. When
            it is read, a tenth of train becomes dev where dev is missing, and another tenth becomes test where test is
            missing; of a corpus of more than 32 MiB, which stays on disk, about 10,000 rows at most.
        output: the new folder; by default runs/NAME with the name of the corpus.
        resume: go on with a run that was killed. The result is that of a run that was not.
        progress: called after each update with a `trainer.Step`: update, num_updates, epoch, num_epochs, and score, the
            last dev score or None.
        log: called with each sentence about what was read, and what the training will need.
        options: the fields of `Settings`, such as encoder="embedded-base" or num_epochs=3. All others go to
            `corpora.load` or `tagging.load`, such as text="review". task="tags" says that a file has a tag for each
            word, where its suffix does not.

    Returns:
        The folder.

    Raises:
        ClassifierError: the folder exists, there is nothing to resume, or the settings do not fit the data.
        CorpusError, EncoderError: the corpus or the encoder cannot be loaded.
    """
    first = processes.is_first()  # of several processes, only this one writes and prints
    if not first:
        log, progress = lambda sentence: None, lambda step: None
    settings = Settings(**{name: options.pop(name) for name in SETTINGS if name in options})
    folder = Path(output) if output else Path("runs", name_of(corpus))
    checkpoints = folder.with_name(f"{folder.name}.checkpoints")
    if first:
        require_new(folder, checkpoints, resume)
    with place_for_data(folder) as place:
        task, sentences, doubts = read_task(corpus, options, place)
        for sentence in dict.fromkeys(sentences):  # splits that were made of one file have the same notes
            log(sentence)
        settings = complete(with_context(settings, task), len(task.splits["train"].texts))
        check_task(task, settings)
        remembered = origin(corpus, options)
        environment.set_seed(settings.seed)
        tokenizer, model = load_model(task, settings, remembered)
        num_parts = log_memory(model, settings, log)
        if first:
            start_or_resume(checkpoints, {**dataclasses.asdict(settings), **remembered})
        with discarded_if_empty(checkpoints) if first else contextlib.nullcontext():
            if settings.search:
                settings = better_settings(task, settings, remembered, checkpoints, log, num_parts)
            model = fit(model, tokenizer, task, settings, checkpoints, progress, num_parts)
        if first:
            save(model, tokenizer, task, settings, folder, doubts)
            shutil.rmtree(checkpoints)
    return folder


def name_of(corpus: Any) -> str:
    """The name of a corpus without folders and suffixes.

    >>> name_of("data/reviews.csv.gz"), name_of({"train": "a.csv", "test": "b.csv"})
    ('reviews', 'a')
    """
    if isinstance(corpus, Mapping) and not isinstance(corpus, DatasetDict):
        corpus = corpus.get("train")
    if not isinstance(corpus, str | Path):
        return "classifier"
    return Path(corpora.without_secrets(corpus)).name.partition(".")[0] or "classifier"


def require_new(folder: Path, checkpoints: Path, resume: bool) -> None:
    """Raise ClassifierError if the folder exists, or unless there is a stopped run exactly if one is to be resumed."""
    if folder.exists():
        raise ClassifierError(f"{folder} exists already; remove it, or choose another folder as output")
    if resume and not checkpoints.is_dir():
        raise ClassifierError(f"there is no {checkpoints}, so nothing can be resumed; train without resume")
    if checkpoints.is_dir() and not resume:
        raise ClassifierError(f"{checkpoints} is a run that was stopped; go on with resume=True, or remove it")


def start_or_resume(checkpoints: Path, run: Mapping[str, Any]) -> None:
    """Raise ClassifierError if a run is resumed with other settings, or another corpus, than it was started with."""
    for name, (before, now) in changed_since_start(checkpoints, run).items():
        raise ClassifierError(
            f"{checkpoints} is a run with {name}={before!r}, not {now!r}; resume it with the same settings, or remove "
            "it"
        )


def log_memory(model: Any, settings: Settings, log: Callable[[str], None]) -> int:
    """Say what memory the training takes, and return into how many parts each batch must be cut to fit.

    Raises:
        ClassifierError: the model itself does not fit.
    """
    passes = 2 if settings.r_drop else 1
    if torch.cuda.is_available():
        there = torch.cuda.mem_get_info()[0] / 2**30
        available = f"; {there:.1f} GiB of the GPU are free"
    else:
        there = environment.memory_gib() or math.inf
        available = f"; this machine has {there:.1f} GiB" if there < math.inf else ""
    num_parts = 1
    while (needed := environment.training_memory(model, passes * settings.max_tokens // num_parts)) > there:
        num_parts *= 2
        if num_parts > MAX_PARTS:
            raise ClassifierError(
                f"training {settings.encoder} takes at least {needed:.1f} GiB{available}; use a smaller encoder, or "
                "method lora"
            )
    log(
        f"training takes about {needed:.1f} GiB{available}"
        + (f"; each batch is computed in {num_parts} parts" if num_parts > 1 else "")
    )
    return num_parts


def with_context(settings: Settings, task: Task) -> Settings:
    """The settings with the context that fits the corpus: a dialogue is read as a whole unless the user says "none"."""
    if task.tags:
        if settings.context not in (None, "words"):
            raise ClassifierError(f"context={settings.context!r} is for dialogues; leave it out for tags")
        return dataclasses.replace(settings, context="words")
    context = settings.context or ("whole_dialogues" if task.is_dialogue else "none")
    if context not in ("none", "whole_dialogues"):
        raise ClassifierError(f"context {context!r} is neither 'none' nor 'whole_dialogues'")
    if context != "none" and not task.is_dialogue:
        raise ClassifierError(f"context={context!r} needs dialogues; name their column with dialogue=")
    return dataclasses.replace(settings, context=context)


def save(model: Any, tokenizer: Any, task: Task, settings: Settings, folder: Path, doubts: str) -> None:
    """Write the folder as a whole: the model, its tokenizer, and what is known about it, with doubts about the data."""
    precision, _ = environment.best_precision(environment.best_device())
    logits: dict[str, Any] = {}
    for split in ("dev", "test"):
        if split in task.splits:
            inputs = model.config.settings
            dataloader = make_dataloader(task.splits[split], tokenizer, inputs, task, settings)
            logits[split] = loops.predict(model, dataloader, precision=precision)
    make_report = several_labels if task.several else single_label
    report = make_report(model, task, logits, "test" if "test" in logits else "dev")
    split, verdict = report.split, " ".join(filter(None, (report.verdict, doubts)))
    report = dataclasses.replace(report, verdict=verdict)
    model.config.scores = {f"{split} {name}": x for name, x in report.scores.loc["this classifier"].items()}
    with new_folder(folder) as new, encoders.quiet():
        if settings.method in ("lora", "ia3"):
            adapters.save(model, new, encoder=settings.encoder)
        else:
            model.float().cpu().save_pretrained(new)
        tokenizer.save_pretrained(new)
        write_hashes(joined(task.splits["train"]), new)
        write_report(report, new)
        write_card(new, report, task, settings)
