"""Experiments that do not choose one class per text, such as tagging words: each is a function from settings to scores.

A row of a table names one with `method: task` and `task: tagging`. All other settings of the row are the arguments of
the function, so an unknown or missing one is found before anything is measured. The function gets the seed as well, and
returns {"test": {score: number}, ...}: the scores are from 0 to 1, and whatever else it returns is stored with the run.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

TASKS = ("tagging",)  # a file here, with a function of the same name
NOT_ARGUMENTS = {"method", "task"}


def task_function(name: str) -> Callable[..., dict[str, Any]]:
    """The function of a task."""
    function: Callable[..., dict[str, Any]] = getattr(importlib.import_module(f".{name}", __name__), name)
    return function


def task_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with the settings of a row, one phrase per fault."""
    name = config.get("task")
    if name not in TASKS:
        yield f"task {name!r} is not one of {', '.join(TASKS)}"
        return
    arguments = inspect.signature(task_function(name)).parameters
    given = set(config) - NOT_ARGUMENTS
    needed = {x.name for x in arguments.values() if x.default is x.empty} - {"seed"}
    yield from (f"{x} is unknown" for x in sorted(given - set(arguments)))
    yield from (f"{x} is missing" for x in sorted(needed - given))


def run_task(config: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """What a task measures with the settings of a row."""
    settings = {name: value for name, value in config.items() if name not in NOT_ARGUMENTS}
    return task_function(config["task"])(seed=seed, **settings)
