"""Load dialogues: the turns of train, dev and test files in MELD's format, and MELD itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from datasets import DatasetDict

from .arguments import check_arguments, path_of
from .building import to_dataset
from .errors import TWO_CLASSES, CorpusError, place
from .meld import MELD_SHA256, download, meld_folder
from .readers import Table, read, split_files, unread_files
from .validation import MAX_CHARS, class_id, convert_cells, normalized_texts, require_columns, whole_number

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")  # the order of MELD's own label map
SENTIMENTS = ("negative", "neutral", "positive")
DIALOGUE_COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")


def load_dialogues(
    folder: str | Path, *, delimiter: str | None = None, encoding: str = "utf-8", max_chars: int = MAX_CHARS
) -> DatasetDict:
    """Load a folder with train, dev and test files in MELD's format.

    The files need the columns in `DIALOGUE_COLUMNS`. Season and Episode are optional, other columns are ignored. Pass
    `delimiter` if they are separated by another character than a comma (.csv) or a tab (.tsv).

    The result has the columns text and speaker (string), emotion (ClassLabel with EMOTIONS), sentiment (ClassLabel with
    SENTIMENTS), dialogue_id, utterance_id, and season and episode if the files have them (int64). Rows are sorted by
    dialogue_id and utterance_id. Gaps in utterance_id are normal (MELD has some), but a pair that occurs twice is an
    error. Raises CorpusError.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     rows = [",".join(DIALOGUE_COLUMNS), "Hi!,Ann,joy,positive,0,1", "Who is it?,Bo,neutral,neutral,0,0"]
    ...     _ = Path(folder, "train.csv").write_text("\\n".join(rows))
    ...     load_dialogues(folder)["train"]["text"][:]
    ['Who is it?', 'Hi!']
    """
    check_arguments(delimiter=delimiter, encoding=encoding, max_chars=max_chars)
    folder = Path(path_of("folder", folder))
    files = split_files(folder)
    splits = {}
    for split, path in files.items():
        table = read(path, encoding, delimiter=delimiter)
        if split == "train":
            table.notes.extend(unread_files(folder, files))
        require_columns(table, DIALOGUE_COLUMNS, "rename your columns, or use load_table for texts without dialogues")
        data, changes = turn_columns(table, max_chars)
        if split == "train" and len(set(data["emotion"])) == 1:
            raise CorpusError(f"{table.file}: every Emotion is the same; {TWO_CLASSES}")
        # Models of whole dialogues need the turns in their order, and a file need not be sorted
        order = order_of_turns(table, data["dialogue_id"], data["utterance_id"])
        data = {name: [values[i] for i in order] for name, values in data.items()}
        splits[split] = to_dataset(data, {"emotion": EMOTIONS, "sentiment": SENTIMENTS}, table, changes)
    return DatasetDict(splits)


def turn_columns(table: Table, max_chars: int) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """Return the checked columns of a file in the order of its rows, and what normalizing changed in the texts."""
    data: dict[str, list[Any]] = {}
    data["text"], changes = normalized_texts(table, "Utterance", max_chars)
    data["speaker"], _ = normalized_texts(table, "Speaker", max_chars)
    for column, names in (("Emotion", EMOTIONS), ("Sentiment", SENTIMENTS)):
        ids = {name: i for i, name in enumerate(names)}
        data[column.lower()] = convert_cells(table, column, class_id, ids, "correct the row")
    for column in ("Dialogue_ID", "Utterance_ID", "Season", "Episode"):
        if column in table.columns:
            data[column.lower()] = convert_cells(table, column, whole_number)
    return data, changes


def order_of_turns(table: Table, dialogues: list[int], utterances: list[int]) -> list[int]:
    """Return the positions of the turns, sorted by dialogue and utterance; a pair that occurs twice is an error."""
    first: dict[tuple[int, int], int] = {}
    for i, turn in enumerate(zip(dialogues, utterances, strict=True)):
        if first.setdefault(turn, i) != i:
            fault = f"dialogue {turn[0]}, utterance {turn[1]} is also in row {table.rows[first[turn]]}"
            raise CorpusError(f"{place(table.file, table.rows[i])}: {fault}; renumber or delete one of them")
    return [first[turn] for turn in sorted(first)]


def load_meld(folder: str | Path | None = None) -> DatasetDict:
    """Load MELD (Poria et al. 2019, https://github.com/declare-lab/MELD). The columns are those of `load_dialogues`.

    MELD is read from the first of these that is given:

    1. the argument `folder`,
    2. the folder $NBHELPERS_DATA/meld, if that environment variable is set,
    3. the folder meld in the cache, which is $NBHELPERS_CACHE or ~/.cache/nbhelpers. Missing files are downloaded.

    Files in the cache must have the published SHA-256 digest. Files in a folder of your own may differ, and `describe`
    then says so. Raises CorpusError.

    >>> sorted(load_meld()["train"].features)  # doctest: +SKIP
    ['dialogue_id', 'emotion', 'episode', 'season', 'sentiment', 'speaker', 'text', 'utterance_id']
    """
    if folder is None:
        folder = meld_folder()
        if not os.environ.get("NBHELPERS_DATA"):
            for file in MELD_SHA256:
                download(file, folder)
        elif not folder.is_dir():
            raise CorpusError(f"NBHELPERS_DATA is set, but there is no folder {folder}; put MELD there or unset it")
    return load_dialogues(folder)
