"""Measuring a results table: run what is missing, each training in a process of its own, and store each row."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, NamedTuple

from nbhelpers.course import paths
from nbhelpers.course.errors import CourseError
from nbhelpers.course.provenance import circumstances

from .comparing import write_tests
from .store import append, measured, read
from .tables import SEEDED, check_rows, score_titles, table_rows, trainings

Futures = dict[str, Future[Any]]  # `training_key` of a training -> its outcome


class Training(SpawnProcess):
    """The process of one training. `stop_trainings` tells it from the other processes of the program by its class."""


class TrainingContext(SpawnContext):
    """Starts such processes. A forked one would inherit the state of torch's threads, and can hang."""

    Process = Training


class Run(NamedTuple):
    """One row of a table with one seed."""

    row: str
    config: dict[str, Any]
    seed: int


def measure(table: str, seeds: int, only: str | None, say: Callable[[str], None], jobs: int = 1) -> None:
    """Run what is missing in a table, and append each row as soon as it is done.

    A training that several rows need, as averages do, is done once. A run that fails does not keep the others from
    being measured.

    Args:
        table: the table's name.
        seeds: how many runs a row needs, with the seeds 0, 1, and so on.
        only: measure this row alone; None measures all.
        say: called with a sentence for each row that is done.
        jobs: how many trainings run at a time. Each has an equal share of the threads.

    Raises:
        CourseError: the table or the row does not exist, or a run failed. When several failed, it tells the first.
    """
    paths.require_checkout("measuring a results table")
    missing, rows_before = list(missing_runs(table, seeds, only)), len(read(table))
    stored: list[Run] = []
    failures: dict[str, BaseException] = {}  # row -> why it could not be measured
    with ThreadPoolExecutor(jobs) as pool:
        futures = start_trainings(missing, pool, jobs)
        try:
            for run, outcomes in finished_runs(missing, futures):
                if errors := [error for outcome in outcomes if (error := outcome.exception())]:
                    failures[run.row] = errors[0]
                else:
                    say(store_run(table, run, [outcome.result() for outcome in outcomes], jobs))
                    stored.append(run)
                    forget_outcomes(run, [other for other in missing if other not in stored], jobs)
        finally:
            stop_trainings(pool, futures)
            # After an interrupt as well: the comparisons then agree with the rows that were stored before it.
            if len(read(table)) > rows_before:
                write_tests(table)
    if failures:
        row, error = next(iter(failures.items()))
        raise as_course_error(table, row, error)


def missing_runs(table: str, seeds: int, only: str | None) -> Iterator[Run]:
    """The runs that a table still lacks. Arguments as in `measure`.

    All runs of a row are to come from one kind of device, so that their means compare. A row is complete when the
    device that was measured on last has all seeds. Otherwise, only the runs of this device count.
    """
    check_rows(table)
    rows = table_rows(table)
    if only is not None and only not in rows:
        raise CourseError(f"table {table} has no row {only!r}; there are {', '.join(rows)}")
    here = circumstances()
    for name, config in rows.items():
        if only not in (None, name):
            continue
        wanted = set(range(min(seeds, config.get("seeds", seeds)) if config["method"] in SEEDED else 1))
        by_device = measured(table, name)
        done = set(next(reversed(by_device.values()), ()))
        if not wanted <= done:
            done = set(by_device.get((here["device"], here["precision"]), ()))
        for seed in sorted(wanted - done):
            yield Run(name, config, seed)


def start_trainings(missing: Sequence[Run], pool: Executor, jobs: int) -> Futures:
    """Queue every training that the runs need, once. `jobs` as in `measure`."""
    import torch

    threads = max(1, torch.get_num_threads() // jobs)
    needed = {training_key(part): part for run in missing for part in trainings(run.config, run.seed)}
    # The pool's threads only wait: each training computes in a process that `in_own_process` starts.
    return {key: pool.submit(outcome_of, *training, threads, jobs) for key, training in needed.items()}


def outcome_of(config: dict[str, Any], seed: int, threads: int, jobs: int) -> Any:
    """The `experiments.Outcome` of a training, from its file where an interrupted measurement has left one.

    The row of an average is stored after the last of its trainings, which may be hours after the first.
    """
    from nbhelpers.course import experiments

    path = outcome_file((config, seed), jobs)
    if path.exists():
        return pickle.loads(path.read_bytes())
    outcome = in_own_process(experiments.run, config, seed, threads)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_bytes(pickle.dumps(outcome))
    unfinished.replace(path)
    return outcome


def outcome_file(training: tuple[dict[str, Any], int], jobs: int) -> Path:
    """Where the outcome of a training is kept until all rows that need it are stored.

    With another commit, machine, version or number of jobs, it is another file, so that it is trained again.
    """
    here = circumstances()
    text = json.dumps([training_key(training), jobs, *(here[x] for x in ("device", "precision", "versions", "commit"))])
    return paths.ROOT / "build" / "trainings" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.pickle"


def forget_outcomes(run: Run, missing: Sequence[Run], jobs: int) -> None:
    """Remove the files of a stored run that no missing run needs."""
    needed = {training_key(part) for other in missing for part in trainings(other.config, other.seed)}
    for part in trainings(run.config, run.seed):
        if training_key(part) not in needed:
            outcome_file(part, jobs).unlink(missing_ok=True)


def finished_runs(missing: Sequence[Run], futures: Futures) -> Iterator[tuple[Run, list[Future[Any]]]]:
    """Each run with its finished trainings, as soon as the last of them has ended."""
    waiting = list(missing)
    for _ in as_completed(futures.values()):
        for run in list(waiting):
            outcomes = [futures[training_key(part)] for part in trainings(run.config, run.seed)]
            if all(outcome.done() for outcome in outcomes):
                waiting.remove(run)
                yield run, outcomes


def store_run(table: str, run: Run, outcomes: Sequence[Any], jobs: int) -> str:
    """Score a run, append its row, and return a sentence about it.

    Args:
        table: the table's name.
        run: what was run.
        outcomes: an `experiments.Outcome` for each of its trainings.
        jobs: how many trainings ran at a time, which the row keeps, since it makes each of them slower.
    """
    from nbhelpers.course import experiments

    scored = experiments.score_run(run.config, outcomes)
    append(table, {**run._asdict(), "jobs": jobs, **scored})
    shown = next((key, title) for key, title in score_titles(table).items() if key in scored["test"])
    percent = 100 * scored["test"][shown[0]]
    return f"{table}, {run.row}, seed {run.seed}: test {shown[1]} {percent:.2f}, {scored['seconds']:.0f} s"


def stop_trainings(pool: Executor, futures: Futures) -> None:
    """End what is still running. Usually all is done; something is left after Ctrl+C or an error."""
    pool.shutdown(wait=False, cancel_futures=True)
    # A thread that had already started its work may start its process only now, so look again until all are done.
    while not all(future.done() for future in futures.values()):
        for child in (each for each in multiprocessing.active_children() if isinstance(each, Training)):
            child.kill()
        time.sleep(0.05)


def as_course_error(table: str, row: str, error: BaseException) -> BaseException:
    """The error as one sentence where its cause is known; else the error itself, whose traceback is needed then."""
    if isinstance(error, BrokenProcessPool):
        return CourseError(f"{table}, {row}: the process of a run was killed, perhaps because memory ran out")
    if isinstance(error, ValueError | FloatingPointError):  # the errors of the helpers are ValueErrors
        return CourseError(f"{table}, {row}: {error}")
    return error


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns, computed in a new process.

    So the peak memory that is measured belongs to this run alone, and a run that is killed does not end the others.
    """
    with ProcessPoolExecutor(1, mp_context=TrainingContext(), initializer=end_with_parent) as pool:
        return pool.submit(function, *arguments).result()


def end_with_parent() -> None:
    """Watch the parent process, and end this one when it ends. A killed parent cannot end its children itself."""

    def watch(parent: Any) -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, args=(multiprocessing.parent_process(),), daemon=True).start()


def training_key(training: tuple[dict[str, Any], int]) -> str:
    """A training as text, since a dict cannot be a key."""
    return json.dumps(training, sort_keys=True)
