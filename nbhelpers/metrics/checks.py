"""Checks of the arguments that several metrics share. Each raises ValueError, or returns the argument as an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

METRICS = ("accuracy", "weighted_f1", "macro_f1")  # the names that `metric` may have


def class_numbers(num_classes: int | None, **columns: ArrayLike) -> list[NDArray[np.int64]]:
    """Check that all columns are class numbers of the same rows, and return them as arrays of shape [rows].

    Args:
        num_classes: class numbers must be smaller than this; None allows any number from 0.
        columns: [rows] each. The keyword is the name that an error message uses.

    >>> class_numbers(2, labels=[0, 2])
    Traceback (most recent call last):
    ...
    ValueError: labels, row 1: 2 is not a class number from 0 to 1; drop rows marked -100 first
    """
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    for name, array in arrays.items():
        check_class_numbers(name, array, num_classes)
    if len({array.size for array in arrays.values()}) > 1:
        sizes = ", ".join(f"{name} has {array.size}" for name, array in arrays.items())
        raise ValueError(f"the numbers of rows differ: {sizes}; pass the same rows in each")
    return [array.astype(np.int64) for array in arrays.values()]


def check_class_numbers(name: str, array: NDArray[Any], num_classes: int | None) -> None:
    """Raise ValueError unless the array is a non-empty list of class numbers."""
    if array.ndim != 1 or not array.size:
        raise ValueError(f"{name} has shape {array.shape}: pass a non-empty one-dimensional list of class numbers")
    # Whole numbers only: a float column usually means NaN labels, or logits in place of predictions.
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} contains {array.dtype} values such as {array[0]!r}: pass class numbers 0, 1, 2, ...")
    outside = (array < 0) | (array >= (np.inf if num_classes is None else num_classes))
    if outside.any():
        row, last = int(outside.argmax()), "" if num_classes is None else f" to {num_classes - 1}"
        raise ValueError(
            f"{name}, row {row}: {array[row]} is not a class number from 0{last}; drop rows marked -100 first"
        )


def check_runs(
    labels: ArrayLike, runs_a: Sequence[ArrayLike], runs_b: Sequence[ArrayLike], num_classes: int | None
) -> tuple[NDArray[np.int64], list[NDArray[np.int64]], list[NDArray[np.int64]]]:
    """Check the columns of `compare_runs`, and return gold classes [rows] and the runs of A and of B as arrays."""
    if len(runs_a) != len(runs_b) or not len(runs_a):
        raise ValueError(f"{len(runs_a)} runs of A and {len(runs_b)} of B: pass equally many, at least one")
    columns = {f"runs_a[{i}]": run for i, run in enumerate(runs_a)}
    columns |= {f"runs_b[{i}]": run for i, run in enumerate(runs_b)}
    gold, *runs = class_numbers(num_classes, labels=labels, **columns)
    return gold, runs[: len(runs_a)], runs[len(runs_a) :]


def averaged_classes(num_classes: int | None, *columns: NDArray[Any]) -> NDArray[Any]:
    """The classes that macro F1 averages over: `range(num_classes)`, or else those that occur in any column."""
    return np.unique(np.concatenate(columns)) if num_classes is None else np.arange(num_classes)


def probability_table(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Check that every row is a probability distribution, and return an array of shape [rows, classes]."""
    table = np.asarray(probabilities, dtype=float)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"probabilities has shape {table.shape}: pass one probability per row and class")
    # The tolerance is for half precision, where a softmax sums to 1 only roughly. The condition says what is right and
    # is then negated, because a comparison with NaN is false: a row with NaN counts as wrong.
    wrong = ~((table >= 0).all(axis=1) & (np.abs(table.sum(axis=1) - 1) < 0.01))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"probabilities, row {row}: {table[row]} does not sum to 1; apply softmax to logits first")
    return table


def logit_table(logits: ArrayLike) -> NDArray[np.float64]:
    """Check that logits are finite and no probabilities, and return an array of shape [rows, classes]."""
    table = np.asarray(logits, dtype=float)
    if table.ndim != 2 or not table.size or table.shape[1] < 2:
        raise ValueError(f"logits has shape {table.shape}: pass one logit per row and class, of two or more classes")
    if not np.isfinite(table).all():
        row = int((~np.isfinite(table)).any(axis=1).argmax())
        raise ValueError(f"logits, row {row}: {table[row]} is not finite")
    if (table >= 0).all() and np.allclose(table.sum(axis=1), 1, atol=0.01):
        raise ValueError("logits contains probabilities: pass the model's outputs before softmax")
    return table


def check_resampling(metric: str, num_resamples: int, confidence_level: float) -> None:
    """Raise ValueError unless the settings of a bootstrap make sense."""
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is not one of {', '.join(METRICS)}")
    if num_resamples < 1:
        raise ValueError(f"num_resamples={num_resamples}: draw at least 1 resample; 2000 is usual")
    if not 0 < confidence_level < 1:
        raise ValueError(f"confidence_level={confidence_level}: pass a fraction between 0 and 1, such as 0.95")
