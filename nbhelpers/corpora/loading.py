"""From the name of a corpus to its data."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from .arguments import check_options, path_of
from .dialogues import load_dialogues, load_meld
from .errors import CorpusError, missing
from .hub import load_hub
from .parsing import DELIMITERS
from .readers import COMPRESSED, split_files
from .tables import load_table

OWN = ("dialogues", "reviews")  # in DATA, written for this course
FILE_SUFFIXES = (*DELIMITERS, *COMPRESSED, ".txt", ".json", ".xls", ".xlsx", ".parquet")  # never those of a Hub name


def data_folder(package: Path) -> Path:
    """Return the folder of the course's own corpora: in an installed package, or beside it in a checkout."""
    inside = package / "data"
    return inside if inside.is_dir() else package.parent / "data"


DATA = data_folder(Path(__file__).resolve().parents[1])


def load(name: str | Path | Mapping[str, str | Path], **options: Any) -> DatasetDict:
    """Load a corpus by name: "dialogues", "reviews", "meld", a local file or folder, or a data set of the Hub.

    "dialogues", "meld" and folders in MELD's format have the columns that `load_dialogues` describes. All other corpora
    have the columns `text` (string) and `label` (ClassLabel). The options are those of `load_dialogues`, `load_table`
    or `load_hub`, for example text_column="review", label_column="stars", labels=["bad", "good"].
    A dict from the names of splits to files is passed on to `load_table`.

    Raises CorpusError if the corpus is not found, or if something is wrong with its data.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "reviews.csv")
    ...     _ = path.write_text('text,label\\nfine,pos\\n"bad, really",neg\\n')
    ...     load(path)["train"][1]
    {'text': 'bad, really', 'label': 0}
    """
    if isinstance(name, Mapping):
        check_options(load_table, options)
        return load_table(name, **options)
    path = Path(path_of("name", name))
    if name in (*OWN, "meld"):
        if options:
            raise CorpusError(f"{name!r} has fixed columns and labels; leave out {', '.join(options)}")
        if name == "meld":
            return load_meld()
        if not (DATA / name).is_dir():
            reason = "this code was copied without the data of the course"
            raise CorpusError(f"there is no folder {DATA / name}, because {reason}; pass the path of your own data")
        return load_dialogues(DATA / name) if name == "dialogues" else load_table(DATA / name)
    # MELD's format is recognized by a column name, unless the options say that it is to be read as a plain table
    if os.path.isdir(path) and not {"text_column", "label_column", "labels"} & set(options):
        with split_files(path)["train"].open("rb") as file:
            if b"Dialogue_ID" in file.readline():
                check_options(load_dialogues, options)
                return load_dialogues(path, **options)
    if os.path.exists(path):  # False for a name that is too long, where Path.exists raises OSError
        check_options(load_table, options)
        return load_table(path, **options)
    # A misspelled path must not become a question to the Hub, whose error would be misleading
    if (
        not isinstance(name, str)
        or path.suffix.lower() in FILE_SUFFIXES
        or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name)
    ):
        raise missing(path)
    check_options(load_hub, options)
    return load_hub(name, **options)
