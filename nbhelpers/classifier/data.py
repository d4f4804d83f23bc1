"""From a loaded corpus to what a classifier learns from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from datasets import Dataset, DatasetDict, List
from numpy.typing import NDArray

from nbhelpers import batching, corpora, dialogue, tagging

from .errors import ClassifierError
from .rows import Rows


class Task(NamedTuple):
    """What is to be learned: splits, the names of the classes, and of which kind the labels are."""

    splits: dict[str, Rows]
    names: list[str]
    several: bool  # whether a text can have several labels
    tags: bool = False  # whether each word has a label; the texts are then lists of words, and the labels lists of ids

    @property
    def is_dialogue(self) -> bool:
        return bool(self.splits["train"].dialogue_ids)


def make_task(data: DatasetDict) -> Task:
    """Return the task of a corpus from `corpora.load`.

    Raises:
        ClassifierError: it has no train or dev split, or no labels.
    """
    for split in ("train", "dev"):
        if split not in data:
            raise ClassifierError(f"the corpus has no {split} split; pass dev_share=0.1 to make one from train")
    names, several = classes_of(data["train"])
    splits = {split: rows_of(part) for split, part in data.items() if split in ("train", "dev", "test")}
    return Task(splits, names, several)


def notes_of(data: DatasetDict) -> Iterator[str]:
    """Yield sentences about how each file of a corpus was read, and which rows were left out."""
    described: dict[Any, dict[Any, Any]] = corpora.describe(data).to_dict()
    for about in described.values():
        if about["notes"] != "-":
            yield f"{about['file']}: {about['notes']}"
        dropped = [
            f"{name.removeprefix('dropped: ')} ({x})" for name, x in about.items() if name.startswith("dropped: ") and x
        ]
        if dropped:
            yield f"{about['file']}: rows left out: {', '.join(dropped)}"


def doubts_of_labels(data: DatasetDict, label: Any) -> str:
    """A sentence about labels that are perhaps a mistake, such as typos that became classes; "" if there are none.

    Args:
        data: from `corpora.load`.
        label: the column with the labels.
    """
    notes = corpora.loading_report(data["train"]).get("notes", [])
    about_labels = [note for note in notes if note.startswith(f"{label}: ")]
    return f"Look at the labels before you trust it: {'; '.join(about_labels)}." if about_labels else ""


def label_column(part: Dataset) -> str:
    """Return the name of the column with the labels. A split without one raises ClassifierError."""
    for name in ("label", "emotion"):
        if name in part.features:
            return name
    raise ClassifierError(
        f"the corpus has no column 'label', only {', '.join(part.features)}; load it with corpora.load"
    )


def classes_of(part: Dataset) -> tuple[list[str], bool]:
    """Return the names of the classes, and whether a text can have several of them."""
    feature = part.features[label_column(part)]
    several = isinstance(feature, List)
    return list(feature.feature.names if several else feature.names), several


def rows_of(part: Dataset) -> Rows:
    """Return the columns of a split as lists."""
    columns = ("text", label_column(part), "text_pair", "speaker", "dialogue_id")
    return Rows(*(part[column][:] if column in part.features else [] for column in columns))


def one_hot(labels: Sequence[Sequence[int]], num_classes: int) -> NDArray[np.int64]:
    """Return 0 and 1 [rows, classes] of lists of class ids.

    >>> one_hot([[0, 2], []], 3).tolist()
    [[1, 0, 1], [0, 0, 0]]
    """
    table = np.zeros((len(labels), num_classes), dtype=np.int64)
    for row, found in enumerate(labels):
        table[row, list(found)] = 1
    return table


def make_examples(
    rows: Rows, tokenizer: Any, settings: Mapping[str, Any], num_classes: int = 0
) -> list[dict[str, Any]]:
    """Return the examples of a split: for each text, or for each dialogue.

    Args:
        rows: the split; without labels, examples have none.
        tokenizer: the model's.
        settings: "context", "speaker_format" and "max_length" count, as in `model.config.settings`.
        num_classes: where a text can have several labels, how many classes there are; they then become 0 and 1.
    """
    labels: Any = rows.labels or None
    if settings.get("context") == "words":
        options = {name: settings[name] for name in ("pieces", "max_length") if name in settings}
        return list(tagging.make_examples(rows.texts, tokenizer, labels, **options))
    options = dialogue.input_options(settings)
    if num_classes and labels is not None:
        labels = one_hot(labels, num_classes).tolist()
    if options.get("context", "none") == "none":
        return batching.tokenize(
            rows.texts, tokenizer, pairs=rows.pairs or None, labels=labels, max_length=options.get("max_length")
        )
    return dialogue.make_examples(
        rows.texts, tokenizer, labels=labels, dialogue_ids=rows.dialogue_ids, speakers=rows.speakers or None, **options
    )
