"""Load dialogues: in MELD's format, MELD itself, or with columns and classes of their own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict

from .addresses import local_path
from .arguments import check_arguments, names_of
from .building import classes_of, to_dataset
from .dialogue_columns import (
    MELD_LAYOUT,
    checks_of,
    choose_columns,
    dialogue_numbers,
    meld_layout,
    order_of_turns,
    plain_name,
    positions,
)
from .errors import CorpusError
from .labels import Labels
from .meld import MELD_SHA256, download, meld_folder
from .nested import turns_as_rows
from .readers import Format, Table
from .splitting import Splitting, make_splits
from .tables import read_splits
from .validation import (
    MAX_CHARS,
    class_id,
    convert_cells,
    label_of_cell,
    normalized_texts,
    require_columns,
    whole_number,
    without_faults,
)

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")  # the order of MELD's own label map
SENTIMENTS = ("negative", "neutral", "positive")
DIALOGUE_COLUMNS = tuple(MELD_LAYOUT.values())
ADVICE = "correct the row or pass labels=..."


def load_dialogues(
    path: str | Path | Mapping[str, str | Path],
    *,
    text: str | None = None,
    label: str | None = None,
    labels: Labels | None = None,
    dialogue: str | None = None,
    turn: str | None = None,
    speaker: str | None = None,
    sentiment: str | None = None,
    dev_share: float = 0.0,
    test_share: float = 0.0,
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
    """Load dialogues whose turns have labels, from files of the formats that `load_table` reads.

    A file has a row for each turn. JSON and parquet files can also have a record for each dialogue, with a list of
    turns, or with a list of texts, one of labels, and so on.

    Files in MELD's format need no arguments. They have the columns in `DIALOGUE_COLUMNS`, of which Sentiment may be
    missing, and perhaps Season and Episode. The result has the columns text and speaker (string), emotion (ClassLabel
    with EMOTIONS), sentiment (ClassLabel with SENTIMENTS), dialogue_id, utterance_id, and season and episode if the
    files have them (int64).

    The result of other files has the columns text (string), label (ClassLabel), dialogue_id and utterance_id (int64),
    and speaker (string) if there is such a column. The train split defines the classes.

    Turns are sorted by dialogue and turn. Gaps in the numbers of turns are normal (MELD has some), but a pair that
    occurs twice is an error.

    Args:
        path: a file, a folder with train, dev and test files, or a dict from the name of a split to its file.
        text, label: the columns with what was said, and with its label; by default they are guessed, if only one column
            can be it.
        labels: the names of the classes, as for `load_table`.
        dialogue: the column that says to which dialogue a turn belongs: a number or a name. It is guessed by its name.
        turn: the column with the position of a turn in its dialogue, a whole number. It is guessed by its name. Without
            one, turns are in the order of the file.
        speaker: the column with the name of the speaker; "['Ann']" is read as Ann. It is guessed by its name.
        sentiment: a second column of classes, which `objectives.multi_task` can use.
        dev_share, test_share, seed: make a split that is missing from this share of the train split. Dialogues stay
            whole.
        on_fault, columns, delimiter, quotes, encoding, query, table, max_chars: as for `load_table`.

    Raises CorpusError if something is wrong with a file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "talks.csv")
    ...     _ = path.write_text("scene,who,text,mood\\nbus,Ann,Hi!,good\\nbus,Bo,Who is it?,bad\\n")
    ...     load_dialogues(path, dialogue="scene", speaker="who", label="mood")["train"][1]
    {'text': 'Who is it?', 'speaker': 'Bo', 'label': 0, 'dialogue_id': 0, 'utterance_id': 1}
    """
    given = {
        "text": text, "speaker": speaker, "label": label, "sentiment": sentiment, "dialogue": dialogue, "turn": turn
    }  # fmt: skip
    check_arguments(**given, dev_share=dev_share, test_share=test_share, seed=seed, on_fault=on_fault)
    check_arguments(delimiter=delimiter, quotes=quotes, encoding=encoding, max_chars=max_chars)
    names = None if columns is None else names_of("columns", columns)
    form = Format(names, delimiter, quotes, encoding, on_fault, query, table)
    tables = {split: turns_as_rows(part, dialogue) for split, part in read_splits(path, form).items()}
    if "train" not in tables:
        raise CorpusError(f"there is no train split, only {', '.join(tables)}; name one split train")
    is_meld = labels is None and not any(given.values()) and "Dialogue_ID" in tables["train"].columns
    layout = meld_layout(tables["train"]) if is_meld else choose_columns(tables["train"], given)
    for part in tables.values():
        require_columns(part, list(layout.values()), "name your columns, or use load_table for texts without dialogues")
    checks = checks_of(layout, max_chars)
    tables = {split: without_faults(part, checks, on_fault) for split, part in tables.items()}
    classes = classes_of_roles(tables["train"], layout, EMOTIONS if is_meld else labels, is_meld)
    ids_of_roles = {layout[role]: partial(class_id, ids=ids, advice=ADVICE) for role, (_, ids) in classes.items()}
    tables = {split: without_faults(part, ids_of_roles, on_fault) for split, part in tables.items()}
    splitting = Splitting(dev_share, test_share, None, seed)
    if splitting.is_wanted:
        train = tables["train"].columns
        tables = make_splits(tables, splitting, train[layout["label"]], train[layout["dialogue"]])
    return DatasetDict({split: turns_of(part, layout, classes, max_chars, is_meld) for split, part in tables.items()})


def classes_of_roles(
    train: Table, layout: Mapping[str, str], labels: Labels | None, is_meld: bool
) -> dict[str, tuple[list[str], dict[str, int]]]:
    """Return the names and ids of the classes, of the labels and, where there is such a column, of the sentiments."""

    def found(role: str) -> list[str]:
        return convert_cells(train, layout[role], label_of_cell)

    classes = {"label": classes_of(train, layout["label"], labels, found("label"), several=False)}
    if is_meld and "sentiment" in layout:  # a small file need not have all three
        classes["sentiment"] = (list(SENTIMENTS), {name: i for i, name in enumerate(SENTIMENTS)})
    elif "sentiment" in layout:
        classes["sentiment"] = classes_of(train, layout["sentiment"], None, found("sentiment"), several=False)
    return classes


def turns_of(
    table: Table, layout: Mapping[str, str], classes: Mapping[str, Any], max_chars: int, is_meld: bool
) -> Dataset:
    """Return a split: its checked columns, sorted by dialogue and turn."""
    data: dict[str, list[Any]] = {}
    features: dict[str, Any] = {}
    data["text"], changes = normalized_texts(table, layout["text"], max_chars)
    if "speaker" in layout:
        table.columns[layout["speaker"]] = list(map(plain_name, table.columns[layout["speaker"]]))
        data["speaker"], _ = normalized_texts(table, layout["speaker"], max_chars)
    for role, (names, ids) in classes.items():
        name = "emotion" if is_meld and role == "label" else role
        data[name] = convert_cells(table, layout[role], class_id, ids, ADVICE)
        features[name] = ClassLabel(names=list(names))
    data["dialogue_id"] = dialogue_numbers(table, layout["dialogue"])
    if "turn" in layout:
        data["utterance_id"] = convert_cells(table, layout["turn"], whole_number)
    else:
        data["utterance_id"] = positions(data["dialogue_id"])
    for column in ("Season", "Episode") if is_meld else ():
        if column in table.columns:
            data[column.lower()] = convert_cells(table, column, whole_number)
    # Models of whole dialogues need the turns in their order, and a file need not be sorted
    order = order_of_turns(table, data["dialogue_id"], data["utterance_id"])
    data = {name: [values[i] for i in order] for name, values in data.items()}
    return to_dataset(data, features, table, changes)


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
    return load_dialogues(local_path(folder, argument="folder"))
