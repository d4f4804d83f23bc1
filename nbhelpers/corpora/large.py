"""Load files of texts and labels that need not fit into memory: row by row, into files that are read where needed."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from inspect import signature
from pathlib import Path
from types import MappingProxyType
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from .addresses import local_path
from .arguments import check_arguments, is_address, names_of
from .building import classes_of
from .columns import Columns, choose
from .errors import CorpusError, suffix_of
from .files import split_files, unread_files
from .folders import parallel_files, split_folders
from .labels import Labels
from .large_parts import TEXTS, Choice, check, parts_of, write_splits
from .loading import OWN, PLAIN, is_in_meld_format
from .readers import Format
from .splitting import Splitting
from .tables import files_of_dict
from .validation import MAX_CHARS

LARGE = 2**25  # bytes of the files of a corpus; with fewer, nothing is gained
STREAMED = (".csv", ".tsv", ".txt", ".jsonl", ".parquet")


class SeveralLabels(CorpusError):
    """The rows have lists of labels, which `load_large` does not read."""


def is_large(path: Any, options: Mapping[str, Any] = MappingProxyType({})) -> bool:
    """Return whether `load_large` should read a corpus: local files of its formats that have many bytes together.

    Args:
        path: as for `load_table`; names of other corpora are not large. A file with an address is
            copied.
        options: what the corpus is to be loaded with. Some of `load_table` and `load_dialogues` are not possible.
    """
    if not set(options) <= set(signature(load_large).parameters) or not isinstance(options.get("label"), str | None):
        return False
    if path in (*OWN, "meld"):
        return False
    if isinstance(path, Mapping):
        files = [local_path(file) for file in path.values() if isinstance(file, str | Path)]
    elif not isinstance(path, str | Path) or not (is_address(path) or os.path.exists(path)):
        return False
    elif os.path.isdir(folder := local_path(path)):
        other_layout = split_folders(folder) or parallel_files(folder)
        files = [] if other_layout else [file for file in folder.iterdir() if suffix_of(file.name) in STREAMED]
    else:
        files = [folder]
    if not isinstance(path, Mapping) and not PLAIN & set(options) and is_in_meld_format(folder):
        return False
    if not all(os.path.isfile(file) and suffix_of(file.name) in STREAMED for file in files):
        return False
    # gzip makes text about three times smaller
    return sum(file.stat().st_size * (3 if file.suffix == ".gz" else 1) for file in files) >= LARGE


def load_large(
    path: str | Path | Mapping[str, str | Path],
    folder: str | Path,
    text: Columns | None = None,
    label: str | None = None,
    labels: Labels | None = None,
    *,
    dev_share: float = 0.0,
    test_share: float = 0.0,
    max_made_rows: int | None = None,
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
        dev_share, test_share, group, seed: as for `load_table`. A row gets into a split by the hash of its text or
            group, so the shares are met about, and those of rare classes less closely.
        max_made_rows: a split that is made gets about so many rows at most.

    Raises CorpusError if something is wrong with a file, and its subclass SeveralLabels if the rows have lists of
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
    files, place_of_splits = files_of(path), Path(folder)
    place_of_splits.mkdir(parents=True, exist_ok=True)
    train_parts = parts_of(files["train"], form)
    first = next(train_parts)
    texts, chosen = choose(first, text, label)
    if not isinstance(chosen, str) or any(isinstance(x, list | tuple) for x in first.columns.get(chosen, ())):
        raise SeveralLabels("a text has a list of labels; such a corpus is only read as a whole")
    choice = Choice(texts, chosen, max_chars, on_fault, Splitting(dev_share, test_share, group, seed))
    checked = {}
    for split, file in files.items():
        parts = itertools.chain([first], train_parts) if split == "train" else parts_of(file, form)
        checked[split] = check(parts, choice, place_of_splits / f"{split}.checked")
    train = checked["train"].table
    train.guessed.update(first.guessed)
    if not isinstance(path, Mapping) and os.path.isdir(path):
        train.notes.extend(unread_files(Path(path), files))
    names, ids = classes_of(train, chosen, labels, checked["train"].labels, several=False)
    types = {name: Value("string") for name, _ in zip(TEXTS, texts, strict=False)}
    features = Features({**types, "label": ClassLabel(names=names)})
    wanted = (("dev", dev_share), ("test", test_share))
    shares = {split: share for split, share in wanted if share and split not in files}
    if max_made_rows:
        shares = {split: min(share, max_made_rows / len(train.rows)) for split, share in shares.items()}
    data = dict[str, Dataset]()
    for split, part in checked.items():
        data |= write_splits(part, split, shares if split == "train" else {}, choice, ids, features)
        part.path.unlink()
    return DatasetDict(
        {split: data[split] for split in dict.fromkeys(("train", "dev", "test", *data)) if split in data}
    )


def files_of(path: str | Path | Mapping[str, str | Path]) -> dict[str, Path]:
    """Return a dict from split to file, among them that of train."""
    if not isinstance(path, Mapping):
        place = local_path(path)
        return split_files(place) if os.path.isdir(place) else {"train": place}
    files = files_of_dict(path)
    if "train" not in files:
        raise CorpusError(f"there is no train split, only {', '.join(files)}; name one split train")
    return files
