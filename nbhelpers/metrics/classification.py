"""Scores of a classifier on one set of rows, per class and together, and two helpers to judge them by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from .checks import averaged_classes, class_numbers


def scores(labels: ArrayLike, predictions: ArrayLike, num_classes: int | None = None) -> dict[str, float]:
    """Compute accuracy, weighted F1 and macro F1.

    Weighted F1 is the mean F1 of the classes, each weighted by its number of gold rows. Macro F1 is the plain mean, so
    that a rare class counts as much as a frequent one.

    Args:
        labels: [rows] gold classes.
        predictions: [rows] predicted classes.
        num_classes: macro F1 averages over `range(num_classes)`, where a class with neither gold nor predicted rows
            counts as 0. Without it, macro F1 averages over the classes that occur in either column. Pass it when you
            compare scores of several test sets.

    Returns:
        "accuracy", "weighted_f1" and "macro_f1", each from 0 to 1: the numbers of scikit-learn with
        `labels=range(num_classes), zero_division=0`.

    Raises:
        ValueError: a column is not class numbers, or the columns have different numbers of rows.

    >>> scores([0, 0, 1, 1], [0, 0, 1, 1], num_classes=4)
    {'accuracy': 1.0, 'weighted_f1': 1.0, 'macro_f1': 0.5}
    """
    gold, predicted = class_numbers(num_classes, labels=labels, predictions=predictions)
    classes = averaged_classes(num_classes, gold, predicted)
    # zero_division=0 gives the value that scikit-learn would use anyway, without its warning for absent classes.
    return {
        "accuracy": float(accuracy_score(gold, predicted)),
        "weighted_f1": float(f1_score(gold, predicted, labels=classes, average="weighted", zero_division=0)),
        "macro_f1": float(f1_score(gold, predicted, labels=classes, average="macro", zero_division=0)),
    }


def per_class(labels: ArrayLike, predictions: ArrayLike, names: Sequence[str]) -> pd.DataFrame:
    """Compute precision, recall, F1 and support (the number of gold rows) of each class.

    Args:
        labels: [rows] gold classes.
        predictions: [rows] predicted classes.
        names: `names[i]` is the name of class i.

    Returns:
        A row per class, a column per score. A score of 0 / 0 counts as 0.

    Raises:
        ValueError: a column is not class numbers below `len(names)`, or the columns have different numbers of rows.

    >>> per_class([0, 0, 1], [0, 1, 1], ["neutral", "joy"])
             precision  recall        f1  support
    neutral        1.0     0.5  0.666667        2
    joy            0.5     1.0  0.666667        1
    """
    gold, predicted = class_numbers(len(names), labels=labels, predictions=predictions)
    columns = precision_recall_fscore_support(gold, predicted, labels=range(len(names)), zero_division=0)
    return pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)), index=list(names))


def confusion(labels: ArrayLike, predictions: ArrayLike, names: Sequence[str]) -> pd.DataFrame:
    """Count how often each gold class was predicted as each class.

    Args:
        labels: [rows] gold classes.
        predictions: [rows] predicted classes.
        names: `names[i]` is the name of class i.

    Returns:
        Counts, [classes, classes]: a row per gold class, a column per predicted class.

    Raises:
        ValueError: a column is not class numbers below `len(names)`, or the columns have different numbers of rows.

    >>> confusion([0, 0, 1], [0, 1, 1], ["neutral", "joy"]).loc["neutral", "joy"]  # gold neutral, predicted joy
    np.int64(1)
    """
    gold, predicted = class_numbers(len(names), labels=labels, predictions=predictions)
    counts = confusion_matrix(gold, predicted, labels=range(len(names)))
    gold_names, predicted_names = pd.Index(list(names), name="gold"), pd.Index(list(names), name="predicted")
    return pd.DataFrame(counts, index=gold_names, columns=predicted_names)


def mean_sd(values: ArrayLike) -> tuple[float, float]:
    """Compute the mean and the sample standard deviation of the scores of several runs.

    The standard deviation divides by n - 1. It is NaN for one value, because one run shows no spread.

    Args:
        values: [runs] finite numbers, for instance the test score of each seed.

    Raises:
        ValueError: the list is empty, not one-dimensional, or contains NaN or infinity.

    >>> mean_sd([0.25, 0.5, 0.75]), mean_sd([0.5])
    ((0.5, 0.25), (0.5, nan))
    """
    runs = np.asarray(values, dtype=float)
    if runs.ndim != 1 or not runs.size or not np.isfinite(runs).all():
        raise ValueError(f"values must be a non-empty one-dimensional list of finite numbers, got {values!r}")
    return float(runs.mean()), float(runs.std(ddof=1)) if len(runs) > 1 else float("nan")


def majority(labels_train: ArrayLike, num_rows: int) -> NDArray[np.int64]:
    """Predict the most frequent training class for every row: the baseline that a model must beat.

    Args:
        labels_train: [training rows] gold classes of the training data. In a tie the lower class number wins.
        num_rows: the number of rows to predict.

    Returns:
        [num_rows] predictions.

    Raises:
        ValueError: the labels are not class numbers.

    >>> majority([2, 0, 2, 1], num_rows=3)
    array([2, 2, 2])
    """
    (gold,) = class_numbers(None, labels_train=labels_train)
    return np.full(num_rows, np.bincount(gold).argmax())
