"""Control charts of shares: limits that a share passes rarely by chance, and how often it passes them."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import binom

from .counts import check_counts
from .errors import AlertError

MEAN_RANGE = 2 / np.sqrt(np.pi)  # of two independent normal values, in standard deviations; tables call it d2 = 1.128


def p_chart(counts: ArrayLike, totals: ArrayLike, usual: float | None = None, sigmas: float = 3.0) -> pd.DataFrame:
    """Compare the share of each period with the limits usual ± sigmas * sqrt(usual (1 - usual) / total).

    The limits assume that items are independent, and that the share is about normal. The second needs about five
    expected items with the label and five without it. Below that, an upper limit can be above 1, where no count of any
    size is outside; see `false_alarm_chance` for what the limits are worth.

    Args:
        counts: [periods] how many items have the label.
        totals: [periods] how many items there are.
        usual: the share in ordinary times. By default the share in all these periods, the bad ones included.
        sigmas: the width of the limits in standard deviations.

    Returns:
        A row per period with the columns "share", "low", "high" and "is_outside". A period without items is inside.

    Raises:
        AlertError: the counts do not fit the totals, or the usual share is not between 0 and 1.

    Source: Montgomery, Introduction to Statistical Quality Control, 7th edition 2013, chapter 7.

    >>> p_chart([9, 14], [50, 50], usual=0.1).round(3)
       share  low   high  is_outside
    0   0.18  0.0  0.227       False
    1   0.28  0.0  0.227        True
    """
    k, n = check_counts(np.atleast_1d(counts), np.atleast_1d(totals))
    usual = check_share("usual", k.sum() / max(n.sum(), 1) if usual is None else usual)
    half = sigmas * np.sqrt(usual * (1 - usual) / np.maximum(n, 1))
    low, high = np.maximum(usual - half, 0), usual + half
    share = np.divide(k, n, out=np.full_like(k, np.nan), where=n > 0)
    return pd.DataFrame(
        {"share": share, "low": low, "high": high, "is_outside": (n > 0) & ((share < low) | (share > high))}
    )


def false_alarm_chance(total: int, usual: float, sigmas: float = 3.0) -> tuple[float, float]:
    """Compute how likely a period is below or above the limits of a p-chart while the share is the usual one.

    This is exact, from the binomial distribution. The textbook's 0.00135 on each side is that of a normal one.

    Args:
        total: the number of items of the period.
        usual: the share in ordinary times.
        sigmas: the width of the limits.

    Returns:
        The chance of a count below the lower limit, and of one above the upper limit.

    >>> [round(chance, 4) for chance in false_alarm_chance(50, 0.1)]
    [0.0, 0.0032]
    >>> false_alarm_chance(2, 0.2)  # the upper limit is above 1
    (0.0, 0.0)
    """
    usual = check_share("usual", usual)
    counts = np.arange(total + 1)
    chart = p_chart(counts, np.full(total + 1, total), usual, sigmas)
    chances = binom.pmf(counts, total, usual)
    is_above = chart["share"] > usual
    outside = chart["is_outside"]
    return float(chances[outside & ~is_above].sum()), float(chances[outside & is_above].sum())


def chance_of_any(chance: float, num_charts: int) -> float:
    """Compute the chance of at least one false alarm on several independent charts.

    >>> round(chance_of_any(0.0027, 20), 3)  # 20 charts of normal values with limits at 3 standard deviations
    0.053
    """
    return 1 - (1 - check_share("chance", chance)) ** num_charts


def moving_range_limits(values: ArrayLike, sigmas: float = 3.0) -> tuple[float, float, float]:
    """Compute the limits of a chart of individual values from the mean difference of neighbors.

    This is what many tools call an XmR or an individuals chart. It assumes that neighbors are independent. If they are
    alike, their differences are small, the limits are too narrow, and there are many false alarms.

    Args:
        values: [periods] such as daily shares.
        sigmas: the width of the limits in standard deviations.

    Returns:
        The lower limit, the mean and the upper limit.

    >>> [round(limit, 2) for limit in moving_range_limits([1, 2, 1, 2])]
    [-1.16, 1.5, 4.16]
    """
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or len(x) < 2 or not np.isfinite(x).all():
        raise AlertError("values: pass at least two numbers in order of time")
    half = sigmas * np.abs(np.diff(x)).mean() / MEAN_RANGE
    return float(x.mean() - half), float(x.mean()), float(x.mean() + half)


def check_share(name: str, value: float) -> float:
    """Return a share; AlertError unless it is between 0 and 1."""
    if not 0 <= value <= 1:  # also false for NaN
        raise AlertError(f"{name}={value}: pass a share between 0 and 1")
    return float(value)
