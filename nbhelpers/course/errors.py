"""What the command `nbhelpers` shows to its user as one sentence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class CourseError(ValueError):
    """A request that cannot be carried out. The message is one sentence: what is wrong, and what to do instead."""


class Interrupted(Exception):
    """The user pressed Ctrl+C. The message says what is kept, and how to go on."""


@contextmanager
def on_interrupt(advice: Callable[[], str]) -> Iterator[None]:
    """Turn Ctrl+C in a `with` block into Interrupted; `advice` is called then, and returns its message."""
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(advice()) from None
