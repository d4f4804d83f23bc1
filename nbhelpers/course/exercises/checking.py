"""`check`: from the name of an exercise and an answer to "Right." or a hint. A learner never sees a traceback here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .lesson_01 import memory
from .lesson_02 import padding
from .lesson_03 import f1
from .lesson_04 import lora
from .lesson_05 import kl
from .lesson_06 import window
from .lesson_07 import psi

Check = Callable[[Any], str]  # takes an answer, returns a hint, or "" when the answer is right

EXERCISES: dict[str, Check] = {
    "memory": memory,
    "padding": padding,
    "f1": f1,
    "lora": lora,
    "kl": kl,
    "window": window,
    "psi": psi,
}


class NotBegun(Exception):
    """The learner's function is still as the lesson gave it, and returns None."""


def check(exercise: str, answer: Any) -> None:
    """Print whether an answer is right. If it is not, print a hint.

    Args:
        exercise: the name of the exercise, as the lesson gives it.
        answer: a value or a function. None, or a function that returns None at its first call, means that the task is
            not begun. That is no error.

    >>> check("memory", None)
    No answer yet: replace None and run the cell again.
    >>> check("memory", 90.8)
    Not yet: this counts the weights only; training also keeps a gradient and two running means for each of them.
    >>> check("memory", 363.2)
    Right.
    """
    try:
        if answer is None:
            raise NotBegun
        hint = EXERCISES[exercise](begun(answer) if callable(answer) else answer)
        print(f"Not yet: {hint}" if hint else "Right.")
    except NotBegun:
        print("No answer yet: replace None and run the cell again.")
    except Exception as error:  # a learner's function can raise anything, and the lesson should go on
        print(f"Not yet: your function stopped with {type(error).__name__}: {error}.")


def begun(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, but it raises NotBegun when it returns None at its first call.

    Later a None is a wrong answer, for which the exercise has a hint.
    """
    first_call = True

    def watched(*inputs: Any) -> Any:
        nonlocal first_call
        result = function(*inputs)
        if result is None and first_call:
            raise NotBegun
        first_call = False
        return result

    return watched
