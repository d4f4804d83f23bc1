"""The errors of this unit, and helpers for their messages."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

TWO_CLASSES = "a classifier needs at least two classes; check the column and the file"
MAX_DROPPED = 0.05  # of the rows of a file; if more are faulty, something is wrong with the file or its reading
UNITS = {".jsonl": "line", ".json": "record", ".txt": "line"}  # what a row of a file is called, if not "row"


class CorpusError(ValueError):
    """A corpus cannot be used as it is; the message says what is wrong, where, and what to do."""


class CellFault(ValueError):
    """What is wrong with a cell, without its place.

    Args:
        kind: a few words that are the same for all faults of this kind.
        message: the fault in this cell, and what to do.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def suffix_of(file: str) -> str:
    """Return the suffix of a file in lower case, that before ".gz" if the file is compressed.

    >>> suffix_of("reviews.csv"), suffix_of("Reviews.JSONL.gz")
    ('.csv', '.jsonl')
    """
    return Path(file.lower().removesuffix(".gz")).suffix


def place(file: str, row: int | str) -> str:
    """Return the place of an error, as all messages name it. In a folder, a row is a file.

    >>> place("train.csv", 7), place("train.jsonl.gz", 7), place("reviews", "pos/7.txt")
    ('train.csv, row 7', 'train.jsonl.gz, line 7', 'reviews/pos/7.txt')
    """
    return f"{file}/{row}" if isinstance(row, str) else f"{file}, {UNITS.get(suffix_of(file), 'row')} {row}"


def more_faults(count: int, num_rows: int) -> str:
    """Return the end of a message about one faulty row of `num_rows`, if there are others.

    >>> more_faults(4, 600), more_faults(0, 600), more_faults(99, 600)
    ("; 4 more rows are faulty, and on_fault='drop' leaves all of them out", '', '; 99 more rows are faulty')
    """
    if not count:
        return ""
    # A file with more of them is refused with on_fault="drop" as well
    advice = ", and on_fault='drop' leaves all of them out" if count + 1 <= MAX_DROPPED * num_rows else ""
    return f"; {count:,} more {'row is' if count == 1 else 'rows are'} faulty{advice}"


def missing(path: Path) -> CorpusError:
    """Return the error for a path that does not exist, with the names of similar files beside it."""
    # Most missing files are misspelled or have another suffix; a lower cutoff finds names that only share the suffix
    names = os.listdir(path.parent) if os.path.isdir(path.parent) else []
    near = difflib.get_close_matches(path.name, names, cutoff=0.75)
    advice = f"did you mean {' or '.join(near)}?" if near else "check the path"
    return CorpusError(f"{shortened(path)} does not exist; {advice}")


def listing(columns: Iterable[str]) -> str:
    """Return the names of the columns of a table as messages list them.

    >>> listing(["id", "", "text"])
    "id, '', text"
    """
    return ", ".join(" ".join(name.split())[:40] or "''" for name in columns)[:300]


def shortened(path: Path) -> str:
    """Return a path as a string; of a very long one, which is probably no path but a text, only the beginning."""
    return str(path) if len(str(path)) <= 300 else f"{str(path)[:100]}..."


def require_distinct(names: Sequence[str], where: str) -> None:
    """Raise CorpusError if a name occurs twice. Empty names may, because columns without a name are ignored."""
    for name, count in Counter(names).items():
        if name and count > 1:
            raise CorpusError(f"{where}: the name {name!r} occurs {count} times; rename or remove all but one")
