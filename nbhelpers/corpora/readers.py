"""Read one file: from a path to a table with unchecked cells."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .encodings import decode
from .errors import CorpusError, more_faults, place, require_distinct, suffix_of
from .files import content_of
from .meld import compare_with_official
from .parsing import DELIMITERS, SEPARATORS, csv_records, json_lines, json_tables, probable_delimiter
from .spreadsheets import parquet_columns, xlsx_records

COPY = "check that it was saved and copied completely"


@dataclass(frozen=True)
class Format:
    """How files are to be read. The fields are the arguments of `load_table`."""

    columns: Sequence[str] | None = None
    delimiter: str | None = None
    quotes: bool = True
    encoding: str = "utf-8"
    on_fault: str = "raise"
    query: str | None = None
    table: str | None = None


@dataclass
class Table:
    """The content of one file, before its cells are checked.

    Args:
        file: its name, for messages.
        rows: the number of each record in the file; in a folder, the name of its file.
        columns: name -> cells.
        notes: what `describe` is to show.
        dropped: kind of fault -> what was wrong with each row that was left out.
        num_rows: how many rows there were before any was left out.
        guessed: argument -> column, where the user named none.
    """

    file: str
    rows: Sequence[int | str]
    columns: dict[str, list[Any]]
    notes: list[str] = field(default_factory=list)
    dropped: dict[str, list[str]] = field(default_factory=dict)
    num_rows: int = 0
    guessed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.num_rows = self.num_rows or len(self.rows)

    def take(self, positions: Iterable[int]) -> Table:
        """Return a table with only these rows. All else is shared with this one."""
        chosen = list(positions)
        columns = {name: [cells[i] for i in chosen] for name, cells in self.columns.items()}
        return replace(self, rows=[self.rows[i] for i in chosen], columns=columns)


def read(path: Path, form: Format) -> Table:
    """Read one file that contains one table."""
    tables = read_tables(path, form)
    if len(tables) > 1:
        raise CorpusError(f"{path.name} contains {', '.join(tables)}; save each of them as a file of its own")
    return next(iter(tables.values()))


def read_tables(path: Path, form: Format) -> dict[str, Table]:
    """Read one file. The result has one table with the name "", or, from JSON, one for each split in the file."""
    file, content = path.name, content_of(path)
    suffix, notes = suffix_of(file), compare_with_official(path.name, content)
    if suffix == ".parquet":
        columns = parquet_columns(file, content)
        return {"": Table(file, range(1, 1 + len(next(iter(columns.values())))), columns, notes)}
    if suffix == ".xlsx":
        records, more = xlsx_records(file, content)
        return {"": table_from_records(file, records, form, notes + more)}
    text = decode(file, content, form.encoding, form.quotes)
    if text.startswith("\ufeff"):  # it would become an invisible part of the first column's name
        text = text[1:]
        notes.append("byte order mark removed")
    if not text.strip():
        raise CorpusError(f"{file} is empty; {COPY}")
    if suffix == ".jsonl":
        return {"": Table(file, *json_lines(file, text), notes)}
    if suffix == ".json":
        return {split: Table(file, rows, cells, notes) for split, (rows, cells) in json_tables(file, text).items()}
    return {"": read_csv(file, text, form, notes)}


def read_csv(file: str, text: str, form: Format, notes: list[str]) -> Table:
    """Read the text of a CSV or TSV file. Another separator than the suffix promises is found, and noted."""
    used = form.delimiter or DELIMITERS[suffix_of(file)]
    try:
        return table_from_records(file, csv_records(file, text, form.quotes, delimiter=used), form, notes)
    except CorpusError:
        # With another separator, the error is about fields or quotation marks, and its advice would not help
        fitting = another_separator(file, text, form, used, notes)
        if fitting is None:
            raise
        return table_from_records(file, csv_records(file, text, form.quotes, delimiter=fitting), form, notes)


def another_separator(file: str, text: str, form: Format, used: str, notes: list[str]) -> str | None:
    """Return the separator that fits a file better than the one used, and note it; None if no other one fits.

    Raises:
        CorpusError: the user has named a separator, and another one fits better.
    """
    fitting = probable_delimiter(file, text, form.quotes, used, len(form.columns) if form.columns else None)
    if fitting is not None:
        fault = f"{SEPARATORS[fitting]} separates the columns, not {SEPARATORS.get(used, repr(used))}"
        if form.delimiter:
            raise CorpusError(f"{file}: {fault}; pass delimiter={fitting!r}") from None
        notes.append(fault)
    return fitting


def table_from_records(file: str, records: list[list[str]], form: Format, notes: list[str]) -> Table:
    """Turn records into columns; each must have as many fields as the header."""
    # Blank rows are skipped, but they keep their row numbers, so that a message points to the right row. Spreadsheets
    # write them with separators between their empty cells.
    numbered = [(row, record) for row, record in enumerate(records, start=1) if any(map(str.strip, record))]
    blank = len(records) - len(numbered)
    header = take_header(file, numbered, form, notes)
    if len(header) < 2:
        advice = "a table needs texts and labels, so check what separates its columns"
        raise CorpusError(f"{file} has only the column {header[0]!r:.60}; {advice}")
    kept, dropped = rows_of_width(file, numbered, len(header), form.on_fault)
    rows, cells = zip(*kept, strict=True)
    if blank:
        notes.append(f"{blank:,} blank {'row' if blank == 1 else 'rows'} skipped")
    columns = dict(zip(header, map(list, zip(*cells, strict=True)), strict=True))
    return Table(file, rows, columns, notes, dropped, num_rows=len(numbered))


def take_header(file: str, numbered: list[tuple[int, list[str]]], form: Format, notes: list[str]) -> list[str]:
    """Return the names of the columns, and remove the header from the numbered records, if there is one.

    Raises:
        CorpusError: there are no rows, a name occurs twice, or a row repeats the header.
    """
    if not numbered:
        raise CorpusError(f"{file} is empty; {COPY}")
    if form.columns:
        header = list(form.columns)
    elif has_no_header([record for _, record in numbered]):
        header = [f"column {i}" for i in range(1, 1 + len(numbered[0][1]))]
        notes.append("no header")
    else:
        header = [name.strip() for name in numbered.pop(0)[1]]
    require_distinct(header, f"{file}, header")
    require_no_header(file, numbered, header, bool(form.columns))
    if not numbered:
        raise CorpusError(f"{file} has a header but no rows; {COPY}")
    return header


def rows_of_width(
    file: str, numbered: list[tuple[int, list[str]]], width: int, on_fault: str
) -> tuple[list[tuple[int, list[str]]], dict[str, list[str]]]:
    """Return the rows with the right number of fields, and the faults of the others, if they may be dropped."""
    kept = [(row, record) for row, record in numbered if len(record) == width]
    faults = [wrong_width(file, row, record, width) for row, record in numbered if len(record) != width]
    if faults and (on_fault == "raise" or len(numbered[0][1]) != width):
        raise CorpusError(f"{faults[0]}{more_faults(len(faults) - 1, len(numbered))}")
    return kept, {"wrong number of fields": [fault.partition("; ")[0] for fault in faults]} if faults else {}


def wrong_width(file: str, row: int, record: Sequence[str], width: int) -> str:
    """Return the message about a row that has not as many fields as the header."""
    fault = f"the number of fields is {len(record)} instead of {width}"
    return f"{place(file, row)}: {fault}; put quotation marks around a text that contains the separator"


def has_no_header(records: Sequence[Sequence[str]]) -> bool:
    """Return whether the first record is data: a cell of it that is short or a number comes again below it.

    A name of a column does not occur among its values, but the label of the first row nearly always does.

    >>> has_no_header([["fine", "1"], ["bad", "0"], ["so", "1"], ["sad", "0"], ["good", "1"]])
    True
    """
    first, rest = records[0], records[1:]
    if first in rest:  # files that were joined with their headers
        return False
    for position, cell in enumerate(first):
        below = [record[position] for record in rest if len(record) > position]
        if cell.strip() and cell in below and 2 <= len(set(below)) <= len(below) / 2:
            return True
    return False


def require_no_header(file: str, numbered: Sequence[tuple[int, list[Any]]], header: list[str], given: bool) -> None:
    """Raise CorpusError if a row repeats the names of the columns: "text" would become a text, and "label" a class."""
    if given and numbered:
        row, record = numbered[0]
        # The names of the user need not be written as in the file, or be in that order; one of them may be chance
        cells = {cell.strip(" \t'\"").casefold() for cell in record} & {name.casefold() for name in header if name}
        if len(cells) >= 2:
            fault = f"the row is a header, because it contains {' and '.join(sorted(cells))}"
            raise CorpusError(f"{place(file, row)}: {fault}; leave out columns=, or delete the row")
    # Files that were joined with their headers have more than one
    for row, record in numbered:
        if record[0].strip() == header[0] and [cell.strip() for cell in record] == header:
            raise CorpusError(f"{place(file, row)}: the row repeats the header; delete it")
