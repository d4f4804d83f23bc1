"""Score a classifier on rows that it has not seen."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from datasets import DatasetDict

from nbhelpers import batching, corpora, serving

from .data import Rows, classes_of, one_hot, rows_of
from .errors import ClassifierError
from .report import Report, joined, single_label_report
from .served import load, num_cores, remembered_options
from .several_labels import several_labels_report

BATCH_TOKENS = 4096


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


def logits_of(model: serving.Model, rows: Rows) -> list[Any]:
    """The logits [turns, classes] of each text or dialogue, in the order of the rows."""
    if rows.dialogue_ids:
        ids = np.array(rows.dialogue_ids)
        starts = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1), len(ids)]
        examples = []
        for start, stop in itertools.pairwise(starts):
            speakers = rows.speakers[start:stop] or [""] * (stop - start)
            examples += model.encode_dialogue(rows.texts[start:stop], speakers, model.future)
    else:
        examples = model.encode(list(zip(rows.texts, rows.pairs, strict=True)) if rows.pairs else rows.texts)
    return compute(model, examples)


def compute(model: serving.Model, examples: list[Any]) -> list[Any]:
    """The logits of each example. Examples of similar length are computed together, because padding costs time."""
    lengths = [len(example["input_ids"]) for example in examples]
    logits: list[Any] = [None] * len(examples)
    for chosen in batching.TokenBudgetSampler(lengths, BATCH_TOKENS, shuffle=False):
        for i, rows in zip(chosen, model.predict([examples[i] for i in chosen]), strict=True):
            logits[i] = rows
    return logits
