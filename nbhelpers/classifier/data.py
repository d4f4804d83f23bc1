"""From a loaded corpus to what a classifier learns from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from datasets import Dataset, DatasetDict, List

from nbhelpers import batching, dialogue

from .errors import ClassifierError


class Rows(NamedTuple):
    """The rows of a split. `pairs`, `speakers` and `dialogue_ids` are empty where the corpus has no such column."""

    texts: list[str]
    labels: list[Any]  # class ids, or, where a text can have several labels, lists of them
    pairs: list[str]
    speakers: list[str]
    dialogue_ids: list[int]


class Task(NamedTuple):
    """What is to be learned: splits, the names of the classes, and of which kind the labels are."""

    splits: dict[str, Rows]
    names: list[str]
    several: bool  # whether a text can have several labels
    label: str  # the column with the labels

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
    features = data["train"].features
    label = next((name for name in ("label", "emotion") if name in features), None)
    if label is None:
        raise ClassifierError(
            f"the corpus has no column 'label', only {', '.join(features)}; load it with corpora.load"
        )
    several = isinstance(features[label], List)
    names = features[label].feature.names if several else features[label].names
    splits = {split: rows_of(part, label) for split, part in data.items() if split in ("train", "dev", "test")}
    return Task(splits, list(names), several, label)


def rows_of(part: Dataset, label: str) -> Rows:
    """Return the columns of a split as lists."""
    columns = ("text", label, "text_pair", "speaker", "dialogue_id")
    return Rows(*(part[column][:] if column in part.features else [] for column in columns))


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
    options = dialogue.input_options(settings)
    labels: Any = rows.labels or None
    if num_classes and labels is not None:
        labels = [[int(i in found) for i in range(num_classes)] for found in labels]
    if options.get("context", "none") == "none":
        return batching.tokenize(
            rows.texts, tokenizer, pairs=rows.pairs or None, labels=labels, max_length=options.get("max_length")
        )
    return dialogue.make_examples(
        rows.texts, tokenizer, labels=labels, dialogue_ids=rows.dialogue_ids, speakers=rows.speakers or None, **options
    )
