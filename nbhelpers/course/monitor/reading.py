"""Read dated sentences line by line, from a file or from a program that is still writing."""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from nbhelpers.course.errors import CourseError

NEEDED, OPTIONAL = ("text", "date", "company"), ("topic", "id")


def read_rows(
    lines: Iterable[str], columns: Mapping[str, str] | None = None, on_fault: Callable[[str], None] = print
) -> Iterator[dict[str, str]]:
    """Yield a dict for each sentence, as soon as its line is there.

    Args:
        lines: CSV with a header, or JSON Lines. The first line decides.
        columns: role -> column, for columns that are not named like their role: text, date, company, topic, id.
        on_fault: called with a sentence for a row that is left out.

    Raises:
        CourseError: there is no line, or a column is missing.

    >>> list(read_rows(["text,date,company", "All is well.,2041-03-05,Aeroquena"]))
    [{'text': 'All is well.', 'date': '2041-03-05', 'company': 'Aeroquena'}]
    """
    rest = iter(lines)
    first = next((line for line in rest if line.strip()), None)
    if first is None:
        raise CourseError("the input is empty; pass CSV with a header, or JSON Lines")
    all_lines = itertools.chain([first.removeprefix("\ufeff")], rest)
    rows = json_rows(all_lines, on_fault) if first.lstrip("\ufeff ").startswith("{") else csv_rows(all_lines, on_fault)
    names = {role: role for role in (*NEEDED, *OPTIONAL)} | dict(columns or {})
    for number, row in rows:
        missing = [role for role in NEEDED if names[role] not in row]
        if missing:
            there = ", ".join(map(str, row))
            raise CourseError(f"the input has no column {names[missing[0]]!r}; it has {there}; use --{missing[0]}")
        found = {role: str(row.get(name) or "").strip() for role, name in names.items() if name in row}
        if empty := [role for role in NEEDED if not found[role]]:
            on_fault(f"line {number} is left out: it has no {empty[0]}")
        else:
            yield found


def csv_rows(lines: Iterator[str], on_fault: Callable[[str], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and rows of CSV. A row with too many or too few cells is left out."""
    reader = csv.reader(lines)
    header = [name.strip() for name in next(reader)]
    for cells in reader:
        if len(cells) == len(header):
            yield reader.line_num, dict(zip(header, cells, strict=True))
        elif cells:
            on_fault(f"line {reader.line_num} is left out: it has {len(cells)} cells, and the header {len(header)}")


def json_rows(lines: Iterator[str], on_fault: Callable[[str], None]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line numbers and rows of JSON Lines. A line that is no object is left out."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            yield number, row
        else:
            on_fault(f"line {number} is left out: it is no JSON object")
