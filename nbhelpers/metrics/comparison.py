"""Compare methods that were trained with several seeds, and correct the p-values of several comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .checks import averaged_classes, check_resampling, check_runs
from .resampling import (
    bootstrap_differences,
    contingency_tables,
    number_groups,
    percentile_interval,
    permutation_differences,
    score_of_counts,
    seed_deviations,
    two_sided_p_value,
)


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
    """Test whether method B is better than method A, where both were trained with several seeds.

    The score of a method is the mean score of its runs. Two things would change the difference, B minus A: other test
    rows and other seeds. Each draw of the paired bootstrap therefore takes rows with replacement, the same for all
    runs, and adds a random deviation for the seeds. That deviation has the distribution of a t-test of the differences
    between run i of B and run i of A. The permutation test swaps the predictions of A and B, for each row with
    probability 1/2 and in all runs at once, and adds a deviation of the same kind.

    What the interval and both p-values cover: other seeds and other rows (or groups) from the same source. With one run
    of each method, they cover only other rows, because one run tells nothing about other seeds. Chance that belongs to
    a seed and a row together counts twice, so the interval is rather too wide than too narrow. If you make several
    comparisons, pass their p-values to `holm`. Macro F1 of a draw is defined as in `bootstrap_ci`.

    Args:
        labels: [rows] gold classes.
        runs_a: [runs, rows] predictions of method A, a list per run.
        runs_b: [runs, rows] predictions of method B, equally many runs. Run i of both should have the same seed.
        metric: one of `METRICS`.
        groups: [rows] for instance dialogue numbers. Whole groups are then drawn and swapped, because turns of one
            dialogue are not independent. None treats each row as a group of its own.
        num_classes: macro F1 averages over `range(num_classes)`; None averages over the classes in any of the columns.
        num_resamples: the number of draws, and of permutations.
        confidence_level: a fraction between 0 and 1.
        seed: of the draws and permutations.

    Returns:
        "difference", its "low" and "high" (percentile interval), "p_bootstrap" (two-sided, as in `paired_bootstrap`)
        and "p_permutation": (1 + the number of permutations whose difference is at least as large in absolute value) /
        (1 + num_resamples).

    Raises:
        ValueError: A and B have different numbers of runs or none, a column is not class numbers, columns or groups
            differ in length, or a setting is not possible.

    Sources: for the permutation test Noreen, Computer-Intensive Methods for Testing Hypotheses (1989); for seeds and
    test rows as two sources of chance Bouthillier et al., Accounting for Variance in Machine Learning Benchmarks, MLSys
    2021; for drawing from two such factors at once Owen, The Pigeonhole Bootstrap, Annals of Applied Statistics 2007.

    >>> result = compare_runs([0, 1] * 50, [[0, 0] * 50] * 2, [[0, 1] * 40 + [0, 0] * 10] * 2, "accuracy")
    >>> result["difference"], result["p_bootstrap"] < 0.01, result["p_permutation"] < 0.01
    (0.4, True, True)
    """
    check_resampling(metric, num_resamples, confidence_level)
    gold, a, b = check_runs(labels, runs_a, runs_b, num_classes)
    group_of_row = number_groups(groups, len(gold))
    classes = averaged_classes(num_classes, gold, *a, *b)

    # Step 1: count gold by predicted classes per group. All draws below only add up these tables.
    size = int(classes.max()) + 1
    tables_a = contingency_tables(gold, a, group_of_row, size)  # [runs, groups, cells]
    tables_b = contingency_tables(gold, b, group_of_row, size)
    gold_of_cell, predicted_of_cell = np.divmod(np.arange(size * size), size)
    score = partial(
        score_of_counts,
        gold_of_cell=gold_of_cell,
        predicted_of_cell=predicted_of_cell,
        classes=classes,
        gold_classes=np.unique(gold),
        metric=metric,
    )

    # Step 2: the difference of each pair of runs on the test rows as they are, where each group counts once.
    differences = score(tables_b.sum(axis=1)) - score(tables_a.sum(axis=1))  # [runs]
    observed = float(differences.mean())

    # Step 3: the differences under resampling. The order matters for reproducing results: all use one generator.
    rng = np.random.default_rng(seed)
    drawn = bootstrap_differences(tables_a, tables_b, score, num_resamples, rng)
    permuted = permutation_differences(tables_a, tables_b, score, num_resamples, rng)
    drawn, permuted = (values + seed_deviations(differences, num_resamples, rng) for values in (drawn, permuted))

    low, high = percentile_interval(drawn, confidence_level)
    # As in two_sided_p_value, the tolerance keeps rounding from deciding ties.
    at_least_as_large = int(np.sum(np.abs(permuted) >= abs(observed) - 1e-12))
    return {
        "difference": observed,
        "low": low,
        "high": high,
        "p_bootstrap": two_sided_p_value(drawn),
        "p_permutation": (1 + at_least_as_large) / (1 + num_resamples),
    }


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Correct the p-values of several comparisons, so that you may still call those below 0.05 significant.

    Of twenty comparisons without any difference, one has a p-value below 0.05 on average. After the correction, the
    probability that this happens to any of them is 0.05 at most, however the comparisons depend on each other. The
    smallest of m p-values is multiplied by m, the next one by m - 1, and so on; none becomes smaller than one before
    it, or larger than 1.

    Args:
        p_values: [comparisons] p-values of all comparisons that were made, also of those that nobody will report.

    Returns:
        [comparisons] the corrected p-values, in the order given.

    Raises:
        ValueError: the list is not one-dimensional, or a value is not between 0 and 1.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal of Statistics 6 (1979).

    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()  # 0.04 becomes 0.06 like 0.03, which comes before it
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=float)
    # The condition says what is right, because a comparison with NaN is false.
    if values.ndim != 1 or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"p_values must be a one-dimensional list of numbers between 0 and 1, got {p_values!r}")
    order = values.argsort()
    corrected = np.empty_like(values)
    corrected[order] = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    return np.minimum(corrected, 1)
