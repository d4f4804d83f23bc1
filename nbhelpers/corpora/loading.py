"""From the name of a corpus to its data."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from .addresses import local_path
from .arguments import check_options
from .dialogues import load_dialogues, load_meld
from .errors import CorpusError, missing
from .files import COMPRESSED, FORMATS, SPLIT_FILE
from .hub import load_hub
from .tables import load_table

OWN = ("dialogues", "reviews", "intents", "topics", "finance", "languages")  # in DATA, written for this course
FILE_SUFFIXES = (*FORMATS, *COMPRESSED, ".xls")  # never those of a Hub name
DIALOGUE_OPTIONS = {"dialogue", "turn", "speaker", "sentiment"}  # those that only `load_dialogues` has
SPLIT_OPTIONS = {"dev_share", "test_share", "seed"}
PLAIN = {"text", "label", "labels", "columns"}  # with one of these, a file in MELD's format is read as a plain table


def data_folder(package: Path) -> Path:
    """Return the folder of the course's own corpora: in an installed package, or beside it in a checkout."""
    inside = package / "data"
    return inside if inside.is_dir() else package.parent / "data"


DATA = data_folder(Path(__file__).resolve().parents[1])


def load(name: str | Path | Mapping[str, str | Path], **options: Any) -> DatasetDict:
    """Load a corpus by name: one of `OWN`, "meld", a file or folder, an address, or a data set of the Hub.

    "dialogues", "meld", files in MELD's format, and all files for which you name the column of the `dialogue`, have the
    columns that `load_dialogues` describes. All other corpora have those that `load_table` describes. The options are
    those of `load_dialogues`, `load_table` or `load_hub`, for example text="review", label="stars", labels=["bad",
    "good"]. Instead of a name, a dict from the names of splits to files can be passed.

    Raises CorpusError if the corpus is not found, or if something is wrong with its data.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "reviews.csv")
    ...     _ = path.write_text('text,label\\nfine,pos\\n"bad, really",neg\\n')
    ...     load(path)["train"][1]
    {'text': 'bad, really', 'label': 0}
    """
    is_dialogue = bool(DIALOGUE_OPTIONS & set(options))
    load_files = load_dialogues if is_dialogue else load_table
    if isinstance(name, Mapping) or any(options.get(x) is not None for x in ("query", "table")):
        check_options(load_files, options)
        return load_files(name, **options)
    path = local_path(name, argument="name")
    if name in (*OWN, "meld"):
        if unfit := set(options) - SPLIT_OPTIONS:  # the others need no answer, because these corpora have all splits
            raise CorpusError(f"{name!r} has fixed columns and labels; leave out {', '.join(sorted(unfit))}")
        if name == "meld":
            return load_meld()
        if not (DATA / name).is_dir():
            reason = "this code was copied without the data of the course"
            raise CorpusError(f"there is no folder {DATA / name}, because {reason}; pass the path of your own data")
        return load_dialogues(DATA / name) if name == "dialogues" else load_table(DATA / name)
    if os.path.exists(path):  # False for a name that is too long, where Path.exists raises OSError
        if not PLAIN & set(options) and is_in_meld_format(path):  # which is recognized by a column name
            load_files = load_dialogues
        check_options(load_files, options)
        return load_files(path, **options)
    # A misspelled path must not become a question to the Hub, whose error would be misleading
    if (
        not isinstance(name, str)
        or path.suffix.lower() in FILE_SUFFIXES
        or not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name)
    ):
        raise missing(path)
    check_options(load_hub, options)
    return load_hub(name, **options)


def is_in_meld_format(path: Path) -> bool:
    """Return whether the header of a file, or of a folder's train file, has a column that only MELD's format has."""
    if os.path.isdir(path):
        trains = [file for file in path.iterdir() if SPLIT_FILE.fullmatch(file.name) and file.name.lower()[:2] == "tr"]
        return bool(trains) and is_in_meld_format(trains[0])
    if path.suffix.lower() not in (".csv", ".tsv"):
        return False
    with path.open("rb") as file:
        return b"Dialogue_ID" in file.readline()
