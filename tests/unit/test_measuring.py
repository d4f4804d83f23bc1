"""The processes in which the runs of a results table are trained."""

import importlib
import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

measure = importlib.import_module("nbhelpers.course.results.measure")  # the package has a function of this name

pytestmark = pytest.mark.slow


def trainings():
    return [child for child in multiprocessing.active_children() if isinstance(child, measure.Training)]


def test_stopping_the_trainings_ends_no_other_process_of_the_program():
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(120,))
    other.start()
    try:
        pool = ThreadPoolExecutor(1)
        future = pool.submit(measure.in_own_process, time.sleep, 120)
        deadline = time.monotonic() + 60
        while not trainings():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        measure.stop_trainings(pool, {"training": future})
        assert isinstance(future.exception(), BrokenProcessPool)
        assert other.is_alive()
    finally:
        other.kill()
        other.join()
