"""From a path to a table: find the files of the splits, and read one file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from .encodings import decode
from .errors import CorpusError, missing, place, require_distinct
from .meld import compare_with_official
from .parsing import DELIMITERS, SEPARATORS, csv_records, json_lines, probable_delimiter

# The names of the splits in files and on the Hub, and ours
SPLITS = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}
SPLIT_FILE = re.compile(rf"({'|'.join(SPLITS)})(_sent_emo)?\.(csv|tsv|jsonl)", re.IGNORECASE)
# What looks like a split, but has another name or is compressed
SIMILAR_FILE = re.compile(
    r"(train(ing)?|dev|val(id(ation)?)?|test(ing)?|eval(uation)?)([^a-z].*)?\.(csv|tsv|jsonl)(\.\w+)?", re.IGNORECASE
)

COMPRESSED = (".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz")
FIRST_BYTES = {  # of files that got the wrong suffix
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip archive or an Excel file",
    b"\xfd7zXZ\0": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Excel file",
}

Part = TypeVar("Part")


class Table(NamedTuple):
    """The content of one file, before its cells are checked."""

    file: str
    rows: Sequence[int]  # the row number of each record
    columns: dict[str, list[Any]]
    notes: list[str]


def split_files(folder: Path) -> dict[str, Path]:
    """Return a dict from split to file. A folder without a train file is an error."""
    if os.path.isfile(folder):
        raise CorpusError(f"{folder} is a file, but a folder is needed; pass the folder that contains it")
    if not os.path.isdir(folder):
        raise missing(folder)
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):  # sorted, so that a message is the same on all file systems
        if match := SPLIT_FILE.fullmatch(path.name):
            other = files.setdefault(SPLITS[match[1].lower()], path)
            if other != path:
                raise CorpusError(f"{folder} has both {other.name} and {path.name} for one split; keep one of them")
    if "train" not in files:
        for path in sorted(folder.glob("[Tt]rain*")):
            if path.suffix.lower() in COMPRESSED:
                raise CorpusError(f"{folder} has {path.name}, which is compressed; unpack it")
        names = "train.csv, train.tsv, train.jsonl or train_sent_emo.csv"
        raise CorpusError(f"{folder} has no {names}; give one file such a name")
    return {split: files[split] for split in ("train", "dev", "test") if split in files}


def unread_files(folder: Path, files: Mapping[str, Path]) -> list[str]:
    """Return a note for each file of a folder that looks like a split but is not read, such as "test_hard.csv".

    Compressed files are not named if the same file is there without compression.
    """
    read_names = {path.name for path in files.values()}
    names = sorted(path.name for path in folder.iterdir() if SIMILAR_FILE.fullmatch(path.name))
    left_out = [name for name in names if not {name, Path(name).stem} & read_names]
    return [f"{name} is not read" for name in left_out]


def by_split(parts: Mapping[str, Part], where: str, advice: str = "keep one of them") -> dict[str, Part]:
    """Return the parts under our names of the splits. Two parts for one split are an error, so that none is dropped.

    >>> by_split({"train": 9989, "validation": 1109}, "the dict")
    {'train': 9989, 'dev': 1109}
    """
    names: dict[str, str] = {}
    for name in parts:
        split = SPLITS.get(name.lower(), name)
        other = names.setdefault(split, name)
        if other != name:
            raise CorpusError(f"{where} has both {other} and {name} for one split; {advice}")
    return {split: parts[name] for split, name in names.items()}


def read(
    path: Path,
    encoding: str,
    quotes: bool = True,
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
) -> Table:
    """Read one file. If it has no header, `columns` are the names of its columns."""
    file, content = path.name, content_of(path)
    text, notes = decode(file, content, encoding, quotes), compare_with_official(file, content)
    if text.startswith("\ufeff"):  # it would become an invisible part of the first column's name
        text = text[1:]
        notes.append("byte order mark removed")
    if not text.strip():
        raise CorpusError(f"{file} is empty; check that it was saved and copied completely")
    if path.suffix.lower() == ".jsonl":
        return Table(file, *json_lines(file, text), notes)
    used = delimiter or DELIMITERS[path.suffix.lower()]
    try:
        return table_from_records(file, csv_records(file, text, quotes, delimiter=used), columns, notes)
    except CorpusError as error:
        # With another separator, the error is about fields or quotation marks, and its advice would not help
        fitting = probable_delimiter(file, text, quotes, used, len(columns) if columns else None)
        if fitting is None:
            raise
        fault = f"{SEPARATORS[fitting]} separates the columns, not {SEPARATORS.get(used, repr(used))}"
        raise CorpusError(f"{file}: {fault}; pass delimiter={fitting!r}") from error


def content_of(path: Path) -> bytes:
    """Return the bytes of a file. A folder, a compressed file and a file of another kind raise CorpusError."""
    file, suffix = path.name, path.suffix.lower()
    if os.path.isdir(path):
        raise CorpusError(f"{path} is a folder, but a file is needed; pass a .csv, .tsv or .jsonl file in it")
    if not os.path.isfile(path):
        raise missing(path)
    if suffix in COMPRESSED:
        raise CorpusError(f"{file} is compressed; unpack it and pass the .csv, .tsv or .jsonl file in it")
    if suffix not in DELIMITERS:
        hint = " (if tabs separate the columns, rename it to .tsv)" if suffix == ".txt" else ""
        raise CorpusError(f"{file}: suffix {suffix!r} is not supported{hint}; save the table as .csv, .tsv or .jsonl")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    for start, kind in FIRST_BYTES.items():
        if content.startswith(start):
            raise CorpusError(f"{file} is {kind}, not text; unpack it or export the table as {suffix}")
    return content


def table_from_records(file: str, records: list[list[str]], columns: Sequence[str] | None, notes: list[str]) -> Table:
    """Turn records into columns; each must have as many fields as the header."""
    numbered = [(row, record) for row, record in enumerate(records, start=1) if record]
    header = list(columns) if columns else [name.strip() for name in numbered.pop(0)[1]]
    if len(header) < 2:
        advice = "a table needs texts and labels, so check what separates its columns"
        raise CorpusError(f"{file} has only the column {header[0]!r:.60}; {advice}")
    require_distinct(header, f"{file}, header")
    require_no_header(file, numbered, header, bool(columns))
    if not numbered:
        raise CorpusError(f"{file} has a header but no rows; check that it was saved and copied completely")
    for row, record in numbered:
        if len(record) != len(header):
            fault = f"the number of fields is {len(record)} instead of {len(header)}"
            advice = "put quotation marks around a text that contains the separator"
            raise CorpusError(f"{place(file, row)}: {fault}; {advice}")
    # Blank rows are skipped, but they keep their row numbers, so that a message points to the right row
    rows, kept = zip(*numbered, strict=True)
    if blank := rows[-1] - len(rows) - (0 if columns else 1):
        notes.append(f"{blank} blank rows skipped")
    return Table(file, rows, dict(zip(header, map(list, zip(*kept, strict=True)), strict=True)), notes)


def require_no_header(file: str, numbered: Sequence[tuple[int, list[str]]], header: list[str], given: bool) -> None:
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
