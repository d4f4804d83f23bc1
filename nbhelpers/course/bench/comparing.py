"""Ways that take turns, and their speeds beside each other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

OURS = "nbhelpers"  # the names of this package's own ways begin with it

Way = Callable[[], float]  # does the work once and returns its speed


class NotMeasured(Exception):
    """A way that cannot be measured here. The message is the reason, as a clause without a period."""


class Row(NamedTuple):
    """The speed of a way: the median of the rounds, the slowest and the fastest, and ratios of the median."""

    median: float
    slowest: float
    fastest: float
    times_common: float
    of_ceiling: float


class Comparison(NamedTuple):
    """The speeds of several ways to do the same work.

    Attributes:
        subject: "train", "serve", "predict" or "data".
        about: a sentence that says what was measured.
        unit: of the speeds, such as "texts per second".
        speeds: way -> its speed in each round.
        common: the way that most people take, among those of `speeds`.
        ceiling: what no way can exceed, among those of `speeds`.
        time_shares: group of operations -> its share of the time of this package's way; {} where that is not known.
        failed: way -> why it was not measured.
    """

    subject: str
    about: str
    unit: str
    speeds: dict[str, list[float]]
    common: str
    ceiling: str
    time_shares: dict[str, float]
    failed: dict[str, str]


def per_second(num_items: int, work: Callable[[], object]) -> float:
    """The speed of a function that does the work of so many items."""
    start = time.perf_counter()
    work()
    return num_items / (time.perf_counter() - start)


def take_turns(
    ways: Mapping[str, Way], num_rounds: int, say: Callable[[str], None] = lambda sentence: None
) -> tuple[dict[str, list[float]], dict[str, str]]:
    """Let each way do the work once in each round.

    Args:
        ways: name -> the way.
        num_rounds: how many times each is measured.
        say: called with what is measured next.

    Returns:
        The speed of each way in each round, and why a way could not be measured, for those that raised NotMeasured.

    >>> take_turns({"slow": lambda: 1.0, "fast": lambda: 4.0}, num_rounds=2)
    ({'slow': [1.0, 1.0], 'fast': [4.0, 4.0]}, {})
    """
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    failed: dict[str, str] = {}
    for number in range(1, num_rounds + 1):
        for name, way in ways.items():
            if name in failed:
                continue
            say(f"round {number} of {num_rounds}: {name}")
            try:
                speeds[name].append(way())
            except NotMeasured as error:
                failed[name] = str(error)
    return {name: rounds for name, rounds in speeds.items() if name not in failed}, failed


def table(comparison: Comparison) -> dict[str, Row]:
    """The row of each way that was measured.

    >>> speeds = {"usual": [2.0, 3.0, 2.0], "nbhelpers": [8.0, 8.0, 9.0], "products": [20.0, 20.0, 20.0]}
    >>> rows = table(Comparison("train", "Texts.", "texts per second", speeds, "usual", "products", {}, {}))
    >>> rows["nbhelpers"]
    Row(median=8.0, slowest=8.0, fastest=9.0, times_common=4.0, of_ceiling=0.4)
    """
    medians = {name: statistics.median(rounds) for name, rounds in comparison.speeds.items()}
    # the common way of a service may not have started
    common, ceiling = medians.get(comparison.common, 0.0), medians[comparison.ceiling]
    return {
        name: Row(median, min(rounds), max(rounds), ratio(median, common), ratio(median, ceiling))
        for (name, rounds), median in zip(comparison.speeds.items(), medians.values(), strict=True)
    }


def ratio(speed: float, base: float) -> float:
    """How many times as fast as the base; NaN where that did nothing.

    >>> ratio(6.0, 4.0), ratio(6.0, 0.0)
    (1.5, nan)
    """
    return speed / base if base else float("nan")
