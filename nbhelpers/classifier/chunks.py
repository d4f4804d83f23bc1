"""Read a table of any size in chunks, and write it in parts that are joined at the end."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow
import pyarrow.parquet

from .errors import ClassifierError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
FORMATS = (*DELIMITERS, ".jsonl", ".parquet")
MAX_FIELD = 2**31 - 1


class Chunk(NamedTuple):
    """Some rows of a table: the names of its columns, and the cells of each row."""

    names: list[str]
    rows: list[list[Any]]

    def column(self, name: str) -> list[Any]:
        """Return the cells of a column."""
        position = self.names.index(name)
        return [row[position] for row in self.rows]


def format_of(path: Path, writing: bool = False) -> str:
    """Return the suffix of a file, without ".gz". One that cannot be read, or written, raises ClassifierError."""
    name = path.name.lower() if writing else path.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    if suffix not in FORMATS:
        verb = "written" if writing else "read in chunks"
        raise ClassifierError(f"{path.name}: this format cannot be {verb}; use {', '.join(FORMATS)}")
    return suffix


def read_rows(path: Path, encoding: str) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield (names of the columns, cells) for each row of a file."""
    suffix = format_of(path)
    if not path.is_file():
        raise ClassifierError(f"{path} does not exist; check the path")
    if suffix == ".parquet":
        file = pyarrow.parquet.ParquetFile(path)
        names = file.schema_arrow.names
        for batch in file.iter_batches(batch_size=1000):
            for row in batch.to_pylist():
                yield names, [row[name] for name in names]
        return
    with open_text(path, encoding) as lines:
        try:
            if suffix == ".jsonl":
                yield from json_rows(path, lines)
            else:
                yield from csv_rows(path, lines, DELIMITERS[suffix])
        except UnicodeDecodeError as error:
            raise ClassifierError(f"{path.name} is not in {encoding}; pass its encoding") from error
        except (EOFError, gzip.BadGzipFile) as error:
            raise ClassifierError(f"{path.name} cannot be unpacked ({error}); copy it again") from error


def open_text(path: Path, encoding: str) -> IO[str]:
    """Open a text file, which may be compressed. A byte order mark is left out."""
    encoding = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    opened: Any = gzip.open if path.suffix.lower() == ".gz" else open
    return opened(path, "rt", encoding=encoding, newline="")


def csv_rows(path: Path, lines: Iterable[str], delimiter: str) -> Iterator[tuple[list[str], list[str]]]:
    """Yield the rows of a CSV file. Blank lines are left out; a row of another width raises ClassifierError."""
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(lines, delimiter=delimiter)
    names: list[str] = []
    for number, row in enumerate(reader, start=1):
        if not row:
            continue
        if not names:
            names = [name.strip() for name in row]
            continue
        if len(row) != len(names):
            raise ClassifierError(
                f"{path.name}, row {number}: the number of fields is {len(row)} instead of {len(names)}; put quotation "
                "marks around a text that contains the separator"
            )
        yield names, row


def json_rows(path: Path, lines: Iterable[str]) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield the rows of a JSON Lines file. The first object defines the columns."""
    names: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except ValueError as error:
            raise ClassifierError(f"{path.name}, line {number}: {error}; write an object") from error
        if not isinstance(item, dict):
            raise ClassifierError(f"{path.name}, line {number}: not an object")
        names = names or list(item)
        if more := [name for name in item if name not in names]:
            raise ClassifierError(f"{path.name}, line {number}: {more[0]!r} is not in the first line; add it there")
        yield names, [item.get(name) for name in names]


def read_chunks(path: Path, encoding: str, size: int, skip: int, together: str | None) -> Iterator[Chunk]:
    """Yield the rows of a file in chunks of about `size` rows.

    Args:
        path, encoding: the file.
        size: the rows of a chunk.
        skip: leave out so many rows at the start.
        together: a column; a chunk ends only where its cell changes. A cell that comes again later raises
            ClassifierError, because its rows would be classified apart.
    """
    rows: list[list[Any]] = []
    names: list[str] = []
    seen: set[int] = set()
    position, current = None, None
    for names, row in itertools.islice(read_rows(path, encoding), skip, None):
        if together is not None:
            position = position if position is not None else names.index(together)
            if rows and row[position] != current and len(rows) >= size:
                yield Chunk(names, rows)
                rows = []
            if row[position] != current:
                current = row[position]
                if hash(current) in seen:
                    raise ClassifierError(
                        f"{path.name}: the rows of {together} {current!r} are not together; sort the file"
                    )
                seen.add(hash(current))
        elif len(rows) == size:
            yield Chunk(names, rows)
            rows = []
        rows.append(row)
    if rows:
        yield Chunk(names, rows)


def write_part(chunk: Chunk, part: Path, suffix: str) -> None:
    """Write a chunk as a file, as a whole: a part that is there is complete."""
    temporary = part.with_name(f"{part.name}.new")
    if suffix == ".parquet":
        columns = {name: [row[i] for row in chunk.rows] for i, name in enumerate(chunk.names)}
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


def join_parts(parts: Sequence[Path], names: list[str], output: Path, suffix: str) -> None:
    """Join the parts to one file, as a whole."""
    temporary = output.with_name(f".{output.name}.new")
    if suffix == ".parquet":
        tables = [pyarrow.parquet.read_schema(part) for part in parts]
        schema = pyarrow.unify_schemas(tables, promote_options="permissive")
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
