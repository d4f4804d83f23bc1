"""Load files of texts and labels that need not fit into memory: row by row, into files that are read where needed."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from .addresses import local_path
from .arguments import check_arguments, names_of
from .building import classes_of
from .columns import Columns, choose
from .errors import CorpusError, suffix_of
from .files import split_files, unread_files
from .folders import parallel_files, split_folders
from .in_parts import STREAMED, parts_of
from .labels import Labels
from .large_passes import TEXTS, Choice, check, write_splits
from .loading import OWN, PLAIN, is_in_meld_format
from .readers import COPY, Format
from .splitting import Splitting
from .tables import files_of_dict
from .validation import MAX_CHARS

LARGE = 2**25  # bytes of the files of a corpus; with fewer, nothing is gained


class SeveralLabels(CorpusError):
    """A text can have several labels, which `load_large` does not read."""


def is_large(path: Any, options: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Return whether `load_large` should read a corpus: files of its formats that have many bytes together.

    Args:
        path: as for `load_table`; names of other corpora are not large. A file with an address is copied.
        options: what the corpus is to be loaded with. `load_large` has no option for dialogues, for several labels per
            text, or for a database.
    """
    known = set(signature(load_large).parameters) - {"path", "folder", "made_rows"}
    if not set(options) <= known or not isinstance(options.get("label"), str | None) or path in (*OWN, "meld"):
        return False
    try:
        files = files_of(path)
    except CorpusError:  # whatever is wrong with it, the reader of small files says it
        return False
    if not all(os.path.isfile(file) and suffix_of(file.name) in STREAMED for file in files.values()):
        return False
    if not PLAIN & set(options) and is_in_meld_format(files["train"]):
        return False
    # gzip makes text about three times smaller
    return sum(file.stat().st_size * (3 if file.suffix == ".gz" else 1) for file in files.values()) >= LARGE


def load_large(
    path: str | Path | Mapping[str, str | Path],
    folder: str | Path,
    text: Columns | None = None,
    label: str | None = None,
    labels: Labels | None = None,
    *,
    dev_share: float = 0.0,
    test_share: float = 0.0,
    made_rows: Mapping[str, int] = MappingProxyType({}),
    group: str | None = None,
    seed: int = 0,
    on_fault: str = "raise",
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
    quotes: bool = True,
    encoding: str = "utf-8",
    max_chars: int = MAX_CHARS,
) -> DatasetDict:
    """Load texts with one label each as `load_table` does, but with only some rows in memory at a time.

    The splits are Arrow files in a folder, from which `datasets` reads what is asked for; so use
    `data["train"]["text"]` as it is, and not `[:]` of it. Memory grows by 20 bytes for each row, for its number and its
    label.

    Args:
        path, text, labels, on_fault, columns, delimiter, quotes, encoding, max_chars: as for `load_table`. The files
            are .csv, .tsv, .txt, .jsonl or .parquet, also with .gz.
        folder: where the Arrow files are written. They must stay there as long as the data is used.
        label: the column with the labels.
        dev_share, test_share, group, seed: as for `load_table`. The hash of its text, or of its group, decides into
            which split a row gets. So the shares are only approximately met, above all for rare classes.
        made_rows: split -> at most about this many rows, if the split is made.

    Raises CorpusError if something is wrong with a file, and its subclass SeveralLabels if a text can have several
    labels.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "reviews.csv")
    ...     _ = path.write_text('text,label\\nfine,pos\\n"bad, really",neg\\n')
    ...     load_large(path, folder)["train"][1]
    {'text': 'bad, really', 'label': 0}
    """
    check_arguments(
        text=text, label=label, dev_share=dev_share, test_share=test_share, group=group, seed=seed, on_fault=on_fault,
        delimiter=delimiter, quotes=quotes, encoding=encoding, max_chars=max_chars,
    )  # fmt: skip
    form = Format(None if columns is None else names_of("columns", columns), delimiter, quotes, encoding, on_fault)
    files, place = files_of(path), Path(folder)
    wanted = {"dev": dev_share, "test": test_share}
    shares = {split: share for split, share in wanted.items() if share and split not in files}
    if sum(shares.values()) >= 1:
        raise CorpusError(f"dev_share={dev_share} and test_share={test_share} leave no rows for train; pass less")
    with writable(place):
        train_parts = parts_of(files["train"], form)
        first = next(train_parts, None)
        if first is None:
            raise CorpusError(f"{files['train'].name} has no rows; {COPY}")
        texts, chosen = choose(first, text, label)
        if not isinstance(chosen, str) or any(isinstance(x, list | tuple) for x in first.columns.get(chosen, ())):
            raise SeveralLabels("load_large reads one label per text; use load_table")
        choice = Choice(texts, chosen, max_chars, on_fault, Splitting(dev_share, test_share, group, seed))
        checked = {}
        for number, (split, file) in enumerate(files.items()):
            parts = itertools.chain([first], train_parts) if split == "train" else parts_of(file, form)
            checked[split] = check(parts, choice, place / f"{number}.checked", file.name)
        train = checked["train"].table
        train.guessed.update(first.guessed)
        if not isinstance(path, Mapping) and os.path.isdir(path):
            train.notes.extend(unread_files(Path(path), files))
        require_header(train.file, chosen, checked["train"].labels, columns)
        names, ids = classes_of(train, chosen, labels, checked["train"].labels, several=False)
        types = {name: Value("string") for name, _ in zip(TEXTS, texts, strict=False)}
        features = Features({**types, "label": ClassLabel(names=names)})
        limits = {split: made_rows.get(split, len(train.rows)) / len(train.rows) for split in shares}
        shares = {split: min(share, limits[split]) for split, share in shares.items()}
        data = dict[str, Dataset]()
        for split, part in checked.items():
            data |= write_splits(part, split, shares if split == "train" else {}, choice, ids, features)
            part.path.unlink()
    return DatasetDict(
        {split: data[split] for split in dict.fromkeys(("train", "dev", "test", *data)) if split in data}
    )


def require_header(file: str, label: str, found: Sequence[str], columns: Sequence[str] | None) -> None:
    """Raise CorpusError if the first row of a file was taken for a header, but its label occurs among the others.

    Whether there is a header is decided by the first rows alone, and they can all have the same label.
    """
    if columns is None and label in found and suffix_of(file) in (".csv", ".tsv", ".txt"):
        fault = f"the column {label!r:.60} is also a label, so the first row is probably no header"
        raise CorpusError(f"{file}: {fault}; pass columns= with the names of the columns")


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Make a folder, and turn the errors of writing into it, in a `with` block, into a CorpusError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        fault = f"{folder} cannot be written: {error.strerror or str(error).splitlines()[0]}"
        raise CorpusError(f"{fault}; it needs about three times the size of the files") from error


def files_of(path: str | Path | Mapping[str, str | Path]) -> dict[str, Path]:
    """Return a dict from split to file, among them that of train. Another layout than files raises CorpusError."""
    if not isinstance(path, Mapping):
        place = local_path(path)
        if not os.path.isdir(place):
            return {"train": place}
        if split_folders(place) or parallel_files(place):
            raise CorpusError(f"{place} has its texts in folders or beside their labels; use load_table")
        return split_files(place)
    files = files_of_dict(path)
    if "train" not in files:
        raise CorpusError(f"there is no train split, only {', '.join(files)}; name one split train")
    return files
