"""Try a rule: the run lengths of textbook charts, simulated streams, and a classifier that makes errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from .charts import check_share
from .errors import AlertError
from .rules import Rule


def shewhart_run_length(shift: float = 0.0, sigmas: float = 3.0) -> float:
    """Compute after how many periods a chart with an upper limit alone gives an alarm on average.

    Args:
        shift: by how many standard deviations the mean has moved up.
        sigmas: the limit, in standard deviations above the usual mean.

    >>> [round(shewhart_run_length(shift), 1) for shift in (0.0, 1.0)]
    [740.8, 44.0]
    """
    return float(1 / norm.sf(sigmas - shift))


def cusum_run_length(k: float, h: float, shift: float = 0.0, num_states: int = 400) -> float:
    """Compute after how many periods a one-sided CUSUM of independent normal values gives an alarm on average.

    Its sum is S = max(0, S + z - k), where z is the value in standard deviations from the usual mean, and the alarm
    comes above h.

    Args:
        k: what is subtracted each time, usually half of the shift that should be found.
        h: the limit.
        shift: by how many standard deviations the mean has moved up.
        num_states: in how many steps the range from 0 to h is divided. More is more exact.

    Source: Brook and Evans, An approach to the probability distribution of CUSUM run length, Biometrika 59 (1972).

    >>> [round(cusum_run_length(0.5, 4.0, shift), 1) for shift in (0.0, 1.0)]
    [335.4, 8.4]
    """
    width = 2 * h / (2 * num_states - 1)  # the first step is around 0, from -width / 2 on
    steps = width * np.arange(num_states)
    upper = norm.cdf(steps[None, :] + width / 2 - steps[:, None] + k - shift)
    lower = norm.cdf(steps[None, :] - width / 2 - steps[:, None] + k - shift)
    lower[:, 0] = 0  # whatever falls below 0 becomes 0
    return float(np.linalg.solve(np.eye(num_states) - (upper - lower), np.ones(num_states))[0])


def draw_flags(
    random: np.random.Generator, shares: ArrayLike, num_streams: int, correlation: float = 0.0
) -> NDArray[np.int8]:
    """Draw streams of items with and without a label.

    Args:
        random: the source of random numbers.
        shares: [items] the share of the label at each place, for instance a usual share that rises later.
        num_streams: how many streams.
        correlation: that of neighbors, 0 to below 1: an item is a copy of the one before it with this chance.

    Returns:
        [streams, items] 0 or 1.

    >>> flags = draw_flags(np.random.default_rng(0), [0.2] * 1000, 50, correlation=0.5)
    >>> round(float(flags.mean()), 2), round(float(np.corrcoef(flags[:, :-1].ravel(), flags[:, 1:].ravel())[0, 1]), 1)
    (0.2, 0.5)
    """
    p = np.asarray(shares, dtype=float)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all() or not 0 <= correlation < 1:
        raise AlertError("shares: pass numbers from 0 to 1, and a correlation from 0 to below 1")
    flags = (random.random((num_streams, len(p))) < p).astype(np.int8)
    if correlation:
        copies = random.random(flags.shape) < correlation
        for place in range(1, len(p)):
            flags[:, place] = np.where(copies[:, place], flags[:, place - 1], flags[:, place])
    return flags


def first_alarms(rule: Rule, flags: NDArray[np.int8], change: int = 0) -> NDArray[np.float64]:
    """Run a rule on many streams, and return how long each waits for its first alarm after a change.

    Args:
        rule: the CUSUM.
        flags: [streams, items] 0 or 1, as from `draw_flags`.
        change: the place from which on an alarm counts. Alarms before it are false ones; the sum starts at 0 after
            each, as in operation.

    Returns:
        [streams] the number of items from the change to the first alarm, the one with the alarm included; NaN for a
        stream that ends without one.

    >>> flags = np.array([[1, 1, 1, 1, 1], [0, 1, 1, 1, 1], [0, 0, 0, 1, 1]])
    >>> first_alarms(Rule(up=12, down=8, limit=45), flags).tolist()
    [4.0, 5.0, nan]
    """
    sums = np.zeros(len(flags), dtype=np.int64)
    waits = np.full(len(flags), np.nan)
    for place, column in enumerate(np.asarray(flags).T):
        sums = np.maximum(0, sums + np.where(column, rule.up, -rule.down))
        alarm = sums >= rule.limit
        if place >= change:
            waits[alarm & np.isnan(waits)] = place - change + 1
        sums[alarm] = 0
    return waits


def predicted_share(share: float, recall: float, false_positive_rate: float) -> float:
    """Compute the share of a label among the predictions of a classifier that makes errors.

    Args:
        share: the true share.
        recall: the share of items with the label that the classifier finds.
        false_positive_rate: the share of the other items that it gives the label by mistake.

    >>> round(predicted_share(0.2, recall=0.8, false_positive_rate=0.05), 2)
    0.2
    >>> round(predicted_share(0.87, recall=0.8, false_positive_rate=0.05), 2)  # a change looks smaller than it is
    0.7
    """
    for name, value in {"share": share, "recall": recall, "false_positive_rate": false_positive_rate}.items():
        check_share(name, value)
    return share * recall + (1 - share) * false_positive_rate


def error_rates(gold: Sequence[str], predicted: Sequence[str], label: str) -> tuple[float, float]:
    """Measure the recall of a label and its false positive rate.

    Args:
        gold, predicted: [items] labels of rows that the classifier was not trained on.
        label: the watched one.

    Raises:
        AlertError: the lengths differ, or there is no item with the label or none without it.

    >>> error_rates(["bad", "bad", "good", "good"], ["bad", "good", "bad", "good"], "bad")
    (0.5, 0.5)
    """
    if len(gold) != len(predicted):
        raise AlertError(f"{len(gold)} labels and {len(predicted)} predictions; pass one of each per item")
    is_label, is_predicted = np.array(gold) == label, np.array(predicted) == label
    if not len(is_label) or is_label.all() or not is_label.any():
        raise AlertError(f"rates of errors need rows with the label {label!r} and rows without it")
    return float(is_predicted[is_label].mean()), float(is_predicted[~is_label].mean())
