"""Read the corpus that a classifier is trained on."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from datasets import DatasetDict

from nbhelpers import corpora

from .data import Task, doubts_of_labels, make_task, notes_of
from .errors import ClassifierError
from .seen import hashes
from .tags import is_tagged, load_tags, tag_facts

SHARE = 0.1  # of the train split, which becomes dev or test where a corpus has none
MADE_ROWS = 10_000  # of a large corpus, which are enough to choose an epoch and to score it


@contextlib.contextmanager
def place_for_data(folder: Path) -> Iterator[Path]:
    """A folder beside that of a run, for the rows of a corpus that is too large for memory. It is removed at the end.

    Each process has its own. What processes have left that were killed is removed.
    """
    beginning = f".{folder.name}.data-"
    for left in folder.parent.glob(f"{glob.escape(beginning)}*"):
        process = left.name.removeprefix(beginning)
        if process.isdigit() and not psutil.pid_exists(int(process)):  # else it belongs to a run of another name
            shutil.rmtree(left, ignore_errors=True)
    place = folder.with_name(f"{beginning}{os.getpid()}")
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def read_task(corpus: Any, options: dict[str, Any], place: Path) -> tuple[Task, list[str], str]:
    """The task of a corpus, sentences about it, and doubts about its labels.

    Args:
        corpus: as in `train`.
        options: those of its reader. What is guessed is added, so that the corpus can be read again.
        place: a folder for the rows of a large corpus.
    """
    if is_tagged(corpus, options.pop("task", None)):
        for share in ("dev_share", "test_share"):
            options.setdefault(share, SHARE)
        task = load_tags(corpus, options)
        return task, list(tag_facts(task)), ""
    data = load_corpus(corpus, options, place)
    task = make_task(data, on_disk=place.exists())
    options |= corpora.loading_report(data["train"]).get("guessed", {})
    return task, list(facts(data, task)), doubts_of_labels(data, options.get("label", "label"))


def load_corpus(corpus: Any, options: dict[str, Any], place: Path) -> DatasetDict:
    """The corpus with a train, a dev and a test split, unless it was loaded before. A large one is read from disk."""
    if isinstance(corpus, DatasetDict):
        if options:
            raise ClassifierError(f"a loaded corpus takes no options; leave out {', '.join(options)}")
        return corpus
    missing = [share for share in ("dev_share", "test_share") if share not in options]
    options |= dict.fromkeys(missing, SHARE)
    return load(corpus, options, place, {share.removesuffix("_share"): MADE_ROWS for share in missing})


def load(
    corpus: Any, options: Mapping[str, Any], place: Path, made_rows: Mapping[str, int] | None = None
) -> DatasetDict:
    """The corpus; a large one with one label per text stays in files in the folder `place`, which is then made."""
    if corpora.is_large(corpus, options):
        try:
            return corpora.load_large(corpus, place, **options, made_rows=made_rows or {})
        except corpora.SeveralLabels:
            shutil.rmtree(place)
    return corpora.load(corpus, **options)


def facts(data: DatasetDict, task: Task) -> Iterator[str]:
    """Sentences about the corpus: how it was read, how large it is, and what may be wrong with it."""
    unit = "turns" if task.is_dialogue else "texts"
    yield from notes_of(data)
    sizes = ", ".join(f"{len(rows.texts):,} {unit} in {split}" for split, rows in task.splits.items())
    names = ", ".join(task.names) if len(task.names) <= 12 else f"{task.names[0]} to {task.names[-1]}"
    yield f"{sizes}; {len(task.names)} classes: {names}"
    known = hashes(task.splits["train"].texts)
    for split, rows in task.splits.items():
        if split != "train" and (repeated := int(np.isin(hashes(rows.texts), known).sum())):
            yield f"{repeated:,} {unit} of {split} are also in train, word for word"


def origin(corpus: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """What a model must remember in order to load its corpus again. Paths stay as written, addresses lose secrets."""
    if isinstance(corpus, DatasetDict):
        return {}
    shown = corpora.without_secrets
    name = {split: shown(x) for split, x in corpus.items()} if isinstance(corpus, Mapping) else shown(corpus)
    return {"corpus": name, **({"corpus_options": dict(options)} if options else {})}
