"""Read the rows of a table of any size one by one, for texts that a trained model is to classify."""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow
import pyarrow.parquet

from .addresses import local_path
from .arguments import check_arguments, names_of
from .databases import database_rows
from .encodings import advice, decode, require_no_utf8
from .errors import CorpusError, place, suffix_of
from .files import content_of, readable, require_file, require_kind
from .parsing import DELIMITERS, csv_records, json_value, stream_csv
from .readers import COPY, Format, another_separator, read, take_header, wrong_width
from .spreadsheets import xlsx_records

SAMPLE = 2**20  # characters that tell what separates the columns
HEAD_ROWS = 1000  # that tell whether there is a header


class Stream(NamedTuple):
    """The names of the columns, the rows, which can be read once, and what `load` would note about the file."""

    names: list[str]
    rows: Iterator[Any]
    notes: list[str]


def stream(
    path: str | Path,
    *,
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
    quotes: bool = True,
    encoding: str = "utf-8",
    query: str | None = None,
    table: str | None = None,
) -> Stream:
    """Read a file, or the rows of a database, row by row. It needs no labels, and its cells are returned as they are.

    The formats, the options and the errors are those of `load_table`, and what separates the columns, or whether there
    is a header, is found in the same way. Of .csv, .tsv, .txt, .jsonl and .parquet files, only some rows are in memory
    at a time; the others are read as a whole.

    Raises CorpusError if something is wrong with the file: at once if it is in the first rows, else when it is reached.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "more.csv")
    ...     _ = path.write_text("id;text\\n1;Good, really\\n2;Bad\\n")
    ...     more = stream(path)
    ...     more.names, list(more.rows), more.notes
    (['id', 'text'], [['1', 'Good, really'], ['2', 'Bad']], ['a semicolon separates the columns, not a comma'])
    """
    check_arguments(delimiter=delimiter, quotes=quotes, encoding=encoding)
    names = None if columns is None else names_of("columns", columns)
    if query is not None or table is not None:
        return Stream(*database_rows(path, query, table), [])
    path = local_path(path)
    numbered = numbered_rows(path, Format(names, delimiter, quotes, encoding))
    return Stream(numbered.names, complete_rows(path.name, numbered), numbered.notes)


def numbered_rows(path: Path, form: Format) -> Stream:
    """Read a file row by row, each after its number in the file. Rows can have too few or too many cells."""
    require_file(path)
    suffix, notes = suffix_of(path.name), list[str]()
    if suffix == ".parquet":
        return Stream(*parquet_rows(path), notes)
    if suffix == ".json":
        whole = read(path, form)
        cells = map(list, zip(*whole.columns.values(), strict=True))
        return Stream(list(whole.columns), zip(whole.rows, cells, strict=True), whole.notes)
    if suffix == ".xlsx":
        records, notes = xlsx_records(path.name, content_of(path))
        return Stream(*table_rows(path.name, records, form, notes), notes)
    head = head_of(path, form)
    if suffix == ".jsonl":
        return Stream(*json_rows(path, form), notes)
    separator = separator_of(path.name, head, form, notes)
    records_read = stream_csv(path.name, lines_of(path, form), form.quotes, delimiter=separator)
    return Stream(*table_rows(path.name, records_read, form, notes), notes)


def complete_rows(file: str, numbered: Stream) -> Iterator[list[Any]]:
    """Yield the cells of each row. A row with too few or too many of them raises CorpusError."""
    for row, cells in numbered.rows:
        if len(cells) != len(numbered.names):
            raise CorpusError(wrong_width(file, row, cells, len(numbered.names)))
        yield cells


def parquet_rows(path: Path) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    """Return the names of the columns of a parquet file, and its numbered rows."""
    file = open_parquet(path)

    def rows() -> Iterator[list[Any]]:
        with readable_parquet(path):
            for batch in file.iter_batches(batch_size=HEAD_ROWS):
                yield from (list(row.values()) for row in batch.to_pylist())

    return file.schema_arrow.names, enumerate(rows(), start=1)


def open_parquet(path: Path) -> pyarrow.parquet.ParquetFile:
    """Open a parquet file. One that is damaged raises CorpusError."""
    require_file(path)
    with readable_parquet(path):
        return pyarrow.parquet.ParquetFile(io.BytesIO(content_of(path)) if path.suffix.lower() == ".gz" else path)


@contextmanager
def readable_parquet(path: Path) -> Iterator[None]:
    """Turn the errors of reading a parquet file, in a `with` block, into a CorpusError."""
    try:
        yield
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{path.name} cannot be read ({str(error).splitlines()[0]}); copy it again") from error


def json_rows(path: Path, form: Format) -> tuple[list[str], Iterator[tuple[int, list[Any]]]]:
    """Return the names of the columns of a JSON Lines file, which are those of its first object, and its rows."""
    objects = json_objects(path, form)
    first = next(objects)
    names = list(first[1])

    def rows() -> Iterator[tuple[int, list[Any]]]:
        for number, item in itertools.chain([first], objects):
            if more := [name for name in item if name not in first[1]]:
                raise CorpusError(f"{place(path.name, number)}: {more[0]!r} is not in the first line; add it there")
            yield number, [item.get(name) for name in names]

    return names, rows()


def json_objects(path: Path, form: Format) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the objects of a JSON Lines file, each after the number of its line."""
    for number, line in enumerate(lines_of(path, form), start=1):
        if line.strip():
            yield number, json_object(place(path.name, number), line)


def json_object(where: str, line: str) -> dict[str, Any]:
    """Return the object in a line."""
    item = json_value(where, line, "write an object")
    if not isinstance(item, dict):
        raise CorpusError(f'{where}: not an object; write an object such as {{"text": "..."}}')
    return item


def table_rows(
    file: str, records: Iterable[list[str]], form: Format, notes: list[str]
) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """Return the names of the columns, and the numbered rows. Blank lines are left out."""
    numbered = ((row, record) for row, record in enumerate(records, start=1) if record)
    first = list(itertools.islice(numbered, HEAD_ROWS))
    names = take_header(file, first, form, notes)
    return names, itertools.chain(first, numbered)


def separator_of(file: str, head: str, form: Format, notes: list[str]) -> str:
    """Return what separates the columns of a file that begins with `head`: as for `load`, but one column is enough."""
    used = form.delimiter or DELIMITERS[suffix_of(file)]
    records = [record for record in csv_records(file, head, form.quotes, strict=False, delimiter=used) if record]
    widths = set(map(len, records[:-1] or records))  # the last one may be cut
    fits = len(widths) == 1 and widths != {1}
    return used if fits else another_separator(file, head, form, used, notes) or used


def head_of(path: Path, form: Format) -> str:
    """Return the beginning of a text file. One that is empty, or not text in the encoding, raises CorpusError."""
    with readable(path), open_bytes(path) as file:
        content = file.read(SAMPLE)
    require_kind(path.name, content)
    try:
        text = codecs.getincrementaldecoder(form.encoding)().decode(content, final=len(content) < SAMPLE)
    except (UnicodeDecodeError, LookupError):
        text = "\0"
    if "\0" in text:
        return decode(path.name, content, form.encoding, form.quotes)  # raises the error with its row
    require_no_utf8(path.name, content, form.encoding)
    if not text.strip("\ufeff \r\n"):
        raise CorpusError(f"{path.name} is empty; {COPY}")
    return text.removeprefix("\ufeff")


def lines_of(path: Path, form: Format) -> Iterator[str]:
    """Yield the lines of a text file, without its byte order mark."""
    encoding = "utf-8-sig" if codecs.lookup(form.encoding).name == "utf-8" else form.encoding
    with readable(path), open_bytes(path) as file, io.TextIOWrapper(file, encoding, newline="") as lines:
        try:
            yield from lines
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(encoding, "ignore").rpartition("\n")[2][-40:]
            fault = f"byte 0x{error.object[error.start]:02x} after {before!r} cannot be read as {form.encoding}"
            raise CorpusError(f"{path.name}: {fault}; {advice(error.object, form.encoding)}") from error


def open_bytes(path: Path) -> IO[bytes]:
    """Open a file, which may be compressed."""
    opener: Any = gzip.open if path.suffix.lower() == ".gz" else open
    opened: IO[bytes] = opener(path, "rb")
    return opened
