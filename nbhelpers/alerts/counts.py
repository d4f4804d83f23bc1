"""Count labels by company, topic and day, with an interval for each share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from .errors import AlertError


def wilson_interval(
    counts: ArrayLike, totals: ArrayLike, level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute Wilson's confidence interval of each share.

    Unlike the textbook interval, share ± 1.96 standard errors, it stays between 0 and 1, and it does not become a
    single point when none or all of a few items have the label.

    Args:
        counts: [n] how many items have the label.
        totals: [n] how many items there are. Without an item the interval is 0 to 1: nothing is known.
        level: the confidence level.

    Returns:
        The lower and the upper end of each interval, [n] each.

    Raises:
        AlertError: a count is negative or larger than its total, or the level is not between 0 and 1.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference, JASA 22 (1927); Brown, Cai and
    DasGupta, Interval Estimation for a Binomial Proportion, Statistical Science 16 (2001), on why to use it.

    >>> low, high = wilson_interval([0, 2, 20], [3, 10, 100])
    >>> [(round(float(a), 2), round(float(b), 2)) for a, b in zip(low, high)]
    [(0.0, 0.56), (0.06, 0.51), (0.13, 0.29)]
    """
    counts, totals = check_counts(counts, totals)
    if not 0 < level < 1:
        raise AlertError(f"level={level}: pass a number between 0 and 1, such as 0.95")
    z2 = norm.ppf((1 + level) / 2) ** 2
    n = np.maximum(totals, 1)
    center = (counts + z2 / 2) / (n + z2)
    half = np.sqrt(z2 * (counts * (n - counts) / n + z2 / 4)) / (n + z2)
    known = totals > 0
    # The clipping removes rounding errors of about 1e-17.
    return np.where(known, np.clip(center - half, 0, 1), 0.0), np.where(known, np.clip(center + half, 0, 1), 1.0)


def check_counts(counts: ArrayLike, totals: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return both as arrays; AlertError unless each count is between 0 and its total."""
    k, n = np.asarray(counts, dtype=float), np.asarray(totals, dtype=float)
    if k.shape != n.shape:
        raise AlertError(f"counts has shape {k.shape} and totals {n.shape}; pass one total for each count")
    wrong = np.flatnonzero(~((k >= 0) & (k <= n) & np.isfinite(n)))  # says what is right, because of NaN
    if len(wrong):
        place = f"item {wrong[0]}: " if k.ndim else ""
        raise AlertError(f"{place}{k.ravel()[wrong[0]]:g} of {n.ravel()[wrong[0]]:g} is no share; pass counts up to n")
    return k, n


def count_labels(
    table: pd.DataFrame, label: str, by: Sequence[str] = (), period: str | None = None, level: float = 0.95
) -> pd.DataFrame:
    """Count how many rows of each group have a label, with an interval for the share.

    Args:
        table: a row per sentence, or per story, with the columns "label", "date" and those named in `by`.
        label: what is counted.
        by: columns, such as ["company"] or ["company", "topic"].
        period: also split by time: "D" for days, "W" for weeks from Monday to Sunday, "M" for months. None does not.
        level: the confidence level of the intervals.

    Returns:
        A row per group that occurs, in order, with the columns of `by`, "date" (the first day of the period), "total",
        "count", "share", "low" and "high". Days on which nothing was written have no row.

    Raises:
        AlertError: a column is missing, or a date is not valid.

    >>> news = pd.DataFrame({"company": ["A", "A", "B"], "label": ["negative", "neutral", "negative"],
    ...                      "date": ["2041-03-04", "2041-03-05", "2041-03-04"]})
    >>> counted = count_labels(news, "negative", by=["company"], period="W")
    >>> print(counted.to_string(index=False, float_format="{:.2f}".format))
    company       date  total  count  share  low  high
          A 2041-03-04      2      1   0.50 0.09  0.91
          B 2041-03-04      1      1   1.00 0.21  1.00
    """
    needed = [*by, "label", *(["date"] if period else [])]
    if missing := [name for name in needed if name not in table.columns]:
        raise AlertError(f"the table has no column {missing[0]!r}; it has {', '.join(map(str, table.columns))}")
    groups = [table[name] for name in by]
    if period:
        groups.append(first_days(table["date"], period).rename("date"))
    is_label = (table["label"] == label).astype(int)
    if groups:
        keys = [group.to_numpy() for group in groups]
        counted = pd.DataFrame({"count": is_label.groupby(keys).sum(), "total": is_label.groupby(keys).size()})
        counted.index.names = [*by, *(["date"] if period else [])]
        counted = counted[["total", "count"]].reset_index()
    else:
        counted = pd.DataFrame({"total": [len(table)], "count": [int(is_label.sum())]})
    low, high = wilson_interval(counted["count"], counted["total"], level)
    return counted.assign(share=counted["count"] / counted["total"], low=low, high=high)


def first_days(dates: pd.Series, period: str) -> pd.Series:
    """The first day of the day, week or month of each date; AlertError for an unknown period or a date that is none."""
    if period not in ("D", "W", "M"):
        raise AlertError(f"period={period!r} is unknown; use 'D', 'W' or 'M'")
    try:
        return pd.to_datetime(dates).dt.to_period(period).dt.start_time
    except (ValueError, TypeError) as error:
        raise AlertError(f"a date cannot be read ({error}); write dates as 2041-03-05") from error
