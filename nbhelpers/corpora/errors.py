"""The error of this unit, and the helpers that phrase where something is wrong."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

TWO_CLASSES = "a classifier needs two classes at least; check the column and the file"


class CorpusError(ValueError):
    """A corpus cannot be used as it stands; the message says what is wrong, where, and what to do."""


def place(file: str, row: int) -> str:
    """Return where something is wrong, in the words of all messages.

    >>> place("train.csv", 7), place("train.jsonl", 7)
    ('train.csv, row 7', 'train.jsonl, line 7')
    """
    return f"{file}, {'line' if file.lower().endswith('.jsonl') else 'row'} {row}"


def missing(path: Path) -> CorpusError:
    """Return the error for a path that does not exist, with the names of similar files beside it."""
    near = difflib.get_close_matches(path.name, os.listdir(path.parent) if path.parent.is_dir() else [])
    advice = f"did you mean {' or '.join(near)}?" if near else "check the path"
    return CorpusError(f"{path} does not exist; {advice}")


def require_distinct(names: Sequence[str], where: str) -> None:
    """Refuse names of which one occurs twice. Empty names, as of a column without a header, may."""
    for name, count in Counter(names).items():
        if name and count > 1:
            raise CorpusError(f"{where}: the name {name!r} stands {count} times; rename or remove all but one")
