"""From a loaded corpus to what a classifier learns from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.compute
from datasets import Column, Dataset, DatasetDict, List
from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
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


def make_task(data: DatasetDict, on_disk: bool = False) -> Task:
    """Return the task of a corpus from `corpora.load`.

    Args:
        data: the corpus.
        on_disk: whether it is from `corpora.load_large`; its texts then stay on disk.

    Raises:
        ClassifierError: it has no train or dev split, or no labels.
    """
    for split in ("train", "dev"):
        if split not in data:
            raise ClassifierError(f"the corpus has no {split} split; pass dev_share=0.1 to make one from train")
    names, several = classes_of(data["train"])
    splits = {split: rows_of(part, on_disk) for split, part in data.items() if split in ("train", "dev", "test")}
    return Task(splits, names, several)


def notes_of(data: DatasetDict) -> Iterator[str]:
    """Yield sentences about how each file of a corpus was read, and which rows were left out."""
    for report in map(corpora.loading_report, data.values()):
        if notes := corpora.loading_notes(report):
            yield f"{report['file']}: {'; '.join(notes)}"
        if dropped := [f"{kind} ({about['rows']})" for kind, about in report.get("dropped", {}).items()]:
            yield f"{report['file']}: rows left out: {', '.join(dropped)}"


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


def rows_of(part: Dataset, on_disk: bool = False) -> Rows:
    """Return the columns of a split as lists, but leave the texts on disk if the split is from `corpora.load_large`."""
    label = label_column(part)
    columns = {name: part[name] if name in part.features else [] for name in ("text", label, "text_pair", "speaker")}
    turns = part["dialogue_id"][:] if "dialogue_id" in part.features else []
    texts = {name: column if on_disk and name != label else column[:] for name, column in columns.items()}
    return Rows(texts["text"], texts[label], texts["text_pair"], texts["speaker"], turns)


def one_hot(labels: Sequence[Sequence[int]], num_classes: int) -> NDArray[np.int64]:
    """Return 0 and 1 [rows, classes] of lists of class ids.

    >>> one_hot([[0, 2], []], 3).tolist()
    [[1, 0, 1], [0, 0, 0]]
    """
    table = np.zeros((len(labels), num_classes), dtype=np.int64)
    for row, found in enumerate(labels):
        table[row, list(found)] = 1
    return table


def make_examples(rows: Rows, tokenizer: Any, settings: Mapping[str, Any], num_classes: int = 0) -> Any:
    """Return the examples of a split: for each text, or for each dialogue. If the texts are on disk, so are they.

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
    if isinstance(rows.texts, Column):
        return examples_on_disk(rows.texts.source, tokenizer, options.get("max_length"))
    if options.get("context", "none") == "none":
        return batching.tokenize(
            rows.texts, tokenizer, pairs=rows.pairs or None, labels=labels, max_length=options.get("max_length")
        )
    return dialogue.make_examples(
        rows.texts, tokenizer, labels=labels, dialogue_ids=rows.dialogue_ids, speakers=rows.speakers or None, **options
    )


def examples_on_disk(part: Any, tokenizer: Any, max_length: int | None) -> Any:
    """Tokenize a split into a file beside its own, from which the examples are read when they are needed."""

    def tokenize(rows: dict[str, Any]) -> dict[str, list[Any]]:
        examples = batching.tokenize(
            rows["text"], tokenizer, pairs=rows.get("text_pair"), labels=rows.get("label"), max_length=max_length
        )
        return {name: [example[name] for example in examples] for name in examples[0]}

    file, shown = Path(part.cache_files[0]["filename"]), not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        return part.map(
            tokenize,
            batched=True,
            remove_columns=part.column_names,
            cache_file_name=str(file.with_name(f"{file.stem}-tokens.arrow")),
            load_from_cache_file=False,
            new_fingerprint=f"{file.stem}-tokens",  # else `datasets` would make one from the whole tokenizer
        )
    finally:
        if shown:
            enable_progress_bars()


def lengths_of(examples: Any) -> Any:
    """Return the number of tokens of each example."""
    if isinstance(examples, Dataset):
        return pyarrow.compute.list_value_length(examples.data.column("input_ids")).to_numpy()
    return [len(example["input_ids"]) for example in examples]
