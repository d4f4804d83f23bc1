"""Augmented copies of the rows of a training set, and a check that none of them leaks into dev."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

MAX_TRIES = 10  # for one copy; short texts have few different ones


class Augmented(NamedTuple):
    """The rows that `augment` returns, the originals first.

    `texts` and `labels` are [rows]. `sources` [rows] has the index of the original of each row; an original is its own
    source. `num_missing` tells how many copies could not be made.
    """

    texts: list[str]
    labels: list[Any]
    sources: list[int]
    num_missing: int


def augment(
    texts: Sequence[str],
    labels: Sequence[Any],
    operation: Callable[[str, random.Random], str],
    *,
    num_copies: int = 1,
    seed: int = 0,
) -> Augmented:
    """Add changed copies of each text, with its label. Augment the training set only, after the split.

    The copies of a text differ from the text and from each other, and none is empty. A text with too few different
    copies, such as "Yes!" without synonyms, gets fewer of them; `num_missing` counts those.

    Args:
        texts: Strings [rows].
        labels: A label for each text [rows].
        operation: `operation(text, rng) -> text`: a function of this folder, with options by `functools.partial`.
        num_copies: How many copies of each text to make.
        seed: Same seed, same copies.

    Raises:
        ValueError: The columns differ in length, a text is not a string, or num_copies is below 1.

    >>> def shout(text, rng):
    ...     return text.upper()
    >>> texts, labels, sources, num_missing = augment(["fine", "NO"], [1, 0], shout)
    >>> texts, labels, sources, num_missing
    (['fine', 'NO', 'FINE'], [1, 0, 1], [0, 1, 0], 1)
    """
    texts, labels = list(texts), list(labels)  # by position, whatever index they have
    if len(texts) != len(labels):
        raise ValueError(f"there are {len(texts)} texts, but {len(labels)} labels; each text needs exactly one")
    if num_copies < 1:
        raise ValueError(f"num_copies={num_copies}: pass how many copies of each text to make, at least 1")
    rng = random.Random(seed)
    copies: list[tuple[str, int]] = []
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"row {row}: the text is {text!r}; pass strings, and leave out rows without a text")
        copies += [(copy, row) for copy in make_copies(text, operation, num_copies, rng)]
    return Augmented(
        texts=texts + [copy for copy, _ in copies],
        labels=labels + [labels[row] for _, row in copies],
        sources=[*range(len(texts)), *(row for _, row in copies)],
        num_missing=num_copies * len(texts) - len(copies),
    )


def make_copies(
    text: str, operation: Callable[[str, random.Random], str], num_copies: int, rng: random.Random
) -> list[str]:
    """Make up to `num_copies` different copies of a text; a copy that cannot be made is left out."""
    copies: list[str] = []
    for _ in range(num_copies * MAX_TRIES):
        copy = operation(text, rng)
        if not isinstance(copy, str):
            raise ValueError(f"the operation returned {copy!r} for {text!r}; it must return the new text, a string")
        if copy.strip() and copy not in (text, *copies):
            copies.append(copy)
        if len(copies) == num_copies:
            break
    return copies


def check_no_leak(train_sources: Sequence[Hashable], dev_sources: Sequence[Hashable]) -> None:
    """Raise ValueError if a row of dev comes from the same text as a row of train.

    That happens when a data set is augmented before it is split: the model has then read, with its label, another
    version of what it is tested on, and the score on dev is too high.

    Args:
        train_sources, dev_sources: For each row [rows], which original it comes from: `Augmented.sources`, or any
            other id of the original. Both columns must use the same ids.

    Here the rows 0 and 2 of a data set are in train, and 1 and 3 in dev:

    >>> train_rows, dev_rows = [0, 2], [1, 3]
    >>> result = augment(["yes", "ok"], [1, 0], lambda text, rng: text + "!")  # the texts of train
    >>> check_no_leak([train_rows[source] for source in result.sources], dev_rows)
    >>> check_no_leak([0, 1, 0], [1, 2])
    Traceback (most recent call last):
    ValueError: 1 of 2 dev rows come from texts that are also in train, such as row 0; split first, then augment train
    """
    seen = set(train_sources)
    leaks = [row for row, source in enumerate(dev_sources) if source in seen]
    if leaks:
        raise ValueError(
            f"{len(leaks)} of {len(dev_sources)} dev rows come from texts that are also in train, such as row "
            f"{leaks[0]}; split first, then augment train"
        )
