"""The alert rule: a CUSUM of labels, which adds up small signs until they are enough."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .charts import check_share
from .errors import AlertError

GRID = 20  # up + down of every rule: whole numbers make the run length exact, and 1/20 is a fine enough step


class Alarm(NamedTuple):
    """Where a rule gave an alarm."""

    position: int  # of the item that raised it
    start: int  # of the first item since the sum was last 0: about where the change began


class Rule(NamedTuple):
    """A CUSUM of items with and without a label.

    The sum starts at 0. An item with the label adds `up`, and one without it subtracts `down`; the sum never falls
    below 0. When it reaches `limit`, there is an alarm, and the sum starts at 0 again. So a chart of a company with
    five items a month and one with five items an hour use the same rule: what counts is the order, not the day.

    Make one with `make_rule`.

    Sources: Page, Continuous Inspection Schemes, Biometrika 41 (1954); Reynolds and Stoumbos, A CUSUM Chart for
    Monitoring a Proportion When Inspecting Continuously, Journal of Quality Technology 31 (1999).

    >>> rule = Rule(up=12, down=8, limit=45)
    >>> rule.path([0, 1, 1, 0, 1, 1, 1, 0])  # one item without the label does not stop the alarm
    ([0, 12, 24, 16, 28, 40, 52, 0], [Alarm(position=6, start=1)])
    """

    up: int
    down: int
    limit: int

    def path(self, flags: Iterable[int]) -> tuple[list[int], list[Alarm]]:
        """Compute the sum after each item, and the alarms.

        Args:
            flags: [items] 1 or True for an item with the label, in order of time.

        Returns:
            The sums [items], where that of an alarm is shown before it starts again; and the alarms.
        """
        total, start, sums, alarms = 0, 0, [], []
        for position, flag in enumerate(flags):
            if total == 0:
                start = position
            total = max(0, total + (self.up if flag else -self.down))
            sums.append(total)
            if total >= self.limit:
                alarms.append(Alarm(position, start))
                total = 0
        return sums, alarms


def make_rule(usual: float, raised: float, items_per_false_alarm: float) -> Rule:
    """Make the CUSUM that finds a change from a usual share to a raised one soonest, with few false alarms.

    Each item counts as much as it speaks for the raised share: `up` and `down` are in the ratio of the logarithms of
    raised / usual and (1 - usual) / (1 - raised). The limit is the lowest with which a false alarm comes after
    `items_per_false_alarm` items on average, computed exactly by `run_length`.

    Args:
        usual: the share of the label in ordinary times, as the classifier predicts it.
        raised: the share that should be found. Larger ones are found sooner, smaller ones later or never.
        items_per_false_alarm: how many items there shall be from one false alarm to the next on average.

    Raises:
        AlertError: the shares are not 0 < usual < raised < 1 or too close to each other, or the run length is below 1.

    >>> make_rule(usual=0.2, raised=0.6, items_per_false_alarm=400)
    Rule(up=12, down=8, limit=45)
    """
    if not 0 < usual < raised < 1:
        raise AlertError(f"usual={usual}, raised={raised}: a rule needs 0 < usual < raised < 1")
    if not 1 <= items_per_false_alarm <= 1e7:
        raise AlertError(f"items_per_false_alarm={items_per_false_alarm}: pass a number from 1 to 10,000,000")
    up, down = math.log(raised / usual), math.log((1 - usual) / (1 - raised))
    rounded = round(GRID * down / (up + down))
    # The sum must fall in ordinary times, or every stream has an alarm soon.
    if not GRID * usual < rounded < GRID:
        raise AlertError(f"usual={usual} and raised={raised} are too close; choose a raised share further away")
    low, high = 0, GRID  # of the limit; the first gives too many false alarms
    while run_length(Rule(GRID - rounded, rounded, high), usual) < items_per_false_alarm:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = run_length(Rule(GRID - rounded, rounded, middle), usual) >= items_per_false_alarm
        low, high = (low, middle) if enough else (middle, high)
    return Rule(GRID - rounded, rounded, high)


def run_length(rule: Rule, share: float, correlation: float = 0.0) -> float:
    """Compute after how many items a rule gives an alarm on average, starting from a sum of 0.

    With the usual share this is the time from one false alarm to the next. With the share after a change it is the
    delay, measured in items, the one with the alarm included. It is exact: the sum has `limit` possible values, and the
    mean time from each of them follows from those of its neighbors (a Markov chain).

    Args:
        rule: the CUSUM.
        share: the share of items with the label.
        correlation: that of neighbors, 0 to below 1. Above 0, items with the label come in clusters.

    Returns:
        The mean number of items; infinity if the label never occurs.

    Raises:
        AlertError: the share or the correlation is impossible.

    Source: Brook and Evans, An approach to the probability distribution of CUSUM run length, Biometrika 59 (1972).

    >>> rule = Rule(up=12, down=8, limit=45)
    >>> [round(run_length(rule, share), 1) for share in (0.2, 0.6, 0.9)]
    [426.1, 10.6, 4.8]
    >>> round(run_length(rule, 0.2, correlation=0.3), 1)  # clusters: five times as many false alarms
    85.1
    """
    check_share("share", share)
    if not 0 <= correlation < 1:
        raise AlertError(f"correlation={correlation}: pass a number from 0 to below 1")
    if share == 0:
        return math.inf
    # The chance of the label after an item without it and after one with it
    chances = (share * (1 - correlation), share + correlation * (1 - share))
    size, totals = rule.limit, np.arange(rule.limit)
    moves = np.eye(2 * size)  # state: size * (the last item had the label) + sum
    rises = totals[totals + rule.up < size]  # from the others, the label raises the alarm
    for last, chance in enumerate(chances):
        # `at`, because several sums fall to 0
        np.subtract.at(moves, (last * size + totals, np.maximum(0, totals - rule.down)), 1 - chance)
        moves[last * size + rises, size + rises + rule.up] -= chance
    lengths = np.linalg.solve(moves, np.ones(2 * size))
    return float((1 - share) * lengths[0] + share * lengths[size])
