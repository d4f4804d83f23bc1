"""The terminal that the command `nbhelpers` prints to."""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.theme import Theme


def make_screen(*, stderr: bool = False) -> Console:
    """A terminal that shows every text as it is.

    rich would read "[course]" in `pip install ".[course]"` as a style, and ":joy:" in an error message as a picture.
    Paths, labels, parameters and errors come from outside and can contain both. So styles are given as
    `rich.text.Text` instead.

    Args:
        stderr: print to the standard error.

    >>> make_screen().print('pip install ".[course]"')
    pip install ".[course]"
    """
    # rich's own green for a bar that is full looks empty where a terminal has only 16 colors
    return Console(stderr=stderr, markup=False, emoji=False, theme=Theme({"bar.finished": "green"}))


def replace_what_cannot_be_shown() -> None:
    """Let the standard output print "?" for a character that its encoding lacks, such as "±" in ASCII.

    Without this, Python raises UnicodeEncodeError in the middle of a table.
    """
    # a notebook or a test may have put another object there
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
