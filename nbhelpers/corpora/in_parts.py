"""Read a file of a table in parts: some thousand rows at a time, with cells that are not checked yet."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import Features

from .errors import CorpusError, place, suffix_of
from .readers import Format, Table, wrong_width
from .spreadsheets import with_class_names
from .streaming import head_of, json_objects, numbered_rows, open_parquet, readable_parquet

STREAMED = (".csv", ".tsv", ".txt", ".jsonl", ".parquet")
CHUNK = 10_000  # rows that are in memory at a time


def parts_of(path: Path, form: Format) -> Iterator[Table]:
    """Yield the rows of a file in tables of `CHUNK` rows. Each notes what `load_table` would note about its rows."""
    suffix = suffix_of(path.name)
    if suffix == ".parquet":
        return parquet_parts(path)
    return json_parts(path, form) if suffix == ".jsonl" else text_parts(path, form)


def parquet_parts(path: Path) -> Iterator[Table]:
    """Yield the rows of a parquet file. Class ids of a file that `datasets` wrote become the names of classes."""
    file, first = open_parquet(path), 1
    features = Features.from_arrow_schema(file.schema_arrow)
    with readable_parquet(path):
        for batch in file.iter_batches(batch_size=CHUNK):
            yield Table(path.name, range(first, first + len(batch)), with_class_names(batch.to_pydict(), features))
            first += len(batch)


def json_parts(path: Path, form: Format) -> Iterator[Table]:
    """Yield the objects of a JSON Lines file. A value that an object lacks is None."""
    head_of(path, form)  # raises the errors of files that are no such text
    objects, names = json_objects(path, form), dict[str, None]()
    while some := list(itertools.islice(objects, CHUNK)):
        names |= dict.fromkeys(name for _, item in some for name in item)
        yield Table(path.name, [row for row, _ in some], {name: [item.get(name) for _, item in some] for name in names})


def text_parts(path: Path, form: Format) -> Iterator[Table]:
    """Yield the rows of a file of separated values, without blank rows and without those of a wrong width."""
    names, numbered, notes = numbered_rows(path, form)
    blank = 0
    while rows := list(itertools.islice(numbered, CHUNK)):
        full = [(row, cells) for row, cells in rows if any(map(str.strip, cells))]
        blank += len(rows) - len(full)
        kept = [(row, cells) for row, cells in full if len(cells) == len(names)]
        faults = [wrong_width(path.name, row, cells, len(names)) for row, cells in full if len(cells) != len(names)]
        if faults and form.on_fault == "raise":
            raise CorpusError(faults[0])
        for row, cells in kept:  # files that were joined with their headers have more than one
            if cells[0].strip() == names[0] and [cell.strip() for cell in cells] == names:
                raise CorpusError(f"{place(path.name, row)}: the row repeats the header; delete it")
        columns: Any = zip(*(cells for _, cells in kept), strict=True) if kept else [[]] * len(names)
        table = Table(path.name, [row for row, _ in kept], dict(zip(names, map(list, columns), strict=True)), notes)
        table.num_rows = len(full)
        if faults:
            table.dropped["wrong number of fields"] = [fault.partition("; ")[0] for fault in faults]
        yield table
        notes = []
    if blank:
        note = f"{blank:,} blank {'row' if blank == 1 else 'rows'} skipped"
        yield Table(path.name, [], {name: [] for name in names}, [note])
