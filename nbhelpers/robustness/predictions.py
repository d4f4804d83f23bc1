"""Call `predict`, and check what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Predict = Callable[[list[str]], ArrayLike]  # texts -> probabilities [texts, classes]


def probabilities(predict: Predict, texts: Sequence[str]) -> NDArray[np.float64]:
    """Call `predict` with a list of texts and check that it returns one row of probabilities for each.

    Returns:
        [texts, classes].

    Raises:
        ValueError: The shape is wrong, a row contains NaN, or a row does not sum to 1.

    >>> probabilities(lambda texts: [[0.25, 0.75] for text in texts], ["a", "b"]).shape
    (2, 2)
    """
    result = np.asarray(predict(list(texts)), dtype=np.float64)
    if result.ndim != 2 or len(result) != len(texts) or result.shape[1] < 2:
        raise ValueError(f"predict returned shape {result.shape} for {len(texts)} texts; return [texts, classes]")
    # Half precision rounds each probability to three digits, so the sum is not exact.
    wrong = ~(np.abs(result.sum(1) - 1) < 0.02) | ~(result >= 0).all(1)
    if wrong.any():
        row = int(wrong.argmax())
        values = result[row].round(3).tolist()
        raise ValueError(f"predict returned {values} for text {row}, which are not probabilities; apply softmax")
    return result


def check_texts(texts: Sequence[str]) -> list[str]:
    """Return the texts as a list, or raise ValueError if there are none or one is not a string."""
    if isinstance(texts, str):
        raise ValueError("texts is a single string; pass a list of texts")
    for row, text in enumerate(texts := list(texts)):
        if not isinstance(text, str):
            raise ValueError(f"text {row} is {text!r}; pass strings, and leave out rows without a text")
    if not texts:
        raise ValueError("there are no texts; pass at least one")
    return texts


def check_labels(labels: Sequence[int], num_texts: int, num_classes: int) -> NDArray[np.int64]:
    """Return the labels as [texts], or raise ValueError if one is not a class number."""
    result = np.asarray(labels)
    if result.shape != (num_texts,):
        raise ValueError(f"labels has shape {result.shape} for {num_texts} texts; pass one label for each text")
    if not np.issubdtype(result.dtype, np.integer) or result.min() < 0 or result.max() >= num_classes:
        raise ValueError(f"labels contains {set(result.tolist())}; pass class numbers from 0 to {num_classes - 1}")
    return result.astype(np.int64)


def check_repeatable(predict: Predict, texts: Sequence[str]) -> None:
    """Raise ValueError if `predict` answers differently when it is asked again, for instance because of dropout."""
    first, second = probabilities(predict, texts[:8]), probabilities(predict, texts[:8])
    if np.abs(first - second).max() > 1e-3:
        raise ValueError(
            "predict returns other probabilities when it gets the same texts again, so that every check would fail; "
            "switch dropout off with model.eval()"
        )
