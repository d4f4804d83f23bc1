"""Random draws behind intervals and tests: counts of rows, drawn again many times, and the scores of these counts.

A score depends only on how many rows are in each cell of a contingency table: gold class by predicted class, and for a
pair of models gold class by class predicted by A by class predicted by B. So nothing here draws single rows. It draws
the counts of the cells, which is much faster, and computes the score of each draw from its counts.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

ScoreFunction = Callable[[NDArray[Any]], NDArray[Any]]  # counts [draws, cells] -> scores [draws]


def resample_cells(
    num_resamples: int, seed: int, group_of_row: NDArray[np.int64], *columns: NDArray[Any]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Draw groups of rows with replacement, as many as there are, and count the rows of each cell.

    Args:
        group_of_row: [rows] numbers of the groups, from 0. If each row is a group of its own, single rows are drawn.
        columns: [rows] each, such as gold and predicted classes. Rows with the same values in all columns are a cell.

    Returns:
        The counts, [1 + num_resamples, cells], where line 0 is the data itself, and the class number that each column
        has in each cell, [columns, cells].
    """
    # Cells are numbered by first appearance, not by class number. Models A and B may then change places without
    # changing the draws, and the difference of their scores changes its sign exactly.
    cell_of_row, cells = pd.factorize(pd.MultiIndex.from_arrays(columns))
    observed, rng = np.bincount(cell_of_row), np.random.default_rng(seed)
    num_groups = int(group_of_row.max()) + 1
    if num_groups == len(cell_of_row):
        # The counts of n rows drawn with replacement have a multinomial distribution.
        drawn = rng.multinomial(num_groups, observed / observed.sum(), size=num_resamples)
    else:
        counts_of_group = np.zeros((num_groups, len(observed)), dtype=np.int64)
        np.add.at(counts_of_group, (group_of_row, cell_of_row), 1)
        drawn = draw_groups(num_groups, num_resamples, rng) @ counts_of_group
    return np.vstack([observed, drawn]), np.array(cells.to_list()).T


def draw_groups(num_groups: int, num_resamples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw groups with replacement, as many as there are: how often each one was drawn, [num_resamples, num_groups]."""
    return rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=num_resamples)


def score_of_counts(
    counts: NDArray[Any],
    gold_of_cell: NDArray[Any],
    predicted_of_cell: NDArray[Any],
    classes: NDArray[Any],
    gold_classes: NDArray[Any],
    metric: str,
) -> NDArray[Any]:
    """Compute the metric of each draw from its counts.

    A draw can miss a class that the test rows contain. It then says nothing about this class, neither good nor bad, so
    macro F1 is the mean over the other classes. scikit-learn's `zero_division=np.nan` has the same purpose: a class
    with an undefined score is left out of the average
    (https://github.com/scikit-learn/scikit-learn/issues/22625 and pull request 25531). But there a class is absent only
    if it is not predicted either.

    Args:
        counts: [draws, cells] numbers of rows.
        gold_of_cell, predicted_of_cell: [cells] the gold and the predicted class of the rows of a cell.
        classes: the classes that F1 is computed of.
        gold_classes: the classes with gold rows among all test rows. A class without any gold row counts as 0 in every
            draw, as it does in `scores`.
        metric: one of `METRICS`.

    Returns:
        [draws] scores.
    """
    num_rows = counts.sum(axis=1)
    if metric == "accuracy":
        return np.asarray(counts @ (gold_of_cell == predicted_of_cell) / num_rows)
    gold, predicted = gold_of_cell[:, None] == classes, predicted_of_cell[:, None] == classes  # [cells, classes]
    gold_rows, predicted_rows, correct_rows = counts @ gold, counts @ predicted, counts @ (gold & predicted)
    # F1 = 2 TP / (2 TP + FP + FN), and the denominator is the number of gold rows plus the number of predicted rows.
    # A class that a draw does not contain at all has 0 / 0; the maximum makes it 0 / 1.
    f1 = 2 * correct_rows / np.maximum(gold_rows + predicted_rows, 1)  # [draws, classes]
    if metric == "weighted_f1":
        return np.asarray((f1 * gold_rows).sum(axis=1) / num_rows)
    # Only classes with gold rows in the draw add to the sum. Dividing by their number leaves out the others. The factor
    # is for classes without any gold row: it is below 1 only if `classes` has some, and their 0 counts in every draw.
    factor = np.isin(classes, gold_classes).mean()
    return np.asarray(factor * f1.sum(axis=1) / (gold_rows > 0).sum(axis=1))


def percentile_interval(drawn: NDArray[Any], confidence_level: float) -> tuple[float, float]:
    """The interval that contains the middle `confidence_level` of the drawn values."""
    low, high = np.quantile(drawn, [(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    return float(low), float(high)


def two_sided_p_value(differences: NDArray[Any]) -> float:
    """The p-value of a bootstrap of differences, as `paired_bootstrap` defines it."""
    # Equal scores may differ by 1e-17 after rounding. The tolerance lets such a tie count on both sides, as it should.
    at_most_zero = np.count_nonzero(differences <= 1e-12)
    at_least_zero = np.count_nonzero(differences >= -1e-12)
    return min(1.0, 2 * (1 + int(min(at_most_zero, at_least_zero))) / (1 + len(differences)))


def number_groups(groups: Any, num_rows: int) -> NDArray[np.int64]:
    """Number the groups 0, 1, 2, ... and return the number of each row, [rows]; without groups, each row is its own.

    >>> number_groups(["b", "a", "b"], num_rows=3)
    array([0, 1, 0])
    """
    if groups is None:
        return np.arange(num_rows, dtype=np.int64)
    values = np.asarray(groups)
    if len(values) != num_rows:
        raise ValueError(f"{len(values)} groups for {num_rows} rows: pass the group of each row")
    numbers = np.asarray(pd.factorize(values)[0], dtype=np.int64)
    if (numbers < 0).any():  # how pandas marks a missing value
        raise ValueError(f"groups, row {int((numbers < 0).argmax())}: the group is missing; give every row one")
    return numbers


def contingency_tables(
    gold: NDArray[np.int64], runs: list[NDArray[np.int64]], group_of_row: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """Count gold by predicted classes, separately for each run and for each group of rows.

    Args:
        gold: [rows] gold classes, all below `size`.
        runs: predictions of each run, [rows] each, all below `size`.
        group_of_row: [rows] numbers of the groups, from 0.
        size: the number of classes in the table.

    Returns:
        [runs, groups, size * size]. The cell `gold * size + predicted` counts the rows with these classes.

    >>> gold, run = np.array([0, 0, 1]), np.array([0, 1, 1])
    >>> contingency_tables(gold, [run], group_of_row=np.array([0, 0, 1]), size=2)
    array([[[1., 1., 0., 0.],
            [0., 0., 0., 1.]]])
    """
    num_groups, num_cells = int(group_of_row.max()) + 1, size * size
    # bincount is one-dimensional, so group and cell become one number: group * num_cells + cell.
    flat = [
        np.bincount(group_of_row * num_cells + gold * size + predicted, minlength=num_groups * num_cells)
        for predicted in runs
    ]
    return np.array(flat).reshape(len(runs), num_groups, num_cells).astype(float)


def mean_score(counts: NDArray[Any], score: ScoreFunction) -> NDArray[Any]:
    """The mean score over runs, for each draw: counts [runs, draws, cells] -> [draws]."""
    return np.asarray(np.mean([score(counts_of_run) for counts_of_run in counts], axis=0))


def bootstrap_differences(
    tables_a: NDArray[np.float64],
    tables_b: NDArray[np.float64],
    score: ScoreFunction,
    num_resamples: int,
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Draw groups with replacement, and return the difference of the mean scores, B minus A, of each draw.

    Args:
        tables_a, tables_b: [runs, groups, cells] from `contingency_tables`.
        score: computes the scores of counts [draws, cells].

    Returns:
        [num_resamples] differences.
    """
    # The draws are the same for A and B and for all their runs: that is what makes the comparison a paired one.
    times_drawn = draw_groups(tables_a.shape[1], num_resamples, rng)  # [draws, groups]
    return mean_score(times_drawn @ tables_b, score) - mean_score(times_drawn @ tables_a, score)


def permutation_differences(
    tables_a: NDArray[np.float64],
    tables_b: NDArray[np.float64],
    score: ScoreFunction,
    num_resamples: int,
    rng: np.random.Generator,
) -> NDArray[Any]:
    """Swap the predictions of A and B in random groups, and return the difference B minus A after each swap.

    Each group is swapped with probability 1/2, in all runs at once: run i of A gets the predictions of run i of B in
    this group, and the other way round.

    Args:
        tables_a, tables_b: [runs, groups, cells] from `contingency_tables`.
        score: computes the scores of counts [draws, cells].

    Returns:
        [num_resamples] differences.
    """
    num_groups = tables_a.shape[1]
    swapped = rng.integers(0, 2, size=(num_resamples, num_groups)).astype(float)  # 1 where a group is swapped
    # A loses its own counts of the swapped groups and gains those of B. This is the net change, [runs, draws, cells].
    change_of_b = swapped @ (tables_a - tables_b)
    counts_a = tables_a.sum(axis=1, keepdims=True) - change_of_b
    counts_b = tables_b.sum(axis=1, keepdims=True) + change_of_b
    return mean_score(counts_b, score) - mean_score(counts_a, score)


def seed_deviations(differences: NDArray[Any], num_resamples: int, rng: np.random.Generator) -> NDArray[Any]:
    """Draw how far the mean difference may lie from that of other seeds: what it owes to the seeds that were trained.

    Five differences are too few to be drawn with replacement. The interval would contain the true mean in about 84 % of
    cases instead of 95 %, because five values rarely include the extremes. So the draws come from the distribution that
    a t-test uses: Student's t with runs - 1 degrees of freedom, times the standard error of the mean.

    Args:
        differences: [runs] B minus A of each pair of runs, on the same test rows.

    Returns:
        [num_resamples] deviations; all 0 for a single pair of runs, which tells nothing about other seeds.
    """
    num_runs = len(differences)
    if num_runs == 1:
        return np.zeros(num_resamples)
    standard_error = differences.std(ddof=1) / np.sqrt(num_runs)
    return np.asarray(standard_error * rng.standard_t(num_runs - 1, size=num_resamples))
