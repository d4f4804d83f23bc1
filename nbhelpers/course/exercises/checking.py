"""`check`: from the name of an exercise and an answer to praise or a hint. A learner never sees a traceback here."""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from . import progress
from .exercise import Exercise
from .running import is_untouched

# the files lesson_01 and so on, in order
LESSONS = [import_module(f"{__package__}.{path.stem}") for path in sorted(Path(__file__).parent.glob("lesson_*.py"))]
EXERCISES: dict[str, Exercise] = {name: exercise for lesson in LESSONS for name, exercise in lesson.EXERCISES.items()}


def check(exercise: str, answer: Any, *given: Any) -> None:
    """Print whether an answer is right. If it is not, print what is wrong and a hint, which grows with each try.

    Args:
        exercise: the name of the exercise, as the lesson gives it.
        answer: a value or a function. None, or a function that only returns None, is an exercise that was not
            attempted. That is no error.
        given: what the answer depends on, as the lesson gives it.
    """
    if exercise not in EXERCISES:
        near = difflib.get_close_matches(exercise, EXERCISES, n=1)
        print(f"There is no exercise {exercise!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return
    if answer is None or is_untouched(answer):
        print("Not attempted yet. Write your answer above, and run this cell again.")
        return
    asked = EXERCISES[exercise]
    fault = asked.fault_of(answer, given)
    num_tries = progress.record(exercise, not fault)
    if not fault:
        print(f"Right! {asked.because}".rstrip())
        print(f"Exercises done: {num_done()} of {len(EXERCISES)}.")
        return
    print(f"Not yet. {fault}")
    for hint in asked.hints[:num_tries]:
        print(f"Hint: {hint}")
    if num_tries > len(asked.hints):
        print("The solution is below this cell. Read it, close it, and write it yourself.")


def num_done() -> int:
    """How many exercises were ever answered right."""
    known = progress.read()
    return sum(bool(known.get(name, {}).get("done")) for name in EXERCISES)


def show_progress() -> pd.DataFrame:
    """A table with a row for each lesson: how many exercises it has, and which are still to do."""
    known, rows = progress.read(), {}
    for lesson in LESSONS:
        names = list(lesson.EXERCISES)
        left = [name for name in names if not known.get(name, {}).get("done")]
        rows[names[0][:2]] = {"exercises": len(names), "done": len(names) - len(left), "to do": ", ".join(left) or "-"}
    return pd.DataFrame(rows).T.rename_axis("lesson")
