"""Load a table of texts and labels: one file, a file for each split, or a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets import DatasetDict

from .addresses import local_path
from .arguments import check_arguments, is_text, names_of, shown
from .building import classification_data
from .columns import Columns
from .databases import database_table
from .errors import CorpusError
from .files import SPLITS, by_split, split_files, unread_files
from .folders import parallel_files, read_class_folders, read_parallel, split_folders
from .labels import Labels
from .readers import Format, Table, read, read_tables
from .splitting import Splitting
from .validation import MAX_CHARS


def load_table(
    path: str | Path | Mapping[str, str | Path],
    text: Columns | None = None,
    label: Columns | None = None,
    labels: Labels | None = None,
    *,
    label_file: str | Path | None = None,
    label_separator: str | None = None,
    dev_share: float = 0.0,
    test_share: float = 0.0,
    group: str | None = None,
    seed: int = 0,
    on_fault: str = "raise",
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
    quotes: bool = True,
    encoding: str = "utf-8",
    query: str | None = None,
    table: str | None = None,
    max_chars: int = MAX_CHARS,
) -> DatasetDict:
    """Load texts and labels from files.

    Files can be CSV (.csv), separated by tabs (.tsv, .txt), JSON Lines (.jsonl), JSON (.json: a list of objects or of
    pairs, or an object with such a list for each split), parquet or Excel (.xlsx, which needs openpyxl), and all of
    them also compressed by gzip (.csv.gz). A folder has train, dev and test files, or a folder for each class with a
    .txt file for each text, or pairs of files such as train_text.txt and train_labels.txt. A file can also be given by
    its address, as `local_path` describes, and the rows can come from a database.

    The result has the columns text (string), text_pair (string, only of pairs) and label (ClassLabel, or a list of
    ClassLabel if a text can have several labels). The train split defines the classes. A single file becomes the train
    split.

    Args:
        path: a file, a folder, or a dict from the name of a split to its file; or the address of a database in
            SQLAlchemy's form, such as "sqlite:///shop.db".
        text: the column with the texts; two columns for pairs of texts, such as a question and an answer. By default it
            is guessed, if only one column can be it. What was guessed is in the notes of `describe`.
        label: the column with the labels, which are names, or ids from 0 on. For several labels per text: a column with
            lists, or a column with `label_separator`, or several columns that contain 1 or 0. By default it is guessed.
        labels: the names of the classes in the order of their ids; by default, the names in the file, sorted. A dict
            gives the class of each label in the file, such as {1: "bad", 2: "good"} for ids that start at 1, or
            {"Pos": "pos", "pos": "pos", "neg": "neg"} for labels that mean the same.
        label_file: a file whose line i is the label of line i of `path`.
        label_separator: what separates several labels in a cell, such as ",".
        dev_share, test_share: make the split from this share of the train split, from 0 to below 1, if there is none.
            Each class gives the same share. Rows with the same text stay together.
        group: a column, such as the author: rows with the same cell stay together when a split is made.
        seed: of the choice of the rows.
        on_fault: "raise" stops at the first faulty row; "drop" leaves faulty rows out. `describe` counts them by kind.
            More than 5 % of them are refused.
        columns: the names of the columns, for a file without a header row.
        delimiter: the character that separates the columns; by default a comma in .csv and a tab in .tsv and .txt, or
            another one that fits better.
        quotes: False if quotation marks are plain characters, as in most TSV files of shared tasks.
        encoding: the encoding of the files.
        query, table: of a database, the query that gives the rows, or the table or view that contains them. Without
            "order by", the rows are sorted, so that each call finds them in the same order.
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
        text=text,
        label=label,
        label_separator=label_separator,
        dev_share=dev_share,
        test_share=test_share,
        group=group,
        seed=seed,
        on_fault=on_fault,
        delimiter=delimiter,
        quotes=quotes,
        encoding=encoding,
        max_chars=max_chars,
    )
    names = None if columns is None else names_of("columns", columns)
    form = Format(names, delimiter, quotes, encoding, on_fault, query, table)
    if label_file is not None:
        labels_of_texts = local_path(label_file, argument="label_file")
        tables = {"train": read_parallel(local_path(path), labels_of_texts, form)}
    else:
        tables = read_splits(path, form, labels)
    return classification_data(
        tables,
        text,
        label,
        labels,
        label_separator=label_separator,
        max_chars=max_chars,
        on_fault=on_fault,
        splitting=Splitting(dev_share, test_share, group, seed),
    )


def read_splits(
    path: str | Path | Mapping[str, str | Path], form: Format, labels: Labels | None = None
) -> dict[str, Table]:
    """Return a dict from split to its table. The names of the classes choose among folders for each class."""
    if form.query is not None or form.table is not None:
        if isinstance(path, Mapping):
            raise CorpusError("query= and table= read one database; pass its address alone, and no other split")
        return {"train": database_table(path, form.query, form.table)}
    if isinstance(path, Mapping):  # for files whose names say nothing about the split
        return {split: read(file, form) for split, file in files_of_dict(path).items()}
    folder = local_path(path)
    if os.path.isdir(folder):
        return read_folder(folder, form, labels)
    tables = read_tables(folder, form)
    if len(tables) == 1:
        return {"train": next(iter(tables.values()))}
    others = [split for split in tables if split.lower() not in SPLITS]
    tables = by_split({split: table for split, table in tables.items() if split not in others}, folder.name)
    if "train" in tables and others:
        tables["train"].notes.append(f"not read, because they are no splits: {', '.join(others)}")
    return tables


def read_folder(folder: Path, form: Format, labels: Labels | None) -> dict[str, Table]:
    """Return a dict from split to its table, for one of the three layouts of a folder."""
    if folders := split_folders(folder):
        names = [] if labels is None else names_of("labels", list(labels))
        return {split: read_class_folders(path, form, names) for split, path in folders.items()}
    if pairs := parallel_files(folder):
        return {split: read_parallel(texts, labels_of_texts, form) for split, (texts, labels_of_texts) in pairs.items()}
    files = split_files(folder)
    tables = {split: read(file, form) for split, file in files.items()}
    tables["train"].notes.extend(unread_files(folder, files))
    return tables


def files_of_dict(path: Mapping[str, str | Path]) -> dict[str, Path]:
    """Return a dict from split to file, under our names of the splits."""
    advice = "pass a dict such as {'train': 'a.csv'}"
    if not path:
        raise CorpusError(f"the dict of files is empty; {advice}")
    for split in path:
        if not is_text(split):
            raise CorpusError(f"{shown(split)} is not the name of a split; {advice}")
    files = {split: local_path(file, argument=f"path[{split!r}]") for split, file in path.items()}
    return by_split(files, "the dict of files")
