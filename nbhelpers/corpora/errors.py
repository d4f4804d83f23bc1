"""The error of this unit, and helpers for its messages."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

TWO_CLASSES = "a classifier needs at least two classes; check the column and the file"


class CorpusError(ValueError):
    """A corpus cannot be used as it is; the message says what is wrong, where, and what to do."""


def place(file: str, row: int) -> str:
    """Return the place of an error, as all messages name it.

    >>> place("train.csv", 7), place("train.jsonl", 7)
    ('train.csv, row 7', 'train.jsonl, line 7')
    """
    return f"{file}, {'line' if file.lower().endswith('.jsonl') else 'row'} {row}"


def missing(path: Path) -> CorpusError:
    """Return the error for a path that does not exist, with the names of similar files beside it."""
    # Most missing files are misspelled or have another suffix
    near = difflib.get_close_matches(path.name, os.listdir(path.parent) if os.path.isdir(path.parent) else [])
    advice = f"did you mean {' or '.join(near)}?" if near else "check the path"
    return CorpusError(f"{shortened(path)} does not exist; {advice}")


def shortened(path: Path) -> str:
    """Return a path as a string; of a very long one, which is probably no path but a text, only the beginning."""
    return str(path) if len(str(path)) <= 300 else f"{str(path)[:100]}..."


def require_distinct(names: Sequence[str], where: str) -> None:
    """Raise CorpusError if a name occurs twice. Empty names may, because columns without a name are ignored."""
    for name, count in Counter(names).items():
        if name and count > 1:
            raise CorpusError(f"{where}: the name {name!r} occurs {count} times; rename or remove all but one")
