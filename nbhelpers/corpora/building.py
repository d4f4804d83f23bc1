"""From checked columns to a `datasets.Dataset`, and from tables with texts and labels to a `DatasetDict`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, Value

from .errors import TWO_CLASSES, CorpusError
from .labels import Labels, class_names, label_notes, require_classes, require_no_header_label
from .readers import Table
from .validation import class_id, convert_cells, label_of_cell, normalized_texts


def classification_data(
    tables: dict[str, Table], text: str, label: str, labels: Labels | None, max_chars: int
) -> DatasetDict:
    """Return the columns text and label of each table; the train split defines the classes."""
    if text == label:
        raise CorpusError(f"text_column and label_column are both {text!r}; pass two different columns")
    if "train" not in tables:
        raise CorpusError(f"there is no train split, only {', '.join(tables)}; name one split train")
    train = tables["train"]
    found = convert_cells(train, label, label_of_cell)
    require_no_header_label(train, label, found)
    if labels is None:
        require_classes(train, label, found)
        train.notes.extend(label_notes(label, found))
    # A label that only dev or test has cannot be learned, so the other splits must use the names of train
    names, ids = class_names(train, label, found, labels)
    splits = {}
    for split, table in tables.items():
        texts, changes = normalized_texts(table, text, max_chars)
        ids_of_rows = convert_cells(table, label, class_id, ids, "correct the row or pass labels=...")
        if split == "train" and len(set(ids_of_rows)) == 1:
            raise CorpusError(f"{table.file}: every {label} is the same; {TWO_CLASSES}")
        splits[split] = to_dataset({"text": texts, "label": ids_of_rows}, {"label": names}, table, changes)
    return DatasetDict(splits)


def to_dataset(
    data: dict[str, list[Any]], classes: dict[str, Sequence[str]], table: Table, changes: dict[str, Any]
) -> Dataset:
    """Return a split in memory. What was noted while loading is in its description, which `datasets` passes on."""
    # ClassLabel cannot be inferred from the values, so all types are given
    types = {name: Value("string" if isinstance(values[0], str) else "int64") for name, values in data.items()}
    features = Features(types | {name: ClassLabel(names=list(names)) for name, names in classes.items()})
    report = {"file": table.file, "notes": table.notes, "normalized": changes}
    info = DatasetInfo(description=json.dumps(report, ensure_ascii=False), features=features)
    return Dataset.from_dict(data, features=features, info=info)
