"""How certain a mean over questions is, and whether one method is better than another on the same questions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def mean_interval(
    values: ArrayLike, *, confidence_level: float = 0.95, num_resamples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Compute a mean and its bootstrap interval: questions are drawn again with replacement.

    Args:
        values: the score of each question [questions], such as a column of `score_rankings`.
        confidence_level: share of the drawn means that the interval contains.
        num_resamples: number of draws.
        seed: of the draws.

    Returns:
        The mean, and the low and the high end of the interval.

    Raises:
        ValueError: there are no values, or one is NaN.

    >>> mean, low, high = mean_interval([1.0, 0.0, 0.5, 1.0] * 20)
    >>> mean, low < mean < high
    (0.625, True)
    """
    scores = checked(values)
    drawn = resampled_means(scores, num_resamples, seed)
    low, high = np.quantile(drawn, [(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    return float(scores.mean()), float(low), float(high)


def paired_difference(
    first: ArrayLike,
    second: ArrayLike,
    *,
    confidence_level: float = 0.95,
    num_resamples: int = 10_000,
    seed: int = 0,
) -> dict[str, float]:
    """Compare two methods on the same questions: a paired bootstrap over questions.

    Hard questions are hard for both methods. Drawn in pairs, this common part cancels, so the interval of the
    difference is usually much narrower than the two intervals of the means suggest. Two such intervals may overlap
    although the difference is clear.

    Args:
        first, second: the score of each question [questions] with each method, in the same order.
        confidence_level, num_resamples, seed: as in `mean_interval`.

    Returns:
        "difference" (second minus first), "low" and "high" of its interval, and "p_value": twice the smaller share of
        draws on one side of 0, where a draw of exactly 0 is on both sides.

    Raises:
        ValueError: the lengths differ, there are no values, or one is NaN.

    >>> result = paired_difference([0.0, 0.5, 1.0] * 20, [0.5, 0.5, 1.0] * 20)
    >>> round(result["difference"], 3), result["low"] > 0
    (0.167, True)
    """
    before, after = checked(first), checked(second)
    if len(before) != len(after):
        raise ValueError(f"{len(before)} and {len(after)} scores; pass both methods' scores of the same questions")
    differences = after - before
    drawn = resampled_means(differences, num_resamples, seed)
    low, high = np.quantile(drawn, [(1 - confidence_level) / 2, (1 + confidence_level) / 2])
    # Sums of equal scores may differ by 1e-17 after rounding, and such a tie must count on both sides
    one_side = min(np.count_nonzero(drawn <= 1e-12), np.count_nonzero(drawn >= -1e-12))
    p_value = min(1.0, 2 * (1 + one_side) / (1 + num_resamples))
    return {"difference": float(differences.mean()), "low": float(low), "high": float(high), "p_value": float(p_value)}


def resampled_means(values: NDArray[np.float64], num_resamples: int, seed: int) -> NDArray[np.float64]:
    """Compute the means of as many values, drawn with replacement, [num_resamples]."""
    # Equal values need not be told apart, so it is enough to draw how often each one comes: far fewer numbers
    distinct, counts = np.unique(values, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(len(values), counts / len(values), size=num_resamples)
    return np.asarray(drawn @ distinct / len(values))


def checked(values: ArrayLike) -> NDArray[np.float64]:
    """The values as an array; a ValueError where a mean would be NaN."""
    scores = np.asarray(values, dtype=np.float64).ravel()
    if not len(scores) or np.isnan(scores).any():
        raise ValueError("there are no scores, or one of them is NaN; pass one number for each question")
    return scores
