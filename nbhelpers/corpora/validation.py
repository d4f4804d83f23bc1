"""Check the cells of a table: texts, labels and whole numbers."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .errors import MAX_DROPPED, CellFault, CorpusError, listing, more_faults, place
from .normalizing import RULES, normalize
from .readers import Table

MAX_CHARS = 100_000  # a longer "text" nearly always comes from a missing quotation mark


def require_columns(table: Table, columns: Sequence[str], advice: str) -> None:
    """Raise CorpusError if a table lacks one of the columns."""
    for column in columns:
        if column not in table.columns:
            raise CorpusError(f"{table.file}: no column {column!r}; the columns are {listing(table.columns)}; {advice}")


def convert_cells(table: Table, column: str, convert: Callable[..., Any], *arguments: Any) -> list[Any]:
    """Convert every cell of a column; a CellFault of `convert` becomes a CorpusError with file and row."""
    values = []
    # The functions that check a cell do not know where it is, so the place is added here
    for row, cell in zip(table.rows, table.columns[column], strict=True):
        try:
            values.append(convert(cell, *arguments))
        except CellFault as error:
            raise CorpusError(f"{place(table.file, row)}: {column} {error}") from error
    return values


def without_faults(table: Table, checks: Mapping[str, Callable[[Any], Any]], on_fault: str) -> Table:
    """Return the table without its faulty rows, which are noted in `dropped`.

    Args:
        table: any table.
        checks: column -> a function that raises CellFault for a faulty cell.
        on_fault: "raise" or "drop".

    Raises:
        CorpusError: a row is faulty, and on_fault is "raise"; or too many are.
    """
    kept, faults = find_faults(table, checks)
    if not faults:
        return table
    if on_fault == "raise":
        raise CorpusError(f"{faults[0][1]}{more_faults(len(faults) - 1, table.num_rows)}")
    for kind, message in faults:
        table.dropped.setdefault(kind, []).append(message.partition("; ")[0])
    require_few_faults(table)
    return table.take(kept)


def find_faults(table: Table, checks: Mapping[str, Callable[[Any], Any]]) -> tuple[list[int], list[tuple[str, str]]]:
    """Return the positions of the rows without a fault, and the kind and the message of the other rows' first fault.

    Arguments as for `without_faults`.
    """
    kept, faults = list[int](), list[tuple[str, str]]()
    for position, row in enumerate(table.rows):
        for column, check in checks.items():
            try:
                check(table.columns[column][position])
            except CellFault as fault:
                faults.append((f"{column} {fault.kind}", f"{place(table.file, row)}: {column} {fault}"))
                break
        else:
            kept.append(position)
    return kept, faults


def require_few_faults(table: Table) -> None:
    """Raise CorpusError if more than MAX_DROPPED of a table's rows were dropped."""
    count = sum(map(len, table.dropped.values()))
    if count > MAX_DROPPED * table.num_rows:
        kind, faults = max(table.dropped.items(), key=lambda item: len(item[1]))
        share = f"{count:,} of {table.num_rows:,} rows are faulty, more than {MAX_DROPPED:.0%}"
        advice = "correct the file, or check how it is read"
        raise CorpusError(f"{table.file}: {share}, most often: {kind} ({faults[0]:.200}); {advice}")


def whole_number(cell: Any) -> int:
    """Return the number in a cell. More than 18 digits would not fit into int64."""
    if not re.fullmatch("[0-9]{1,18}", str(cell).strip()):
        raise CellFault("no number", f"{cell!r:.60} is not a whole number such as 0 or 12; correct the row")
    return int(cell)


def text_of_cell(cell: Any, max_chars: int) -> str:
    """Return the text in a cell unchanged. A text that is empty after normalizing is an error."""
    if not isinstance(cell, str | None):
        raise CellFault("no text", f"{cell!r:.60} is not text; put quotation marks around it")
    if cell and len(cell) > max_chars:
        advice = "look for a missing quotation mark, shorten it or pass max_chars=..."
        raise CellFault("too long", f"has {len(cell):,} characters, more than max_chars={max_chars:,}; {advice}")
    if not (cell and (re.search(r"\w", cell) or normalize(cell))):  # a word is never lost in normalizing
        raise CellFault("empty", "is empty after normalizing; fill it in or delete the row")
    return cell


def label_of_cell(cell: Any) -> str:
    """Return the label in a cell, a name or a number, as a string."""
    if isinstance(cell, float | list | dict):  # only JSON, parquet and the Hub have cells that are not strings
        raise CellFault("no label", f"{cell!r:.60} is neither a name nor a whole number; correct the row")
    label = "" if cell is None else " ".join(str(cell).split())
    if not label:
        raise CellFault("missing", "is missing; fill it in or delete the row")
    return label


def labels_of_cell(cell: Any, separator: str | None) -> list[str]:
    """Return the labels in a cell: a list, or a text whose parts are separated. It can also have no label."""
    if cell is None:
        raise CellFault("missing", "is missing; write an empty list, or delete the row")
    if isinstance(cell, str):
        cell = [part for part in cell.split(separator) if part.strip()] if separator else [cell]
    elif not isinstance(cell, list | tuple):
        cell = [cell]
    labels = [label_of_cell(part) for part in cell]
    if len(set(labels)) < len(labels):
        raise CellFault("repeated", f"{cell!r:.60} has a label twice; correct the row")
    return labels


def class_id(cell: Any, ids: Mapping[str, int], advice: str) -> int:
    """Return the id of the label in a cell; with many classes, the message lists only similar ones."""
    label = label_of_cell(cell)
    if label not in ids:
        near = ", ".join(difflib.get_close_matches(label, ids, n=5)) or "none"
        listing = ", ".join(ids) if len(ids) <= 12 else f"the {len(ids)} classes (similar: {near})"
        raise CellFault("unknown", f"{label!r:.60} is not one of {listing}; {advice}")
    return ids[label]


def normalized_texts(table: Table, column: str, max_chars: int) -> tuple[list[str], dict[str, Any]]:
    """Return the normalized texts, and for each rule how many it changed, with the shortest example."""
    texts, changes = convert_cells(table, column, text_of_cell, max_chars), {}
    for name, rule in RULES.items():
        before, texts = texts, [rule(text) for text in texts]
        pairs = [(old, new) for old, new in zip(before, texts, strict=True) if old != new]
        if pairs:
            old, new = min(pairs, key=lambda pair: len(pair[0]))
            changes[name] = {"texts": len(pairs), "before": old[:200], "after": new[:200]}
    return texts, changes
