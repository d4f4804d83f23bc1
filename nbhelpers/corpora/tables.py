"""Load a table of texts and labels: one file, a file for each split, or a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets import DatasetDict

from .arguments import check_arguments, is_text, names_of, path_of, shown
from .building import classification_data
from .errors import CorpusError
from .labels import Labels
from .readers import by_split, read, split_files, unread_files
from .validation import MAX_CHARS, require_columns


def load_table(
    path: str | Path | Mapping[str, str | Path],
    text_column: str = "text",
    label_column: str = "label",
    labels: Labels | None = None,
    *,
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
    quotes: bool = True,
    encoding: str = "utf-8",
    max_chars: int = MAX_CHARS,
) -> DatasetDict:
    """Load texts and labels from CSV, TSV or JSON Lines files.

    The result has the columns text (string) and label (ClassLabel). The train split defines the classes. A single file
    becomes the train split; `data["train"].train_test_split(0.2, seed=0, stratify_by_column="label")` splits it.

    Args:
        path: a file, a folder with train, dev and test files, or a dict from the name of a split to its file.
        text_column: the column with the texts.
        label_column: the column with the labels, which are names, or ids from 0 on.
        labels: the names of the classes in the order of their ids; by default, the names in the file, sorted. A dict
            gives the class of each label in the file, such as {1: "bad", 2: "good"} for ids that start at 1, or
            {"Pos": "pos", "pos": "pos", "neg": "neg"} for labels that mean the same.
        columns: the names of the columns, for a CSV or TSV file without a header row.
        delimiter: the character that separates the columns; by default a comma in .csv and a tab in .tsv.
        quotes: False if quotation marks are plain characters, as in most TSV files of shared tasks.
        encoding: the encoding of the files.
        max_chars: the longest text that is accepted.

    Raises CorpusError if something is wrong with a file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "phrases.tsv")
    ...     _ = path.write_text('1\\tfine\\n0\\t"bad" is no word for it\\n')
    ...     data = load_table(path, labels=["neg", "pos"], columns=["label", "text"], quotes=False)
    >>> data["train"][1], data["train"].features["label"].names
    ({'text': '"bad" is no word for it', 'label': 0}, ['neg', 'pos'])
    """
    check_arguments(
        text_column=text_column,
        label_column=label_column,
        delimiter=delimiter,
        quotes=quotes,
        encoding=encoding,
        max_chars=max_chars,
    )
    names = None if columns is None else names_of("columns", columns)
    files, notes = files_of_splits(path)
    tables = {split: read(file, encoding, quotes, names, delimiter) for split, file in files.items()}
    for table in tables.values():
        require_columns(
            table, (text_column, label_column), "pass text_column= and label_column=, or columns= if there is no header"
        )
    if "train" in tables:
        tables["train"].notes.extend(notes)
    return classification_data(tables, text_column, label_column, labels, max_chars)


def files_of_splits(path: str | Path | Mapping[str, str | Path]) -> tuple[dict[str, Path], list[str]]:
    """Return a dict from split to file, and notes about files that are not read."""
    if isinstance(path, Mapping):  # for files whose names say nothing about the split
        advice = "pass a dict such as {'train': 'a.csv'}"
        if not path:
            raise CorpusError(f"the dict of files is empty; {advice}")
        for split in path:
            if not is_text(split):
                raise CorpusError(f"{shown(split)} is not the name of a split; {advice}")
        files = {split: Path(path_of(f"path[{split!r}]", file)) for split, file in path.items()}
        return by_split(files, "the dict of files"), []
    folder = Path(path_of("path", path))
    if not os.path.isdir(folder):
        return {"train": folder}, []
    files = split_files(folder)
    return files, unread_files(folder, files)
