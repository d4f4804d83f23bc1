"""Fewer or more training rows, as a row of a results table asks for: "rows_per_class" and "augmentation"."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

from nbhelpers import augmentation

from .data import Split


def eda(text: str, rng: random.Random) -> str:
    """One of the four operations of EDA (arXiv 1901.11196), chosen at random."""
    return rng.choice(FOUR)(text, rng)


FOUR: list[Callable[[str, random.Random], str]] = [
    augmentation.replace_synonyms,
    augmentation.insert_synonyms,
    augmentation.swap_words,
    augmentation.delete_words,
]
OPERATIONS = {
    "synonyms": augmentation.replace_synonyms,
    "deletion": augmentation.delete_words,
    "typos": augmentation.make_typos,
    "eda": eda,
}


def training_rows(train: Split, config: Mapping[str, Any], seed: int) -> Split:
    """The training rows of a run. The seed decides which rows are taken, and what the copies are.

    Args:
        train: the whole split, of single texts.
        config: with "rows_per_class", at most so many rows of each class; with "augmentation", a changed copy of each.
        seed: that of the run.
    """
    texts, labels = train.texts, train.labels
    if "rows_per_class" in config:
        order = list(range(len(labels)))
        random.Random(seed).shuffle(order)
        taken: dict[int, list[int]] = {label: [] for label in labels}
        for row in order:
            if len(taken[labels[row]]) < config["rows_per_class"]:
                taken[labels[row]].append(row)
        rows = sorted(row for own in taken.values() for row in own)
        texts, labels = [texts[row] for row in rows], [labels[row] for row in rows]
    if "augmentation" in config:
        made = augmentation.augment(texts, labels, OPERATIONS[config["augmentation"]], seed=seed)
        texts, labels = made.texts, made.labels
    return train if texts is train.texts else Split(texts, labels, [], [], [])
