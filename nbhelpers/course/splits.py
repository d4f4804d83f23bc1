"""The corpus of a lesson: any that `corpora.load` reads, with the three splits that the lessons use."""

from __future__ import annotations

from pathlib import Path

from datasets import ClassLabel, Dataset

from nbhelpers import corpora
from nbhelpers.course.errors import CourseError

SPLITS = ("train", "dev", "test")
SHARE = 0.2  # of train, which becomes a missing split


def load_splits(
    corpus: str | Path, num_rows: int = 0, *, needs_dialogues: bool = False, seed: int = 0, **columns: str
) -> dict[str, Dataset]:
    """Load a corpus for a lesson.

    Where test or dev is missing, as in a single file, a fifth of train is held out for it. Texts that are equal stay
    together, and so do the turns of a dialogue.

    Args:
        corpus: what `corpora.load` takes.
        num_rows: at most so many rows of each split, spread evenly over it, because a file may be sorted; 0 takes all.
        needs_dialogues: whether the lesson is about dialogues and their speakers.
        seed: decides which rows are held out.
        columns: the names of the columns, by what is in them: text, label, dialogue, speaker. An empty name leaves it
            to `corpora.load` to find the column.

    Returns:
        The splits "train", "dev" and "test" with the columns text and label, whatever they are called in the corpus.

    Raises:
        CorpusError: the corpus cannot be loaded.
        CourseError: the lessons cannot use it. They need texts with one label each, and some need dialogues.
    """
    named = {role: name for role, name in columns.items() if name}
    data = corpora.load(corpus, dev_share=SHARE, test_share=SHARE, seed=seed, **named)
    if "emotion" in data["train"].features:  # as in MELD's format
        data = data.rename_column("emotion", "label")
    features = data["train"].features
    if not isinstance(features["label"], ClassLabel) or "text_pair" in features:
        raise CourseError(
            f"the lessons take texts with one label each, and {corpus} has pairs of texts or several labels; "
            "nbhelpers train takes it"
        )
    if needs_dialogues and not {"dialogue_id", "speaker"} <= set(features):
        raise CourseError(
            f"this lesson reads each turn with the turns around it, and {corpus} has no dialogues with speakers; name "
            "their columns with -p dialogue=... and -p speaker=..., or use lessons 2 to 5"
        )
    return {split: some_rows(data[split], num_rows or len(data[split])) for split in SPLITS}


def some_rows(part: Dataset, count: int) -> Dataset:
    """Keep so many rows, or all if there are fewer, spread evenly over a data set.

    >>> some_rows(Dataset.from_dict({"label": [0, 0, 0, 1, 1, 1]}), 2)["label"][:]
    [0, 1]
    """
    count = min(count, len(part))
    return part.select([row * len(part) // count for row in range(count)])
