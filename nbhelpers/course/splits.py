"""The corpus of a lesson: any that `corpora.load` reads, with the three splits that the lessons use."""

from __future__ import annotations

import random
from pathlib import Path

from datasets import Dataset

from nbhelpers import corpora
from nbhelpers.course.errors import CourseError

SPLITS = ("train", "dev", "test")
HELD_OUT = 0.2  # share of train that becomes a missing split


def load_splits(corpus: str | Path, *, needs_dialogues: bool = False, seed: int = 0) -> tuple[dict[str, Dataset], str]:
    """Load a corpus for a lesson.

    Where test or dev is missing, as in a single file, a fifth of train is held out for it. A dialogue stays together,
    because its turns are alike.

    Args:
        corpus: what `corpora.load` takes.
        needs_dialogues: whether the lesson is about dialogues and their emotions.
        seed: decides which rows are held out.

    Returns:
        The splits "train", "dev" and "test", and the name of the column with the labels: "emotion" or "label".

    Raises:
        CorpusError: the corpus cannot be loaded.
        CourseError: it has no dialogues, though the lesson needs them, or too few rows to hold some out.
    """
    loaded = corpora.load(corpus)
    columns = loaded["train"].features
    if needs_dialogues and not {"dialogue_id", "speaker", "emotion"} <= set(columns):
        raise CourseError(
            f"this lesson is about dialogues, and {corpus} has none; set corpus to a folder in MELD's format, or use "
            "lessons 3, 4 and 5, which take any texts with labels"
        )
    data = {split: loaded[split] for split in SPLITS if split in loaded}
    for split in ("test", "dev"):
        if split not in data:
            data["train"], data[split] = hold_out(data["train"], seed)
            if not (len(data["train"]) and len(data[split])):
                raise CourseError(
                    f"{corpus} has no {split} split and too few rows to hold some out; add a {split} file"
                )
    return {split: data[split] for split in SPLITS}, "emotion" if "emotion" in columns else "label"


def hold_out(part: Dataset, seed: int) -> tuple[Dataset, Dataset]:
    """Divide a data set by chance, in the order of its rows. Dialogues, where it has some, are not divided.

    >>> part = Dataset.from_dict({"dialogue_id": [0, 0, 1, 1, 1, 2, 3, 4]})
    >>> rest, held_out = hold_out(part, seed=0)
    >>> len(set(held_out["dialogue_id"])), sorted([*rest["dialogue_id"], *held_out["dialogue_id"]])
    (1, [0, 0, 1, 1, 1, 2, 3, 4])
    """
    units = part["dialogue_id"][:] if "dialogue_id" in part.features else list(range(len(part)))
    different = list(dict.fromkeys(units))
    chosen = set(random.Random(seed).sample(different, round(HELD_OUT * len(different))))
    rows = {held: [row for row, unit in enumerate(units) if (unit in chosen) == held] for held in (False, True)}
    return part.select(rows[False]), part.select(rows[True])
