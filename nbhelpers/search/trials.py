"""Run the trials of a search, alone or together with other processes, and go on after a kill."""

from __future__ import annotations

import itertools
import logging
import math
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import sqlalchemy
from filelock import FileLock, Timeout
from optuna.trial import FrozenTrial, TrialState

from .space import PRUNERS, SAMPLERS, SearchError, grid_points, make_distributions, make_pruner, make_sampler

TrainAndScore = Callable[[dict[str, Any], Callable[[int, float], None]], float]

SECONDS_BETWEEN_LOOKS = 0.5  # while other workers run the last trials
STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def search(
    train_and_score: TrainAndScore,
    space: Mapping[str, Any],
    num_trials: int,
    *,
    sampler: str = "tpe",
    pruner: str | None = None,
    min_epochs: int = 2,
    max_epochs: int | None = None,
    storage: str | Path | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Train with many configurations, and return all trials.

    With a storage, a search that was killed goes on where it stopped when the same call is made again. Finished trials
    stay, and the trial that was running is repeated. To use several workers, make the same call in several processes
    of one machine; each returns all trials. A trial that fails with an exception is recorded, and the search goes on.

    Args:
        train_and_score: `train_and_score(config, report) -> score` on dev, higher is better. `config` has a value for
            each name of the space, and "seed". `report(epoch, score)` is called after each epoch, from 1 on; it is
            needed for a pruner and for `max_epochs`. To stop a trial it raises an exception, which must not be caught.
        space: For each name (low, high), or (low, high, "log") for a range that is uniform in the logarithm, or a list
            of choices. If both ends of a range are ints, so are its values.
        num_trials: How many trials, the failed ones included. A grid ends when it has no more points.
        sampler: "tpe" (Watanabe 2023, arXiv 2304.11127; its first 10 trials are random), "random", or "grid": all
            combinations of lists, in random order.
        pruner: None, "median" or "halving". Once five trials are complete, "median" stops a trial whose best score so
            far is below their median after the same epoch. "halving" (Li et al. 2018, arXiv 1810.05934) lets the best
            quarter so far go on after `min_epochs` epochs, a quarter of those after 4 times as many, and so on.
        min_epochs: No trial is stopped before this epoch ends. With 1, configurations die that only start slowly.
        max_epochs: No trial starts once all trials together have trained this many epochs. Compare samplers and
            pruners with equal `max_epochs` rather than equal `num_trials`: a pruned trial is cheaper than a whole one.
        storage: Path of an SQLite file. Beside it there will be a file that ends in ".lock".
        seed: The seed of the sampler, and `config["seed"]` of every trial.

    Returns:
        A row per trial: "config", "score" (NaN unless complete), "epochs" (as reported), "state" ("complete", "pruned"
        or "failed"), "reports" (the score after each epoch) and "error" (of a failed trial).

    Raises:
        SearchError: A setting is wrong, the storage belongs to another search, or all trials failed.

    >>> search(lambda config, report: config["x"] ** 2, {"x": [1, 2, 3]}, num_trials=3, sampler="grid")["score"].max()
    np.float64(9.0)
    """
    check_settings(num_trials, sampler, pruner, min_epochs, max_epochs)
    distributions = make_distributions(space)
    points = grid_points(space, seed) if sampler == "grid" else [{}] * num_trials
    # The space as text, because JSON would not tell the range (1, 5) from the choices [1, 5].
    settings = {"space": str(dict(sorted(space.items()))), "sampler": sampler, "pruner": pruner}
    with open_study(storage, {**settings, "min_epochs": min_epochs, "seed": seed}) as (study, lock, worker):
        study.pruner = make_pruner(pruner, min_epochs)
        while True:
            with lock:  # one worker at a time looks at the trials and starts one, so none is started twice
                trials = read_trials(study, worker)
                index = next(index for index in itertools.count() if index not in trials)
                num_epochs = sum(len(trial.intermediate_values) for trial in trials.values())
                is_left = index < min(num_trials, len(points)) and (max_epochs is None or num_epochs < max_epochs)
                if is_left:
                    study.sampler = make_sampler(sampler, seed, index, points[index])
                    trial = study.ask(distributions)
                    trial.set_user_attr("start", [index, worker.name])
            if is_left:
                run_trial(trial, train_and_score, seed, needs_reports=pruner is not None or max_epochs is not None)
            elif any(trial.state == TrialState.RUNNING for trial in trials.values()):
                time.sleep(SECONDS_BETWEEN_LOOKS)  # should that worker die, this one repeats its trial
            else:
                return make_table(trials, seed)


def check_settings(num_trials: int, sampler: str, pruner: str | None, min_epochs: int, max_epochs: int | None) -> None:
    """Raise SearchError if a setting of `search` is not possible."""
    if sampler not in SAMPLERS:
        raise SearchError(f"sampler={sampler!r} is unknown; use 'tpe', 'random' or 'grid'")
    if pruner not in PRUNERS:
        raise SearchError(f"pruner={pruner!r} is unknown; use None, 'median' or 'halving'")
    for name, value in {"num_trials": num_trials, "min_epochs": min_epochs, "max_epochs": max_epochs}.items():
        if value is not None and value < 1:
            raise SearchError(f"{name}={value}; it must be 1 or more")


@contextmanager
def open_study(
    path: str | Path | None, settings: Mapping[str, Any]
) -> Iterator[tuple[optuna.Study, AbstractContextManager[Any], Path]]:
    """Open the study in an SQLite file, or one in memory, and give it with its lock and a file that marks this worker.

    The worker's file is locked as long as the worker lives: the operating system releases the lock however it dies.

    Raises:
        SearchError: The file is not an SQLite file, or belongs to a search with other settings.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would print a line for each study
    if path is None:
        yield optuna.create_study(direction="maximize"), nullcontext(), Path()
        return
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, worker = FileLock(f"{path}.lock"), path.with_name(f"{path.name}.{uuid.uuid4().hex[:8]}.worker")
    try:
        with FileLock(worker):
            with lock:
                study = load_study(path, settings)
            yield study, lock, worker
    finally:
        worker.unlink(missing_ok=True)


def load_study(path: Path, settings: Mapping[str, Any]) -> optuna.Study:
    """Load or create the study in an SQLite file; SearchError if that is impossible or it has other settings."""
    try:
        # SQLite lets one process write at a time; the others wait up to a minute instead of failing after 5 seconds.
        storage = optuna.storages.RDBStorage(f"sqlite:///{path}", {"connect_args": {"timeout": 60}})
        study = optuna.create_study(storage=storage, study_name="search", direction="maximize", load_if_exists=True)
    except sqlalchemy.exc.DatabaseError as error:
        raise SearchError(
            f"{path} cannot be opened as an SQLite file ({error.orig}); choose another storage"
        ) from error
    stored = study.user_attrs.get("settings", settings)
    for name, value in settings.items():
        if stored[name] != value:
            raise SearchError(
                f"{path} belongs to a search with {name}={stored[name]}, not {value}; choose another storage"
            )
    study.set_user_attr("settings", dict(settings))
    return study


def read_trials(study: optuna.Study, worker: Path) -> dict[int, FrozenTrial]:
    """Return the trials that count, by index. A trial whose worker died is marked as failed and does not count."""
    trials = {}
    for trial in study.get_trials(deepcopy=False):
        index, name = trial.user_attrs.get("start", (None, None))  # None: killed in between `ask` and this attribute
        is_dead = trial.state == TrialState.RUNNING and (name is None or has_died(worker.with_name(name)))
        if is_dead:
            study.tell(trial.number, state=TrialState.FAIL)
        if "error" in trial.user_attrs or not (is_dead or trial.state == TrialState.FAIL):
            trials[index] = trial  # with an error, it failed by itself
    return trials


def has_died(worker: Path) -> bool:
    """Tell whether nobody holds the lock of a worker's file."""
    try:
        with FileLock(worker, blocking=False):
            pass
    except Timeout:
        return False
    worker.unlink(missing_ok=True)
    return True


def run_trial(trial: optuna.Trial, train_and_score: TrainAndScore, seed: int, needs_reports: bool) -> None:
    """Run one trial, and store its score, that it was pruned, or its error."""
    reported = 0

    def report(epoch: int, score: float) -> None:
        nonlocal reported
        if epoch != reported + 1:  # Optuna would ignore a second report for an epoch without a word
            raise ValueError(f"report({epoch}, ...) came after epoch {reported}; report every epoch once, from 1 on")
        reported += 1
        trial.report(score, reported)
        if trial.should_prune():
            raise optuna.TrialPruned(f"pruned after epoch {epoch}")

    try:
        score = float(train_and_score({**trial.params, "seed": seed}, report))
        if not math.isfinite(score):
            raise ValueError(f"the score is {score}")
    except optuna.TrialPruned:
        trial.study.tell(trial, state=TrialState.PRUNED)
    except Exception as error:
        logging.getLogger(__name__).warning("trial with %s failed", trial.params, exc_info=True)
        trial.set_user_attr("error", f"{type(error).__name__}: {error}")
        trial.study.tell(trial, state=TrialState.FAIL)
    else:
        if needs_reports and not reported:
            raise SearchError("a pruner and max_epochs need reports; call report(epoch, score) after each epoch")
        trial.study.tell(trial, score)


def make_table(trials: Mapping[int, FrozenTrial], seed: int) -> pd.DataFrame:
    """Return the table of `search` from its finished trials; SearchError if all of them failed."""
    rows = [
        {
            "config": {**trial.params, "seed": seed},
            "score": trial.value if trial.state == TrialState.COMPLETE else math.nan,
            "epochs": len(trial.intermediate_values),
            "state": STATES[trial.state],
            "reports": [trial.intermediate_values[epoch] for epoch in sorted(trial.intermediate_values)],
            "error": trial.user_attrs.get("error"),
        }
        for _, trial in sorted(trials.items())
    ]
    if all(row["state"] == "failed" for row in rows):
        raise SearchError(f"all {len(rows)} trials failed, the last one with {rows[-1]['error']}")
    return pd.DataFrame(rows)
