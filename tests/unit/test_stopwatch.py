"""The stopwatch of the lessons: what counts, and what does not."""

import doctest

import pytest

from nbhelpers.course import stopwatch


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until a test moves it."""
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])
    return now


def test_pauses_do_not_count(clock):
    watch = stopwatch.Stopwatch()
    clock[0] = 3.0
    with watch.paused():
        clock[0] = 10.0
    clock[0] = 11.0
    assert watch.seconds() == 4.0
    with watch.paused():
        clock[0] = 20.0
    assert watch.seconds() == 4.0


def test_a_pause_that_ends_with_an_error_does_not_count_either(clock):
    watch = stopwatch.Stopwatch()

    def fails():
        clock[0] = 5.0
        raise ValueError("in the pause")

    with pytest.raises(ValueError, match="in the pause"), watch.paused():
        fails()
    assert watch.seconds() == 0.0


def test_the_example_in_the_docstring_is_right():
    outcome = doctest.testmod(stopwatch)
    assert outcome.attempted
    assert not outcome.failed
