"""The simulated queue of lesson 7: what is known of such queues holds for it."""

import time

import numpy as np
import pytest

from nbhelpers.course import queueing
from nbhelpers.course.errors import CourseError

SECONDS = {1: 0.004, 8: 0.008, 32: 0.020}  # capacity 250, 1000 and 1600 a second


@pytest.mark.parametrize("delay", [0.0, 0.010])
def test_at_low_load_the_latency_is_the_waiting_time_and_the_time_of_one_text(delay):
    latency = queueing.simulate(1, SECONDS, delay=delay, seconds=200).latency
    assert np.median(latency) == pytest.approx(delay + 0.004)
    assert latency.min() == pytest.approx(0.004, abs=delay + 1e-9)


def test_above_capacity_the_latency_grows_without_bound():
    """Twice the capacity: after each second of load, the queue takes one more second."""
    arrived, latency, _ = queueing.simulate(500, SECONDS, batch_size=1, seconds=20)
    for until in (5, 10, 20):
        assert latency[arrived < until][-1] == pytest.approx(until, rel=0.15)


def test_below_capacity_the_latency_does_not_grow():
    arrived, latency, _ = queueing.simulate(125, SECONDS, batch_size=1, seconds=100)
    assert np.median(latency[arrived > 50]) < 2 * np.median(latency[arrived < 50])
    assert latency.max() < 0.1


def test_a_single_worker_without_batches_waits_as_the_theory_says():
    """M/D/1: the mean time in the queue is busy / (2 (1 - busy)) times the time of a text (Pollaczek, Khinchine)."""
    latency = queueing.simulate(175, SECONDS, batch_size=1, seconds=2000).latency
    busy = 175 * 0.004
    assert latency.mean() == pytest.approx(0.004 * (1 + busy / (2 * (1 - busy))), rel=0.05)


def test_batches_raise_the_capacity():
    assert queueing.capacity(SECONDS, 1) == pytest.approx(250)
    assert queueing.capacity(SECONDS, 8) == pytest.approx(1000)
    slow, fast = (queueing.simulate(500, SECONDS, batch_size=size).latency for size in (1, 32))
    assert np.median(slow) > 5
    assert np.quantile(fast, 0.99) < 0.05


def test_between_measured_sizes_the_time_is_linear():
    assert queueing.capacity(SECONDS, 4) == pytest.approx(4 / (0.004 + 3 / 7 * 0.004))


def test_a_batch_holds_what_has_arrived_and_not_more():
    arrived, latency, batch = queueing.simulate(400, SECONDS, batch_size=8, delay=0.005)
    sizes = np.bincount(batch)
    assert sizes.min() >= 1
    assert 1 < sizes.max() <= 8
    finished = arrived + latency
    durations = queueing.batch_durations(SECONDS, 8)
    for number in range(100):
        members = batch == number
        assert np.ptp(finished[members]) < 1e-9
        assert arrived[members].max() <= finished[members][0] - durations[members.sum()] + 1e-9
    assert (np.diff(np.unique(finished)) > 0.004 - 1e-9).all()  # one worker: no two batches at the same time


def test_the_seed_decides():
    first, again, other = (queueing.simulate(50, SECONDS, seed=seed) for seed in (0, 0, 1))
    assert np.array_equal(first.latency, again.latency)
    assert not np.array_equal(first.arrived, other.arrived)
    assert len(first.arrived) == 1000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": 0}, "rate=0, seconds=20.0: pass positive"),
        ({"seconds": 0}, "seconds=0: pass positive"),
        ({"delay": -1}, "delay=-1: pass 0 or more"),
        ({"batch_size": 64}, "batch_size=64 needs times of batches from 1 to that size, not of 1, 8, 32"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"batch_seconds": {}}, "no size"),
        ({"batch_seconds": {4: 0.1}, "batch_size": 4}, "not of 4"),
        ({"batch_seconds": {1: 0.0}, "batch_size": 1}, "more than 0 seconds"),
    ],
)
def test_wrong_numbers_are_refused_in_a_sentence(changes, message):
    with pytest.raises(CourseError, match=message):
        queueing.simulate(**{"rate": 10, "batch_seconds": SECONDS, **changes})


@pytest.mark.alone
def test_a_slider_need_not_wait():
    start = time.perf_counter()
    queueing.simulate(1000, SECONDS, batch_size=1)
    assert time.perf_counter() - start < 0.4
