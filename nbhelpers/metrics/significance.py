"""Confidence intervals of a score, and hypothesis tests of the difference between two trained models."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import binomtest

from .checks import averaged_classes, check_resampling, class_numbers
from .resampling import number_groups, percentile_interval, resample_cells, score_of_counts, two_sided_p_value


def bootstrap_ci(
    labels: ArrayLike,
    predictions: ArrayLike,
    metric: str = "weighted_f1",
    *,
    groups: ArrayLike | None = None,
    num_classes: int | None = None,
    num_resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Compute a bootstrap confidence interval of a score: how much it depends on the choice of test rows.

    The rows are drawn with replacement many times, each draw is scored, and the interval contains the middle 95 % of
    these scores (the percentile method).

    What the interval covers: this one trained model, tested on other rows (or groups) from the same source. It does not
    cover the seed of the training run. Without `groups`, rows count as independent; if they are not, as turns of one
    dialogue, the interval is too narrow.

    Macro F1 of a draw is the mean over the classes that have gold rows in this draw. A draw without gold rows of a rare
    class says nothing about that class, so it is left out there. A class without a gold row among all `labels` counts
    as 0 in every draw, as in `scores`.

    Args:
        labels: [rows] gold classes.
        predictions: [rows] predicted classes.
        metric: one of `METRICS`.
        groups: [rows] for instance dialogue numbers. Whole groups are then drawn, because turns of one dialogue are not
            independent. None treats each row as a group of its own.
        num_classes: macro F1 averages over `range(num_classes)`; None averages over the classes in either column.
        num_resamples: the number of draws.
        confidence_level: a fraction between 0 and 1.
        seed: of the draws.

    Returns:
        The lower and the upper end.

    Raises:
        ValueError: a column is not class numbers, columns or groups differ in length, or a setting is not possible.

    Sources: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; for classes with an undefined
    score, which scikit-learn also leaves out with `zero_division=np.nan`, the discussion in
    https://github.com/scikit-learn/scikit-learn/issues/22625.

    >>> low, high = bootstrap_ci([0, 1] * 50, [0, 1] * 40 + [1, 0] * 10, "accuracy")
    >>> low < 0.8 < high
    True
    """
    check_resampling(metric, num_resamples, confidence_level)
    gold, predicted = class_numbers(num_classes, labels=labels, predictions=predictions)
    classes, gold_classes = averaged_classes(num_classes, gold, predicted), np.unique(gold)
    group_of_row = number_groups(groups, len(gold))
    counts, (gold_of_cell, predicted_of_cell) = resample_cells(num_resamples, seed, group_of_row, gold, predicted)
    drawn = score_of_counts(counts, gold_of_cell, predicted_of_cell, classes, gold_classes, metric)
    return percentile_interval(drawn[1:], confidence_level)  # line 0 is the data itself, not a draw


def paired_bootstrap(
    labels: ArrayLike,
    predictions_a: ArrayLike,
    predictions_b: ArrayLike,
    metric: str = "weighted_f1",
    *,
    groups: ArrayLike | None = None,
    num_classes: int | None = None,
    num_resamples: int = 2000,
    confidence_level: float = 0.95,
    seed: int = 0,
) -> dict[str, float]:
    """Test whether model B scores higher than model A on the same rows.

    Each draw takes the same rows for both models, so that what makes a row easy or hard for both cancels out.

    What the interval and the p-value cover: these two trained models, tested on other rows (or groups) from the same
    source. They do not cover the seeds of training; to compare methods, train each with several seeds and use
    `compare_runs`. Macro F1 of a draw is defined as in `bootstrap_ci`, and both models are averaged over the same
    classes.

    Args:
        labels: [rows] gold classes.
        predictions_a: [rows] classes predicted by model A.
        predictions_b: [rows] classes predicted by model B.
        metric: one of `METRICS`.
        groups: [rows] as in `bootstrap_ci`.
        num_classes: macro F1 averages over `range(num_classes)`; None averages over the classes in any of the columns.
        num_resamples: the number of draws.
        confidence_level: a fraction between 0 and 1.
        seed: of the draws.

    Returns:
        "difference" (B minus A), "low" and "high" (its percentile interval) and "p_value" (two-sided). With k the
        number of draws with difference <= 0 or the number with difference >= 0, whichever is smaller, the p-value is
        min(1, 2 (1 + k) / (1 + num_resamples)). It falls below 0.05 about when the 95 % interval excludes 0.

    Raises:
        ValueError: a column is not class numbers, columns or groups differ in length, or a setting is not possible.

    Sources: Koehn, Statistical Significance Tests for Machine Translation Evaluation, EMNLP 2004; Efron and Tibshirani
    (1993), section 15.4; for the 1 +: Davison and Hinkley, Bootstrap Methods and their Application (1997), section 4.2.

    >>> result = paired_bootstrap([0, 1] * 50, [0, 0] * 50, [0, 1] * 40 + [0, 0] * 10, "accuracy")
    >>> result["difference"], result["low"] > 0, round(result["p_value"], 3)
    (0.4, True, 0.001)
    """
    check_resampling(metric, num_resamples, confidence_level)
    gold, a, b = class_numbers(num_classes, labels=labels, predictions_a=predictions_a, predictions_b=predictions_b)
    classes, gold_classes = averaged_classes(num_classes, gold, a, b), np.unique(gold)
    group_of_row = number_groups(groups, len(gold))
    counts, (gold_of_cell, a_of_cell, b_of_cell) = resample_cells(num_resamples, seed, group_of_row, gold, a, b)
    scores_a = score_of_counts(counts, gold_of_cell, a_of_cell, classes, gold_classes, metric)
    scores_b = score_of_counts(counts, gold_of_cell, b_of_cell, classes, gold_classes, metric)
    observed, drawn = float(scores_b[0] - scores_a[0]), scores_b[1:] - scores_a[1:]  # line 0 is the data itself
    low, high = percentile_interval(drawn, confidence_level)
    return {"difference": observed, "low": low, "high": high, "p_value": two_sided_p_value(drawn)}


def mcnemar(labels: ArrayLike, predictions_a: ArrayLike, predictions_b: ArrayLike) -> dict[str, float]:
    """Test whether two models have the same accuracy on the same rows (the exact McNemar test).

    Only the rows that one model gets right and the other wrong matter. If both models were equally accurate, either
    would be the right one with probability 1/2, so their numbers have a binomial distribution.

    Args:
        labels: [rows] gold classes.
        predictions_a: [rows] classes predicted by model A.
        predictions_b: [rows] classes predicted by model B.

    Returns:
        "only_a_right" and "only_b_right", the numbers of such rows, and the two-sided "p_value", which is 1 when there
        are no such rows. It covers neither the seeds of training nor, as rows count as independent, turns of one
        dialogue; `paired_bootstrap` with `groups` does the latter.

    Raises:
        ValueError: a column is not class numbers, or the columns have different numbers of rows.

    Sources: McNemar, Psychometrika 12 (1947); for classifiers: Dietterich, Neural Computation 10 (1998).

    >>> mcnemar([1, 1, 1, 1, 1, 0], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0])
    {'only_a_right': 0, 'only_b_right': 5, 'p_value': 0.0625}
    """
    gold, a, b = class_numbers(None, labels=labels, predictions_a=predictions_a, predictions_b=predictions_b)
    only_a, only_b = int(np.sum((a == gold) & (b != gold))), int(np.sum((a != gold) & (b == gold)))
    p_value = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return {"only_a_right": only_a, "only_b_right": only_b, "p_value": p_value}
