"""Classify the texts of a file of any size, and write them with their labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nbhelpers import serving

from .chunks import Chunk, format_of, join_parts, read_chunks, write_part
from .errors import ClassifierError
from .rows import Rows, logits_of
from .runs import changed_since_start
from .served import load, num_cores, remembered_options

CHUNK_ROWS = 10_000  # what is in memory at a time
NEW_COLUMNS = ["predicted", "probability"]


def predict(
    folder: str | Path,
    source: str | Path,
    output: str | Path,
    *,
    text: str | Sequence[str] | None = None,
    dialogue: str | None = None,
    speaker: str | None = None,
    all_probabilities: bool = False,
    encoding: str = "utf-8",
    progress: Callable[[int], None] = lambda rows: None,
) -> Path:
    """Classify each row of a file, and write a file with the same columns and rows, and with the answers.

    The new columns are "predicted" and "probability". Rows without a text get no answer. Only some thousand rows are in
    memory at a time, whatever the size of the file. What is done is kept beside the output until all is done: when the
    program is stopped and called again in the same way, it goes on there.

    Args:
        folder: from `train`, or an export of such a folder.
        source: a .csv, .tsv, .jsonl or .parquet file, the first three also compressed (.gz).
        output: the new file: .csv, .tsv, .jsonl or .parquet.
        text: the column with the texts, or two for pairs; by default those of the training data.
        dialogue, speaker: columns, for a classifier of dialogues. The rows of a dialogue must follow each other, in the
            order in which they were said.
        all_probabilities: also write the probability of each class, as "probability of NAME".
        encoding: of the file.
        progress: called with the number of rows that are done.

    Returns:
        The output.

    Raises:
        ClassifierError: a file is missing, has another format, or lacks a column; or the output exists.
    """
    folder, source, output = Path(folder), Path(source), Path(output)
    suffix = format_of(output, writing=True)
    if output.exists():
        raise ClassifierError(f"{output} exists already; remove it, or choose another name")
    columns = columns_of(folder, text=text, dialogue=dialogue, speaker=speaker)
    model = load(folder, num_cores())
    parts = output.with_name(f"{output.name}.parts")
    start_or_resume(parts, source, model.digest, {**columns, "all_probabilities": all_probabilities})
    # The name of a part is the number of rows that are done with it.
    done = max((int(part.stem) for part in parts.glob(f"*{suffix}")), default=0)
    names: list[str] = []
    for chunk in read_chunks(source, encoding, CHUNK_ROWS, done, columns.get("dialogue")):
        require_columns(source, chunk.names, columns.values())
        answered = classify(model, chunk, columns, all_probabilities)
        done, names = done + len(chunk.rows), answered.names
        write_part(answered, parts / f"{done:012}{suffix}", suffix)
        progress(done)
    if not done:
        raise ClassifierError(f"{source} has no rows; check that it was saved and copied completely")
    if not names:  # all parts were there already
        names = next(read_chunks(source, encoding, 1, 0, None)).names + new_columns(model, all_probabilities)
    join_parts(sorted(parts.glob(f"*{suffix}")), names, output, suffix)
    shutil.rmtree(parts)
    return output


def columns_of(folder: Path, text: str | Sequence[str] | None, **named: str | None) -> dict[str, str]:
    """Role -> column: what the user names, else what the training data had."""
    known = remembered_options(folder)
    texts = text or known.get("text") or "text"
    found = dict(zip(("text", "text_pair"), [texts] if isinstance(texts, str) else texts, strict=False))
    found |= {role: column or known.get(role) for role, column in named.items()}
    return {role: column for role, column in found.items() if column}


def start_or_resume(parts: Path, source: Path, digest: str, options: Mapping[str, Any]) -> None:
    """Make the folder of the parts, or check that the one that is there belongs to this call."""
    if not source.is_file():
        raise ClassifierError(f"{source} does not exist; check the path")
    facts = source.stat()
    run = {"source": str(source.resolve()), "bytes": facts.st_size, "model": digest, **options}
    if changed_since_start(parts, run):
        raise ClassifierError(f"{parts} is of another file, model or call; remove it, or choose another output")


def require_columns(source: Path, names: list[str], needed: Any) -> None:
    """Raise ClassifierError if a file lacks a column, or has one of those that are to be written."""
    for name in needed:
        if name not in names:
            raise ClassifierError(f"{source.name}: no column {name!r}; the columns are {', '.join(names)}; pass text=")
    if taken := [name for name in NEW_COLUMNS if name in names]:
        raise ClassifierError(f"{source.name} has a column {taken[0]!r} already; rename it")


def new_columns(model: serving.Model, all_probabilities: bool) -> list[str]:
    """The names of the columns that are added."""
    return NEW_COLUMNS + [f"probability of {name}" for name in model.labels if all_probabilities]


def classify(model: serving.Model, chunk: Chunk, columns: Mapping[str, str], all_probabilities: bool) -> Chunk:
    """The chunk with the new columns."""
    cells = chunk.column(columns["text"])
    pairs: list[Any] = chunk.column(columns["text_pair"]) if "text_pair" in columns else cells
    there = [
        isinstance(x, str) and x.strip() and isinstance(y, str) and y.strip() for x, y in zip(cells, pairs, strict=True)
    ]
    given = [i for i, is_there in enumerate(there) if is_there]
    dialogues: list[Any] = chunk.column(columns["dialogue"]) if "dialogue" in columns else []
    speakers = chunk.column(columns["speaker"]) if "speaker" in columns else []
    numbers = {name: i for i, name in enumerate(dict.fromkeys(dialogues))}
    rows = Rows(
        [cells[i] for i in given],
        [],
        [pairs[i] for i in given] if "text_pair" in columns else [],
        [str(speakers[i] or "") for i in given] if speakers else [],
        [numbers[dialogues[i]] for i in given] if dialogues else [],
    )
    answers: list[list[Any]] = [[None] * len(new_columns(model, all_probabilities)) for _ in cells]
    if given:
        found = model.probabilities(logits_of(model, rows), len(given))
        for i, row in zip(given, np.round(found, 6).tolist(), strict=True):
            chosen = model.chosen(row)
            label = (
                ", ".join(model.labels[c] for c in chosen) if model.thresholds is not None else model.labels[chosen[0]]
            )
            answers[i] = [label, max(row), *(row if all_probabilities else [])]
    rows_with_answers = [[*row, *answer] for row, answer in zip(chunk.rows, answers, strict=True)]
    return Chunk([*chunk.names, *new_columns(model, all_probabilities)], rows_with_answers)
