"""From a path to the files of its splits, and from a file to its bytes."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from .errors import CorpusError, missing, suffix_of

# The names of the splits in files and on the Hub, and ours
SPLITS = {"train": "train", "dev": "dev", "validation": "dev", "valid": "dev", "val": "dev", "test": "test"}
FORMATS = (".csv", ".tsv", ".txt", ".jsonl", ".json", ".parquet", ".xlsx")
SUFFIX = rf"({'|'.join(FORMATS)})".replace(".", r"\.")
SPLIT_FILE = re.compile(rf"({'|'.join(SPLITS)})(_sent_emo)?{SUFFIX}(\.gz)?", re.IGNORECASE)
# What looks like a split, but has another name or is compressed in another way
SIMILAR_FILE = re.compile(
    rf"(train(ing)?|dev|val(id(ation)?)?|test(ing)?|eval(uation)?)([^a-z].*)?{SUFFIX}(\.\w+)?", re.IGNORECASE
)
COMPRESSED = (".gz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".rar", ".tar", ".tgz")  # only the first one is read
FIRST_BYTES = {  # of files that got the wrong suffix
    b"\x1f\x8b": "a gzip file",
    b"PK\x03\x04": "a zip archive or an Excel file",
    b"\xfd7zXZ\0": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Excel file",
    b"PAR1": "a parquet file",
}
READ = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"

Part = TypeVar("Part")


def cache_folder() -> Path:
    """Return the folder for what is kept between calls: $NBHELPERS_CACHE, or ~/.cache/nbhelpers."""
    return Path(os.environ.get("NBHELPERS_CACHE") or "~/.cache/nbhelpers").expanduser()


def split_files(folder: Path) -> dict[str, Path]:
    """Return a dict from split to file. A folder without a train file is an error."""
    if os.path.isfile(folder):
        raise CorpusError(f"{folder} is a file, but a folder is needed; pass the folder that contains it")
    if not os.path.isdir(folder):
        raise missing(folder)
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):  # sorted, so that a message is the same on all file systems
        unpacked = path.suffix == ".gz" and path.with_suffix("").is_file()  # then that one is read
        if not unpacked and (match := SPLIT_FILE.fullmatch(path.name)):
            other = files.setdefault(SPLITS[match[1].lower()], path)
            if other != path:
                raise CorpusError(f"{folder} has both {other.name} and {path.name} for one split; keep one of them")
    if "train" not in files:
        for path in sorted(folder.glob("[Tt]rain*")):
            if path.suffix.lower() in COMPRESSED[1:]:
                raise CorpusError(f"{folder} has {path.name}, which is compressed; unpack it, or use gzip")
        names = "train.csv (or .tsv, .txt, .jsonl, .json, .parquet, .xlsx), and no folder for each class"
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


def content_of(path: Path) -> bytes:
    """Return the bytes of a file, unpacked if it ends with ".gz".

    A folder, a file of another kind, and what cannot be read or unpacked raise CorpusError.
    """
    require_file(path)
    with readable(path):
        content = path.read_bytes()
        if path.suffix.lower() == ".gz":
            content = gzip.decompress(content)
    require_kind(path.name, content)
    return content


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn the errors of reading and unpacking a file, in a `with` block, into a CorpusError."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:  # BadGzipFile is an OSError, so it comes first
        raise CorpusError(f"{path.name} cannot be unpacked ({error}); copy it again") from error
    except OSError as error:
        raise CorpusError(f"{path} cannot be read: {error.strerror}; check its permissions") from error


def require_file(path: Path) -> None:
    """Raise CorpusError unless a path is a file with a suffix of `FORMATS`, perhaps followed by ".gz"."""
    file, suffix = path.name, path.suffix.lower()
    if os.path.isdir(path):
        raise CorpusError(f"{path} is a folder, but a file is needed; pass a {READ} file in it")
    if not os.path.isfile(path):
        raise missing(path)
    if suffix in COMPRESSED[1:]:
        raise CorpusError(f"{file} is compressed in a way that is not read; unpack it, or compress it with gzip")
    if suffix_of(file) not in FORMATS:
        raise CorpusError(f"{file}: suffix {suffix_of(file)!r} is not supported; save the table as {READ}")


def require_kind(file: str, content: bytes) -> None:
    """Raise CorpusError if the first bytes of a file belong to a format that its suffix does not name."""
    suffix = suffix_of(file)
    expected = {".xlsx": b"PK\x03\x04", ".parquet": b"PAR1"}.get(suffix)
    if expected is not None:
        if not content.startswith(expected):
            raise CorpusError(f"{file} is no {suffix} file; give it the suffix of its format, or save it again")
        return
    for start, kind in FIRST_BYTES.items():
        if content.startswith(start):
            advice = f"give it the suffix of its format, unpack it, or export the table as {suffix}"
            raise CorpusError(f"{file} is {kind}, not text; {advice}")
