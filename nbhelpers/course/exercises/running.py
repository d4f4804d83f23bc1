"""Call a learner's function: with inputs of its own, for a limited time, and without a traceback."""

from __future__ import annotations

import copy
import ctypes
import linecache
import threading
import traceback
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

SECONDS = 3.0  # for one call; the answers take far less


class Stopped(Exception):
    """The function did not return a result. The message says why, in words that follow "your function"."""


class TooLong(BaseException):
    """Ends a function that takes too long. Not an Exception, so that no `except Exception` of the function keeps it."""


def is_untouched(function: Any) -> bool:
    """Whether a function does nothing but return None, as the lesson gave it.

    >>> is_untouched(lambda x: None), is_untouched(lambda x: print(x))
    (True, False)
    """
    if not isinstance(function, FunctionType):
        return False
    empty = (lambda: None).__code__
    return function.__code__.co_code == empty.co_code and function.__code__.co_consts[-1:] == (None,)


def call(function: Callable[..., Any], inputs: Sequence[Any], seconds: float = SECONDS) -> Any:
    """What a function returns for a copy of the inputs.

    It runs in a thread, where it can be ended: no other way works on every system. A call that waits inside a C
    function cannot be ended; it goes on in the background, and the lesson goes on as well.

    Raises:
        Stopped: it raised an error, or took too long.

    >>> call(sum, [[1, 2]])
    3
    """
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = function(*copy.deepcopy(inputs))
        except TooLong:
            outcome["stopped"] = "takes too long: is there a loop that never ends?"
        except BaseException as error:  # also SystemExit and the like, because the lesson must go on
            outcome["stopped"] = describe(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(TooLong))
        thread.join(1)
        outcome.setdefault("stopped", f"did not return within {seconds:g} seconds: is there a loop that never ends?")
    if "stopped" in outcome:
        raise Stopped(outcome["stopped"])
    return outcome["result"]


def describe(error: BaseException) -> str:
    """An error in words, with the learner's line where it happened.

    >>> describe(ValueError("no such class"))
    'stops with ValueError: no such class'
    """
    said = f"stops with {type(error).__name__}: {error}".rstrip(": ")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        line = linecache.getline(frame.filename, frame.lineno or 0).strip()
        if (
            frame.filename != __file__
            and line
            and "site-packages" not in frame.filename
            and "/lib/" not in frame.filename
        ):
            return f"{said}, in the line  {line}"
    return said
