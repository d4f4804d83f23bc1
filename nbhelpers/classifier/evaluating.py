"""Score a classifier on rows that it has not seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from nbhelpers import corpora, serving

from .data import classes_of, notes_of, one_hot, rows_of
from .errors import ClassifierError
from .reading import load, place_for_data
from .report import Report, joined, single_label_report
from .rows import compute, logits_of
from .seen import seen_in_training
from .served import load as load_served
from .served import num_cores, remembered_options
from .several_labels import several_labels_report
from .tags import load_tags, tag_facts, tags_report


def evaluate(
    folder: str | Path,
    corpus: str | Path | Mapping[str, Any] | DatasetDict,
    *,
    log: Callable[[str], None] = print,
    **options: Any,
) -> Report:
    """Score a classifier on a corpus with labels: on its test split, else on dev, else on all rows of a single file.

    The verdict of the report says how many of the texts the classifier was trained on, if there are any.

    Args:
        folder: from `train`, or an export of such a folder.
        corpus: what `corpora.load` reads, or what it returns.
        log: called with each sentence about how the corpus was read, and which rows were left out.
        options: of `corpora.load`; by default those with which the classifier was trained. Faulty rows are left out
            only with on_fault="drop".

    Raises:
        ClassifierError: the corpus has other labels than the classifier.
        CorpusError: the corpus cannot be loaded.
    """
    model = load_served(Path(folder), num_cores())
    if model.reads == "tags":
        return evaluate_tags(Path(folder), model, corpus, log, options)
    if isinstance(corpus, DatasetDict):
        return evaluate_loaded(Path(folder), model, corpus, log)
    options = {**remembered_options(Path(folder)), **options}
    options.setdefault("labels", list(model.labels))
    with place_for_data(corpora.cache_folder() / "evaluating" / Path(folder).resolve().name) as place:
        data = load(corpus, options, place)
        return evaluate_loaded(Path(folder), model, data, log, on_disk=place.exists())


def evaluate_loaded(
    folder: Path, model: serving.Model, corpus: DatasetDict, log: Callable[[str], None], on_disk: bool = False
) -> Report:
    """Score a classifier of texts or turns on a loaded corpus. As `evaluate`; `on_disk` as in `make_task`."""
    names = list(model.labels)
    split = next((name for name in ("test", "dev") if name in corpus), "train")
    part = corpus[split]
    for sentence in notes_of(DatasetDict({split: part})):
        log(sentence)
    found, several = classes_of(part)
    if found != names:
        raise ClassifierError(
            f"the labels of the corpus ({', '.join(found)}) are not the classifier's ({', '.join(names)}); pass labels="
        )
    if several != (model.thresholds is not None):
        kinds = ("one label", "any number of labels")
        raise ClassifierError(f"the classifier gives a text {kinds[not several]}, and the corpus {kinds[several]}")
    rows, title = rows_of(part, on_disk), split
    if split == "train":
        title = corpora.loading_report(part).get("file", split)
    probabilities = model.probabilities(logits_of(model, rows), len(rows.texts))
    if model.thresholds is not None:
        gold = one_hot(rows.labels, len(names))
        report = several_labels_report(title, list(joined(rows)), gold, probabilities, model.thresholds, names)
    else:
        report = single_label_report(title, rows, probabilities, names)
    return dataclasses.replace(report, verdict=seen_in_training(joined(rows), folder))


def evaluate_tags(
    folder: Path, model: serving.Model, corpus: Any, log: Callable[[str], None], options: Mapping[str, Any]
) -> Report:
    """Score a model that tags words. As `evaluate`."""
    task = load_tags(corpus, {**remembered_options(folder), **options}, model.labels)
    split = next(name for name in ("test", "dev", "train") if name in task.splits)
    rows = task.splits[split]
    for sentence in tag_facts(task):
        log(sentence)
    logits = compute(model, model.encode_words(rows.texts))  # type: ignore[misc]
    probabilities = model.probabilities(logits, sum(map(len, rows.texts)))
    title = Path(corpora.without_secrets(corpus)).name if split == "train" and isinstance(corpus, str | Path) else split
    report = tags_report(title, rows, probabilities, list(model.labels))
    return dataclasses.replace(report, verdict=seen_in_training(joined(rows), folder))
