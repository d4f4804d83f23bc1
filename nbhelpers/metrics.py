"""Scores, confidence intervals, paired tests and calibration of classifiers, without torch.

`labels` (gold) and `predictions` are class numbers 0, 1, 2, ... of shape [rows]; `probabilities` are softmax outputs of
shape [rows, classes]. Lists, numpy arrays and pandas Series all do; rows are paired by position, whatever the index.
Every score is a fraction between 0 and 1. Every function raises ValueError on a wrong call.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

METRICS = ("accuracy", "weighted_f1", "macro_f1")


def scores(labels: ArrayLike, predictions: ArrayLike, num_classes: int | None = None) -> dict[str, float]:
    """Accuracy, weighted F1 (classes weighted by their gold rows) and macro F1 (every class counts the same).

    Macro F1 averages over `range(num_classes)`, where a class with neither gold nor predicted rows counts as 0, as in
    scikit-learn with `labels=range(num_classes), zero_division=0`. Without `num_classes` it averages over the classes
    that occur in either column.

    >>> scores([0, 0, 1, 1], [0, 0, 1, 1], num_classes=4)
    {'accuracy': 1.0, 'weighted_f1': 1.0, 'macro_f1': 0.5}
    """
    gold, predicted = _class_numbers(num_classes, labels=labels, predictions=predictions)
    classes = _classes(num_classes, gold, predicted)
    return {
        "accuracy": float(accuracy_score(gold, predicted)),
        "weighted_f1": float(f1_score(gold, predicted, labels=classes, average="weighted", zero_division=0)),
        "macro_f1": float(f1_score(gold, predicted, labels=classes, average="macro", zero_division=0)),
    }


def per_class(labels: ArrayLike, predictions: ArrayLike, names: Sequence[str]) -> pd.DataFrame:
    """Precision, recall, F1 and support (gold rows) per class; `names[i]` names class i. A score of 0 / 0 counts as 0.

    >>> per_class([0, 0, 1], [0, 1, 1], ["neutral", "joy"])
             precision  recall        f1  support
    neutral        1.0     0.5  0.666667        2
    joy            0.5     1.0  0.666667        1
    """
    gold, predicted = _class_numbers(len(names), labels=labels, predictions=predictions)
    columns = precision_recall_fscore_support(gold, predicted, labels=range(len(names)), zero_division=0)
    return pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)), index=list(names))


def confusion(labels: ArrayLike, predictions: ArrayLike, names: Sequence[str]) -> pd.DataFrame:
    """Row counts, [classes, classes]: one line per gold class, one column per predicted class.

    >>> confusion([0, 0, 1], [0, 1, 1], ["neutral", "joy"]).loc["neutral", "joy"]  # gold neutral, predicted joy
    np.int64(1)
    """
    gold, predicted = _class_numbers(len(names), labels=labels, predictions=predictions)
    lines, columns = pd.Index(list(names), name="gold"), pd.Index(list(names), name="predicted")
    return pd.DataFrame(confusion_matrix(gold, predicted, labels=range(len(names))), index=lines, columns=columns)


def bootstrap_ci(
    labels: ArrayLike,
    predictions: ArrayLike,
    metric: str = "weighted_f1",
    *,
    num_classes: int | None = None,
    num_resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of one of `METRICS`: what other test sets of this size might give.

    It covers the choice of test rows, not the seed of a training run. Rows count as independent; turns of one dialogue
    are not quite, so the true interval is somewhat wider. Macro F1 averages over the same classes as in `scores`.
    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    >>> low, high = bootstrap_ci([0, 1] * 50, [0, 1] * 40 + [1, 0] * 10, "accuracy")
    >>> low < 0.8 < high
    True
    """
    _check_sampling(metric, num_resamples, confidence_level)
    gold, predicted = _class_numbers(num_classes, labels=labels, predictions=predictions)
    counts, (gold_of, predicted_of) = _resample(num_resamples, seed, gold, predicted)
    return _interval(
        _score(counts, gold_of, predicted_of, _classes(num_classes, gold, predicted), metric)[1:], confidence_level
    )


def paired_bootstrap(
    labels: ArrayLike,
    predictions_a: ArrayLike,
    predictions_b: ArrayLike,
    metric: str = "weighted_f1",
    *,
    num_classes: int | None = None,
    num_resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, float]:
    """Does B score higher than A on the same rows? Returns `difference` (B minus A), its `low` and `high`, `p_value`.

    Each draw takes the same rows for both. The two-sided p_value is min(1, 2 (1 + k) / (1 + num_resamples)); k is the
    number of draws with difference <= 0 or the number with difference >= 0, whichever is smaller. That is the level at
    which the percentile interval just reaches zero, so interval and p agree. Macro F1 averages over the classes that
    occur in any of the three columns, or over `range(num_classes)`.
    Sources: Koehn, Statistical Significance Tests for Machine Translation Evaluation, EMNLP 2004; Efron and Tibshirani
    (1993), section 15.4; for the 1 +: Davison and Hinkley, Bootstrap Methods and their Application (1997), section 4.2.

    >>> result = paired_bootstrap([0, 1] * 50, [0, 0] * 50, [0, 1] * 40 + [0, 0] * 10, "accuracy")
    >>> result["difference"], result["low"] > 0, round(result["p_value"], 3)
    (0.4, True, 0.001)
    """
    _check_sampling(metric, num_resamples, confidence_level)
    gold, a, b = _class_numbers(num_classes, labels=labels, predictions_a=predictions_a, predictions_b=predictions_b)
    classes = _classes(num_classes, gold, a, b)
    counts, (gold_of, a_of, b_of) = _resample(num_resamples, seed, gold, a, b)
    difference = _score(counts, gold_of, b_of, classes, metric) - _score(counts, gold_of, a_of, classes, metric)
    low, high = _interval(difference[1:], confidence_level)
    return {"difference": float(difference[0]), "low": low, "high": high, "p_value": _two_sided(difference[1:])}


def compare_runs(
    labels: ArrayLike,
    runs_a: Sequence[ArrayLike],
    runs_b: Sequence[ArrayLike],
    metric: str = "weighted_f1",
    *,
    groups: ArrayLike | None = None,
    num_classes: int | None = None,
    num_resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, float]:
    """Is method B better than method A, both run with several seeds and tested on the same rows?

    The score of a method is the mean over its runs. Two tests of the difference, B minus A: a paired bootstrap, which
    draws rows (the same for all runs), and a permutation test, which swaps the answers of run i of A and run i of B,
    all runs at once, row by row with probability 1/2. Both cover the choice of test rows; the spread over seeds is
    averaged, so look at its standard deviation, too.

    Args:
        runs_a, runs_b: [runs, rows] predictions, equally many runs of each.
        groups: [rows] for instance dialogue numbers; whole groups are then drawn and swapped, as turns of one dialogue
            are not independent.

    Returns: `difference`, its `low` and `high`, `p_bootstrap` (as in `paired_bootstrap`) and `p_permutation`, the share
    of (1 +) swaps whose difference is at least as large, in either direction (Noreen, Computer-Intensive Methods for
    Testing Hypotheses, 1989).

    >>> result = compare_runs([0, 1] * 50, [[0, 0] * 50] * 2, [[0, 1] * 40 + [0, 0] * 10] * 2, "accuracy")
    >>> result["difference"], result["p_bootstrap"] < 0.01, result["p_permutation"] < 0.01
    (0.4, True, True)
    """
    _check_sampling(metric, num_resamples, confidence_level)
    if len(runs_a) != len(runs_b) or not len(runs_a):
        raise ValueError(f"{len(runs_a)} runs of A and {len(runs_b)} of B; give equally many, at least one")
    columns = {f"runs_{name}[{i}]": run for name, runs in (("a", runs_a), ("b", runs_b)) for i, run in enumerate(runs)}
    gold, *runs = _class_numbers(num_classes, labels=labels, **columns)
    if groups is not None and len(np.asarray(groups)) != len(gold):
        raise ValueError(f"{len(np.asarray(groups))} groups for {len(gold)} rows; each row needs one")
    classes = _classes(num_classes, gold, *runs)
    unit = np.arange(len(gold)) if groups is None else pd.factorize(np.asarray(groups))[0]
    num_units, size = int(unit.max()) + 1, int(classes.max()) + 1
    gold_of, predicted_of = np.divmod(np.arange(size * size), size)

    def cells(run: NDArray[np.int64]) -> NDArray[np.float64]:
        counts = np.bincount((unit * size + gold) * size + run, minlength=num_units * size * size)
        return counts.reshape(num_units, size * size).astype(float)  # [units, cells]

    def mean(tables: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        return np.mean([_score(table, gold_of, predicted_of, classes, metric) for table in tables], axis=0)

    a, b = [cells(run) for run in runs[: len(runs_a)]], [cells(run) for run in runs[len(runs_a) :]]
    rng, ones = np.random.default_rng(seed), np.ones((1, num_units))
    drawn = np.vstack([ones, rng.multinomial(num_units, np.full(num_units, 1 / num_units), size=num_resamples)])
    difference = mean([drawn @ table for table in b]) - mean([drawn @ table for table in a])
    swap = rng.integers(0, 2, size=(num_resamples, num_units)).astype(float)
    mixed = [(swap @ (x - y), x.sum(0), y.sum(0)) for x, y in zip(a, b, strict=True)]
    swapped = mean([total + moved for moved, _, total in mixed]) - mean([total - moved for moved, total, _ in mixed])
    low, high = _interval(difference[1:], confidence_level)
    return {
        "difference": float(difference[0]),
        "low": low,
        "high": high,
        "p_bootstrap": _two_sided(difference[1:]),
        "p_permutation": (1 + int(np.sum(np.abs(swapped) >= abs(difference[0]) - 1e-12))) / (1 + num_resamples),
    }


def mcnemar(labels: ArrayLike, predictions_a: ArrayLike, predictions_b: ArrayLike) -> dict[str, float]:
    """Exact McNemar test of equal accuracy on the same rows: `only_a_right`, `only_b_right`, two-sided `p_value`.

    If both were equally accurate, the rows that only one of them gets right would fall to either like a fair coin: a
    binomial test. Without such rows p_value is 1.
    Sources: McNemar, Psychometrika 12 (1947); for classifiers: Dietterich, Neural Computation 10 (1998).

    >>> mcnemar([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0])
    {'only_a_right': 0, 'only_b_right': 5, 'p_value': 0.0625}
    """
    gold, a, b = _class_numbers(None, labels=labels, predictions_a=predictions_a, predictions_b=predictions_b)
    only_a, only_b = int(np.sum((a == gold) & (b != gold))), int(np.sum((a != gold) & (b == gold)))
    p_value = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return {"only_a_right": only_a, "only_b_right": only_b, "p_value": p_value}


def reliability(labels: ArrayLike, probabilities: ArrayLike, num_bins: int = 15) -> pd.DataFrame:
    """Is the model right as often as it claims? Rows in `num_bins` equal-width bins (low, high] of the top probability.

    One line per bin: low, high, count, confidence (mean top probability) and accuracy; the last two are NaN in an empty
    bin. Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.

    >>> reliability([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], num_bins=2)
       low  high  count  confidence  accuracy
    0  0.0   0.5      0         NaN       NaN
    1  0.5   1.0      3    0.766667  0.666667
    """
    if num_bins < 1:
        raise ValueError(f"num_bins is {num_bins}: use at least one bin")
    table = _distributions(probabilities)
    (gold,) = _class_numbers(table.shape[1], labels=labels)
    if len(gold) != len(table):
        raise ValueError(f"labels has {len(gold)} rows, probabilities has {len(table)}: pass the same rows in both")
    confidence, right = table.max(axis=1), table.argmax(axis=1) == gold
    edges = np.linspace(0, 1, num_bins + 1)
    bin_of = np.digitize(confidence, edges[1:-1], right=True)
    frame = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": np.bincount(bin_of, minlength=num_bins)})
    return frame.join(pd.DataFrame({"confidence": confidence, "accuracy": right.astype(float)}).groupby(bin_of).mean())


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, num_bins: int = 15) -> float:
    """Mean |accuracy - confidence| over the bins of `reliability`, weighted by their rows (ECE; Guo et al., ICML 2017).

    >>> round(expected_calibration_error([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], num_bins=2), 3)
    0.1
    """
    filled = reliability(labels, probabilities, num_bins).dropna()
    return float(np.average((filled["accuracy"] - filled["confidence"]).abs(), weights=filled["count"]))


def mean_sd(values: ArrayLike) -> tuple[float, float]:
    """Mean and sample standard deviation (n - 1) over runs; the sd of one value is nan, as one run shows no spread.

    >>> mean_sd([0.25, 0.5, 0.75]), mean_sd([0.5])
    ((0.5, 0.25), (0.5, nan))
    """
    runs = np.asarray(values, dtype=float)
    if runs.ndim != 1 or not runs.size or not np.isfinite(runs).all():
        raise ValueError(f"values must be a non-empty flat list of finite numbers, got {values!r}")
    return float(runs.mean()), float(runs.std(ddof=1)) if len(runs) > 1 else float("nan")


def majority(labels_train: ArrayLike, num_rows: int) -> NDArray[np.int64]:
    """The baseline to beat: the most frequent training class for each of `num_rows` rows (in a tie, the lower number).

    >>> majority([2, 0, 2, 1], num_rows=3)
    array([2, 2, 2])
    """
    (gold,) = _class_numbers(None, labels_train=labels_train)
    return np.full(num_rows, np.bincount(gold).argmax())


def _resample(num_resamples: int, seed: int, *columns: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Row counts per cell, [1 + num_resamples, cells], line 0 being the data itself; class numbers, [columns, cells]."""
    # All METRICS depend only on how many rows fall into each cell: (gold, predicted), or (gold, a, b) for a pair.
    # Drawing rows with replacement is therefore a multinomial draw over the cells: one call for thousands of samples.
    # Cells are numbered by first appearance, so swapping A and B gives the same draws and exactly minus the difference.
    cell_of_row, cells = pd.factorize(pd.MultiIndex.from_arrays(columns))
    observed = np.bincount(cell_of_row)
    drawn = np.random.default_rng(seed).multinomial(len(cell_of_row), observed / observed.sum(), size=num_resamples)
    return np.vstack([observed, drawn]), np.array(cells.to_list()).T


def _score(
    counts: NDArray[Any], gold_of: NDArray[Any], predicted_of: NDArray[Any], classes: NDArray[Any], metric: str
) -> NDArray[Any]:
    """The metric of each line of `counts`, [draws, cells] -> [draws]; the other arrays say what a cell stands for."""
    num_rows = counts.sum(axis=1)
    if metric == "accuracy":
        return np.asarray(counts @ (gold_of == predicted_of) / num_rows)
    gold, predicted = gold_of[:, None] == classes, predicted_of[:, None] == classes  # [cells, classes]
    support, found, hits = counts @ gold, counts @ predicted, counts @ (gold & predicted)  # [draws, classes]
    f1 = 2 * hits / np.maximum(support + found, 1)  # a class without gold and predicted rows has no hits: 0
    return np.asarray(f1.mean(axis=1) if metric == "macro_f1" else (f1 * support).sum(axis=1) / num_rows)


def _interval(drawn: NDArray[Any], confidence_level: float) -> tuple[float, float]:
    low, high = np.quantile(drawn, [(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    return float(low), float(high)


def _two_sided(drawn: NDArray[Any]) -> float:
    """The p value of `paired_bootstrap` from the differences drawn."""
    # A tie may come out as 1e-17 instead of 0; the tolerance makes it count on both sides, as the definition asks.
    k = min(np.count_nonzero(drawn <= 1e-12), np.count_nonzero(drawn >= -1e-12))
    return min(1.0, 2 * (1 + int(k)) / (1 + len(drawn)))


def _check_sampling(metric: str, num_resamples: int, confidence_level: float) -> None:
    if metric not in METRICS:
        raise ValueError(f"metric {metric!r} is not one of {', '.join(METRICS)}")
    if num_resamples < 1 or not 0 < confidence_level < 1:
        raise ValueError(
            f"num_resamples={num_resamples}, level={confidence_level}: use 1 sample or more and a confidence level such as 0.95"
        )


def _classes(num_classes: int | None, *columns: NDArray[Any]) -> NDArray[Any]:
    return np.unique(np.concatenate(columns)) if num_classes is None else np.arange(num_classes)


def _class_numbers(num_classes: int | None, **columns: ArrayLike) -> list[NDArray[np.int64]]:
    """The columns as arrays of shape [rows], after checking that they are class numbers and equally long."""
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    for name, array in arrays.items():
        if array.ndim != 1 or not array.size:
            raise ValueError(f"{name} has shape {array.shape}: pass a non-empty flat list of class numbers")
        if array.dtype.kind not in "iu":
            raise ValueError(f"{name} holds {array.dtype} values such as {array[0]!r}: pass class numbers 0, 1, 2, ...")
        outside = (array < 0) | (array >= (np.inf if num_classes is None else num_classes))
        if outside.any():
            row, last = int(outside.argmax()), "" if num_classes is None else f" to {num_classes - 1}"
            raise ValueError(f"{name}, row {row}: {array[row]} is no class number from 0{last}; drop rows marked -100")
    if len({array.size for array in arrays.values()}) > 1:
        sizes = ", ".join(f"{name} has {array.size}" for name, array in arrays.items())
        raise ValueError(f"the numbers of rows differ: {sizes}; pass the same rows in each")
    return [array.astype(np.int64) for array in arrays.values()]


def _distributions(probabilities: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(probabilities, dtype=float)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"probabilities has shape {table.shape}: pass one probability per row and class")
    # Half-precision softmax misses 1 by a little. Asking what is right, then negating, makes NaN count as wrong.
    wrong = ~((table >= 0).all(axis=1) & (np.abs(table.sum(axis=1) - 1) < 0.01))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(f"probabilities, row {row}: {table[row]} does not sum to 1; apply softmax to logits first")
    return table
