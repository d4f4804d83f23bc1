"""A simulation of a service that computes texts in batches: how long requests wait, for a given load.

The rules are those of `nbhelpers serve`, without its limits on tokens: one worker; an idle service waits for `delay`
after the first request, and then takes all that have arrived, at most `batch_size` of them. Those that arrive while it
computes form the next batch, which starts at once. Here each request has one text, and all texts have the same length.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nbhelpers.course.errors import CourseError


class Simulation(NamedTuple):
    """What happened to each request, in the order of arrival.

    Args:
        arrived: [requests] when it arrived, in seconds.
        latency: [requests] seconds from its arrival to its answer.
        batch: [requests] the number of its batch, from 0.
    """

    arrived: NDArray[np.float64]
    latency: NDArray[np.float64]
    batch: NDArray[np.int64]


def simulate(
    rate: float,
    batch_seconds: Mapping[int, float],
    *,
    batch_size: int = 32,
    delay: float = 0.0,
    seconds: float = 20.0,
    seed: int = 0,
) -> Simulation:
    """Simulate requests that arrive at random, at a mean rate, and are computed in batches.

    Args:
        rate: requests per second, on average.
        batch_seconds: number of texts in a batch -> seconds to compute it, as measured for a few sizes. Between two
            sizes the time is interpolated by a straight line.
        batch_size: the most texts in a batch.
        delay: seconds that an idle service waits for further requests.
        seconds: for how long requests arrive. All are answered, however long that takes.
        seed: of the random arrivals; see `arrivals`.

    Raises:
        CourseError: a number is not possible, or `batch_seconds` does not reach from 1 to `batch_size`.

    >>> idle = simulate(1, {1: 0.004, 32: 0.020}, delay=0.010)  # one request in a second, so none waits for another
    >>> round(1000 * float(np.median(idle.latency)))  # milliseconds: the delay and one text
    14
    """
    if delay < 0:
        raise CourseError(f"delay={delay}: pass 0 or more seconds")
    durations, arrived = batch_durations(batch_seconds, batch_size), arrivals(rate, seconds, seed)
    finished, batch = np.empty_like(arrived), np.empty(len(arrived), dtype=np.int64)
    first, free, number = 0, 0.0, 0
    while first < len(arrived):
        start = free if arrived[first] <= free else arrived[first] + delay
        waiting = int(np.searchsorted(arrived, start, side="right"))
        end = max(first + 1, min(waiting, first + batch_size))
        free = start + durations[end - first]
        finished[first:end], batch[first:end] = free, number
        first, number = end, number + 1
    return Simulation(arrived, finished - arrived, batch)


def arrivals(rate: float, seconds: float, seed: int = 0) -> NDArray[np.float64]:
    """Random moments at which requests arrive: a Poisson process, as for many users who do not know of each other.

    Args:
        rate: requests per second, on average.
        seconds: for how long, on average: there are `rate` times `seconds` requests, and at least one.
        seed: decides the moments. At another rate, they are the same ones, closer together or further apart.

    Raises:
        CourseError: a number is not positive.

    >>> [round(float(moment), 2) for moment in arrivals(rate=2, seconds=2)]
    [0.34, 0.85, 0.86, 0.86]
    """
    if rate <= 0 or seconds <= 0:
        raise CourseError(f"rate={rate}, seconds={seconds}: pass positive numbers")
    gaps = np.random.default_rng(seed).exponential(1 / rate, size=max(1, round(rate * seconds)))
    return np.cumsum(gaps)


def capacity(batch_seconds: Mapping[int, float], batch_size: int) -> float:
    """The most requests per second that the service can answer for long: it then computes full batches only.

    Args:
        batch_seconds, batch_size: as in `simulate`.

    Raises:
        CourseError: `batch_seconds` does not reach from 1 to `batch_size`.

    >>> capacity({1: 0.004, 32: 0.020}, batch_size=1), capacity({1: 0.004, 32: 0.020}, batch_size=32)
    (250.0, 1600.0)
    """
    return batch_size / float(batch_durations(batch_seconds, batch_size)[batch_size])


def batch_durations(batch_seconds: Mapping[int, float], batch_size: int) -> NDArray[np.float64]:
    """Seconds for a batch of 0, 1, ... `batch_size` texts, linear between the measured sizes."""
    sizes = sorted(batch_seconds)
    if batch_size < 1 or not sizes or sizes[0] != 1 or sizes[-1] < batch_size:
        measured = ", ".join(map(str, sizes)) or "no size"
        raise CourseError(f"batch_size={batch_size} needs times of batches from 1 to that size, not of {measured}")
    if min(batch_seconds.values()) <= 0:
        raise CourseError("a batch takes more than 0 seconds")
    return np.interp(np.arange(batch_size + 1), sizes, [batch_seconds[size] for size in sizes])
