"""Score a classifier on rows that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from nbhelpers import corpora

from .data import classes_of, one_hot, rows_of
from .errors import ClassifierError
from .report import Report, joined, single_label_report
from .rows import logits_of
from .served import load, num_cores, remembered_options
from .several_labels import several_labels_report


def evaluate(folder: str | Path, corpus: str | Path | Mapping[str, Any] | DatasetDict, **options: Any) -> Report:
    """Score a classifier on a corpus with labels: on its test split, or on all rows of a single file.

    Args:
        folder: from `train`, or an export of such a folder.
        corpus: what `corpora.load` reads, or what it returns.
        options: of `corpora.load`; by default those with which the classifier was trained.

    Raises:
        ClassifierError: the corpus has other labels than the classifier.
        CorpusError: the corpus cannot be loaded.
    """
    model = load(Path(folder), num_cores())
    names = list(model.labels)
    if not isinstance(corpus, DatasetDict):
        options = {**remembered_options(Path(folder)), **options}
        options.setdefault("labels", names)
        corpus = corpora.load(corpus, **options)
    split = "test" if "test" in corpus else "train"
    part = corpus[split]
    found, several = classes_of(part)
    if found != names:
        raise ClassifierError(
            f"the labels of the corpus ({', '.join(found)}) are not the classifier's ({', '.join(names)}); pass labels="
        )
    if several != (model.thresholds is not None):
        kinds = ("one label", "any number of labels")
        raise ClassifierError(f"the classifier gives a text {kinds[not several]}, and the corpus {kinds[several]}")
    rows = rows_of(part)
    probabilities = model.probabilities(logits_of(model, rows), len(rows.texts))
    if model.thresholds is not None:
        gold = one_hot(rows.labels, len(names))
        return several_labels_report(split, joined(rows), gold, probabilities, model.thresholds, names)
    return single_label_report(split, rows, probabilities, names)
