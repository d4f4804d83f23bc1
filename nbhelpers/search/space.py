"""What a search tries: the space as a dict, and the samplers and pruners of Optuna by name."""

from __future__ import annotations

import itertools
import math
import random
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

SAMPLERS, PRUNERS = ("tpe", "random", "grid"), (None, "median", "halving")


class SearchError(ValueError):
    """A search that cannot start, or that has no result. The message says why, and what to do."""


def make_distributions(space: Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """Return Optuna's distribution for each name of a space.

    Raises:
        SearchError: The space has no valid point, or contains "seed".

    >>> make_distributions({"layers": (1, 6), "lr": (1e-5, 1e-3, "log")})["layers"]
    IntDistribution(high=6, log=False, low=1, step=1)
    """
    if not space:
        raise SearchError("the space is empty; give at least one name a range or a list of choices")
    if "seed" in space:
        raise SearchError("the space contains 'seed', but the best seed is only a lucky one; use `confirm` for seeds")
    return {name: make_distribution(name, values) for name, values in space.items()}


def make_distribution(name: str, values: Any) -> BaseDistribution:
    """Return Optuna's distribution for (low, high), (low, high, "log") or a list; SearchError if it has no value."""
    entry = f"space[{name!r}] is {values!r}"
    if isinstance(values, list):
        if not values or not all(value is None or isinstance(value, str | int | float) for value in values):
            raise SearchError(f"{entry}; a list needs at least one choice: numbers, strings, True, False or None")
        return CategoricalDistribution(values)
    if not isinstance(values, tuple) or len(values) not in (2, 3) or values[2:] not in ((), ("log",)):
        raise SearchError(f"{entry}; write (low, high), (low, high, 'log') or a list of choices")
    (low, high), log = values[:2], len(values) == 3
    # The condition says what is right, because a comparison with NaN is false.
    if not -math.inf < low <= high < math.inf or (log and low <= 0):
        raise SearchError(f"{entry} and has no valid value; it needs {'0 < ' if log else ''}low <= high, both finite")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(low, high, log=log)


def grid_points(space: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """Return all combinations of the lists of a space, in random order: a part of them is then spread over all.

    >>> len(grid_points({"lr": [1e-5, 1e-4], "layers": [1, 2, 3]}, seed=0))
    6
    """
    for name, values in space.items():
        if not isinstance(values, list):
            raise SearchError(f"space[{name!r}] is {values!r}, but a grid needs a list of choices for every name")
    points = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
    random.Random(seed).shuffle(points)
    return points


def make_sampler(name: str, seed: int, index: int, point: Mapping[str, Any]) -> optuna.samplers.BaseSampler:
    """Return the sampler for one trial; `point` is the trial's place in the grid, and is used by "grid" only.

    The random numbers depend on the trial's index alone. So workers with the same seed try different configurations,
    and a trial that is repeated after a kill tries the same one.
    """
    trial_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=trial_seed)
    sampler = optuna.samplers.RandomSampler(seed=trial_seed)
    if name == "random":
        return sampler
    # Not Optuna's GridSampler: two workers can get the same point from it, and a failed trial counts as visited.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.PartialFixedSampler(dict(point), sampler)


def make_pruner(name: str | None, min_epochs: int) -> optuna.pruners.BasePruner:
    """Return the pruner. Epochs are counted from 1, so it decides for the first time after epoch `min_epochs`."""
    if name == "median":
        return optuna.pruners.MedianPruner(n_warmup_steps=min_epochs)
    if name == "halving":
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=min_epochs)
    return optuna.pruners.NopPruner()
