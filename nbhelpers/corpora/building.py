"""From tables with texts and labels to a `DatasetDict`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, List, Value

from .columns import Columns, choose
from .errors import TWO_CLASSES, CellFault, CorpusError
from .labels import Labels, class_names, label_notes, require_classes, require_no_header_label
from .normalizing import normalize
from .readers import Table
from .splitting import Splitting, make_splits
from .validation import (
    class_id,
    convert_cells,
    label_of_cell,
    labels_of_cell,
    normalized_texts,
    require_columns,
    text_of_cell,
    without_faults,
)

UNKNOWN = "correct the row or pass labels=..."  # what to do about a label that is no class
MARKS = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}


def classification_data(
    tables: dict[str, Table],
    text: Columns | None,
    label: Columns | None,
    labels: Labels | None,
    *,
    label_separator: str | None,
    max_chars: int,
    on_fault: str,
    splitting: Splitting,
) -> DatasetDict:
    """Return the columns text, text_pair (of pairs), and label of each table; the train split defines the classes."""
    if "train" not in tables:
        raise CorpusError(f"there is no train split, only {', '.join(tables)}; name one split train")
    texts, label = choose(tables["train"], text, label)
    required = [*texts, *([label] if isinstance(label, str) else label), *splitting.group_columns]
    for table in tables.values():
        require_columns(table, required, "pass text= and label=, or columns= if there is no header")
    if not isinstance(label, str):
        marks = dict.fromkeys(label, mark_of_cell)
        tables = {split: join_labels(without_faults(table, marks, on_fault), label) for split, table in tables.items()}
        label = "label"
    several = label_separator is not None or any(isinstance(x, list | tuple) for x in tables["train"].columns[label])
    read_cell = partial(labels_of_cell, separator=label_separator) if several else one_label
    check_text = partial(text_of_cell, max_chars=max_chars)
    checks: dict[str, Callable[[Any], Any]] = {**dict.fromkeys(texts, check_text), label: read_cell}
    tables = {split: without_faults(table, checks, on_fault) for split, table in tables.items()}
    found = [name for names in convert_cells(tables["train"], label, read_cell) for name in names]
    names, ids = classes_of(tables["train"], label, labels, found, several)

    def ids_of_cell(cell: Any) -> Any:
        found = [class_id(name, ids, UNKNOWN) for name in read_cell(cell)]
        return found if several else found[0]

    # a second time, now that the classes are known
    tables = {split: without_faults(table, {label: ids_of_cell}, on_fault) for split, table in tables.items()}
    if splitting.is_wanted:
        train = tables["train"]
        # Without a group column, rows with the same text are a group, so that no text gets into two splits
        keys = splitting.group_columns or texts
        groups = [tuple(map(text_key, cells)) for cells in zip(*(train.columns[key] for key in keys), strict=True)]
        tables = make_splits(tables, splitting, list(map(text_key, train.columns[label])), groups)
    return DatasetDict(
        {
            split: classified_texts(table, texts, label, names, ids_of_cell, several, max_chars)
            for split, table in tables.items()
        }
    )


def one_label(cell: Any) -> list[str]:
    """Return the label in a cell as a list."""
    return [label_of_cell(cell)]


def text_key(cell: Any) -> str:
    """Return what is the same for cells that differ only in spaces, quotation marks and the like."""
    return normalize(str(cell))


def mark_of_cell(cell: Any) -> bool:
    """Return whether a cell contains a 1, and not a 0."""
    mark = str(cell).strip().casefold()
    if mark not in MARKS:
        raise CellFault("no mark", f"{cell!r:.60} is neither 0 nor 1; pass one label= column, or correct the row")
    return MARKS[mark]


def join_labels(table: Table, columns: Sequence[str]) -> Table:
    """Return the table with the column "label": a list of the names of the columns that contain a 1, and not a 0."""
    flags = zip(*(map(mark_of_cell, table.columns[column]) for column in columns), strict=True)
    found = [[column for column, flag in zip(columns, row, strict=True) if flag] for row in flags]
    table.columns["label"] = found
    return table


def classes_of(
    train: Table, label: str, labels: Labels | None, found: Sequence[str], several: bool
) -> tuple[list[str], dict[str, int]]:
    """Return the names of the classes, and the id of each label as the file has it.

    A label that only dev or test has cannot be learned, so the train split alone defines the classes: `found` are the
    labels of its rows.
    """
    if not several:  # else a row may have any number of labels
        require_no_header_label(train, label, found)
        if labels is None:
            require_classes(train, label, found)
            train.notes.extend(label_notes(label, found))
    names, ids = class_names(train, label, found, labels)
    if len({ids[name] for name in found if name in ids}) < 2 and set(found) <= set(ids):
        raise CorpusError(f"{train.file}: every {label} is the same; {TWO_CLASSES}")
    return names, ids


def classified_texts(
    table: Table,
    texts: Sequence[str],
    label: str,
    names: Sequence[str],
    ids_of_cell: Callable[[Any], Any],
    several: bool,
    max_chars: int,
) -> Dataset:
    """Return a split with its texts and class ids."""
    data: dict[str, list[Any]] = {}
    changes: list[dict[str, Any]] = []
    for name, column in zip(("text", "text_pair"), texts, strict=False):
        data[name], changed = normalized_texts(table, column, max_chars)
        changes.append(changed)
    data["label"] = convert_cells(table, label, ids_of_cell)
    feature = ClassLabel(names=list(names))
    return to_dataset(data, {"label": List(feature) if several else feature}, table, joint_changes(changes))


def to_dataset(
    data: dict[str, list[Any]], labels: dict[str, ClassLabel | List], table: Table, changes: dict[str, Any]
) -> Dataset:
    """Return a split in memory. What was noted while loading is in its description, which `datasets` passes on."""
    # A ClassLabel cannot be inferred from the values, so all types are given
    types = {name: Value("string" if isinstance(values[0], str) else "int64") for name, values in data.items()}
    features = Features(types | labels)
    return Dataset.from_dict(data, features=features, info=info_about(table, changes, features))


def info_about(table: Table, changes: dict[str, Any], features: Features) -> DatasetInfo:
    """Return what `datasets` keeps with a split: its types, and what was noted while it was loaded."""
    dropped = {kind: {"rows": len(faults), "example": faults[0][:200]} for kind, faults in table.dropped.items()}
    report = {"file": table.file, "notes": table.notes, "normalized": changes, "dropped": dropped}
    report |= {"guessed": table.guessed}
    return DatasetInfo(description=json.dumps(report, ensure_ascii=False), features=features)


def joint_changes(all_changes: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return how many texts each rule changed in several columns or parts, with an example of the first of them.

    >>> joint_changes([{"curly quotes": {"texts": 1, "before": "a"}}, {"curly quotes": {"texts": 2, "before": "b"}}])
    {'curly quotes': {'texts': 3, 'before': 'a'}}
    """
    joint: dict[str, Any] = {}
    for changes in all_changes:
        for rule, change in changes.items():
            joint.setdefault(rule, {**change, "texts": 0})["texts"] += change["texts"]
    return joint
