"""A table of any size in chunks, which are written in parts that are joined at the end."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow
import pyarrow.parquet

from nbhelpers import corpora

from .errors import ClassifierError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
FORMATS = (*DELIMITERS, ".jsonl", ".parquet")  # that can be written in parts


class Chunk(NamedTuple):
    """Some rows of a table: the names of its columns, and the cells of each row."""

    names: list[str]
    rows: list[list[Any]]

    def column(self, name: str) -> list[Any]:
        """Return the cells of a column."""
        position = self.names.index(name)
        return [row[position] for row in self.rows]


def format_of(output: Path) -> str:
    """Return the suffix of a file that is to be written. One that cannot be written raises ClassifierError."""
    if output.suffix.lower() not in FORMATS:
        raise ClassifierError(f"{output.name}: this format cannot be written; use {', '.join(FORMATS)}")
    return output.suffix.lower()


def in_chunks(file: str, table: corpora.Stream, size: int, skip: int, together: str | None) -> Iterator[Chunk]:
    """Yield the rows of a file in chunks of about `size` rows.

    Args:
        file: its name, for the error.
        table: what it contains.
        size: the rows of a chunk.
        skip: leave out so many rows at the start.
        together: a column; a chunk ends only where its cell changes. A cell that comes again later raises
            ClassifierError, because its rows would be classified apart.
    """
    rows: list[list[Any]] = []
    seen: set[int] = set()
    position = None if together is None else table.names.index(together)
    current = None
    for row in itertools.islice(table.rows, skip, None):
        if position is not None:
            if rows and row[position] != current and len(rows) >= size:
                yield Chunk(table.names, rows)
                rows = []
            if row[position] != current:
                current = row[position]
                if hash(current) in seen:
                    raise ClassifierError(f"{file}: the rows of {together} {current!r} are not together; sort the file")
                seen.add(hash(current))
        elif len(rows) == size:
            yield Chunk(table.names, rows)
            rows = []
        rows.append(row)
    if rows:
        yield Chunk(table.names, rows)


def write_part(chunk: Chunk, part: Path, suffix: str) -> None:
    """Write a chunk as a file, as a whole: a part that is there is complete."""
    temporary = part.with_name(f"{part.name}.new")
    if suffix != ".jsonl":
        chunk = Chunk(chunk.names, [[in_json(cell) for cell in row] for row in chunk.rows])
    if suffix == ".parquet":
        columns = {name: as_array([row[i] for row in chunk.rows]) for i, name in enumerate(chunk.names)}
        pyarrow.parquet.write_table(pyarrow.table(columns), temporary)
    else:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            if suffix == ".jsonl":
                file.writelines(
                    json.dumps(dict(zip(chunk.names, row, strict=True)), ensure_ascii=False, default=str) + "\n"
                    for row in chunk.rows
                )
            else:
                csv.writer(file, delimiter=DELIMITERS[suffix], lineterminator="\n").writerows(chunk.rows)
            file.flush()
            os.fsync(file.fileno())
    temporary.rename(part)


def in_json(cell: Any) -> Any:
    """Return a list, such as the entities of a text, or an object as JSON: a table has no better place for them.

    >>> in_json([{"start": 0}]), in_json("text")
    ('[{"start": 0}]', 'text')
    """
    return json.dumps(cell, ensure_ascii=False, default=str) if isinstance(cell, list | dict) else cell


def as_array(cells: list[Any]) -> pyarrow.Array:
    """Return the cells of a column as parquet can hold them. Those of several types become text.

    >>> as_array([1, None, "b"]).to_pylist(), as_array([1, None]).to_pylist()
    (['1', None, 'b'], [1, None])
    """
    try:
        return pyarrow.array(cells)
    except (pyarrow.ArrowException, OverflowError):
        return pyarrow.array([None if cell is None else str(cell) for cell in cells])


def joint_schema(schemas: Sequence[pyarrow.Schema]) -> pyarrow.Schema:
    """Return the types of columns that all parts can be converted to: text, where the types have nothing in common."""
    fields = []
    for i, name in enumerate(schemas[0].names):
        alone = [pyarrow.schema([schema.field(i)]) for schema in schemas]
        try:
            fields.append(pyarrow.unify_schemas(alone, promote_options="permissive").field(0))
        except pyarrow.ArrowException:
            fields.append(pyarrow.field(name, pyarrow.string()))
    return pyarrow.schema(fields)


def join_parts(parts: Sequence[Path], names: list[str], output: Path, suffix: str) -> None:
    """Join the parts to one file, as a whole."""
    temporary = output.with_name(f".{output.name}.new")
    if suffix == ".parquet":
        schema = joint_schema([pyarrow.parquet.read_schema(part) for part in parts])
        with pyarrow.parquet.ParquetWriter(temporary, schema) as writer:
            for part in parts:
                writer.write_table(pyarrow.parquet.read_table(part).cast(schema))
    else:
        with temporary.open("w", encoding="utf-8", newline="") as header:
            if suffix != ".jsonl":
                csv.writer(header, delimiter=DELIMITERS[suffix], lineterminator="\n").writerow(names)
        with temporary.open("ab") as joined:
            for part in parts:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, joined)
    temporary.rename(output)
