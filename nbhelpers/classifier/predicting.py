"""Classify the texts of a file of any size, and write them with their labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nbhelpers import corpora, serving
from nbhelpers.corpora.errors import listing

from .chunks import Chunk, format_of, in_chunks, join_parts, write_part
from .errors import ClassifierError
from .outputs import deliver, kept_rows, local_output
from .rows import Rows, compute, logits_of
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
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
    quotes: bool | None = None,
    encoding: str | None = None,
    query: str | None = None,
    table: str | None = None,
    progress: Callable[[int], None] = lambda rows: None,
    log: Callable[[str], None] = print,
) -> str | Path:
    """Classify each row of a file, and write a file with the same columns and rows, and with the answers.

    The new columns are "predicted" and "probability"; from a model that tags words, "entities" with a list of the
    positions, labels and probabilities of entities, which tables have in JSON. Rows without a text get no answer. Only
    some thousand rows are in memory at a time, whatever the size of the file. What is done is kept beside the output
    until all is done: when the program is stopped and called again in the same way, it goes on there. A .json or .xlsx
    file is read as a whole.

    A file at an address is copied first, as by `corpora.local_path`, and so are the rows of a database. An output at an
    address is written when all rows are done; until then, what is done is in the folder "outputs" of the cache.

    Args:
        folder: from `train`, or an export of such a folder.
        source: a file of a format that `train` reads; it needs no labels. Or its address, or that of a database.
        output: the new file: .csv, .tsv, .jsonl or .parquet. Or its address, such as "s3://bucket/labels.parquet".
        text: the column with the texts, or two for pairs; by default those of the training data.
        dialogue, speaker: columns, for a classifier of dialogues. The rows of a dialogue must follow each other, in the
            order in which they were said.
        all_probabilities: also write the probability of each class, as "probability of NAME".
        columns, delimiter, quotes, encoding: as for `corpora.load`; by default those of the training data.
        query, table: of a database, the query that gives the rows, or the table or view that contains them.
        progress: called with the number of rows that are done.
        log: called with a sentence about how the file was read, where it is not as its suffix says.

    Returns:
        The output.

    Raises:
        ClassifierError: the output exists, has another format, was begun by another call, or cannot be written; or a
            column is missing.
        CorpusError: the file is missing, or cannot be read.
    """
    folder, suffix = Path(folder), format_of(Path(corpora.without_secrets(output)))
    file = local_output(output)
    known = remembered_options(folder)
    given: dict[str, Any] = {"columns": columns, "delimiter": delimiter, "quotes": quotes, "encoding": encoding}
    reading = {name: known.get(name) if x is None else x for name, x in given.items()}
    name, rows, run = open_source(source, reading, query, table)
    roles = columns_of(known, text=text, dialogue=dialogue, speaker=speaker)
    require_columns(name, rows.names, roles)
    if rows.notes:
        log(f"{name}: {'; '.join(rows.notes)}")
    model = load(folder, num_cores())
    if model.reads == "tags" and all_probabilities:
        raise ClassifierError("all_probabilities is for classes of texts; leave it out for entities")
    run |= {"model": model.digest, **reading, **roles, "all_probabilities": all_probabilities}
    parts, kept = (file.with_name(file.name + end) for end in (".parts", ".rows.parquet"))
    done = rows_done(parts, suffix, run)
    if "query" in run:
        rows = kept_rows(rows, kept, CHUNK_ROWS, log) if not done else corpora.stream(kept)
    for chunk in in_chunks(name, rows, CHUNK_ROWS, done, roles.get("dialogue")):
        answered = classify(model, chunk, roles, all_probabilities)
        changed_since_start(parts, run)  # the folder is made with the first part, so that an error before leaves none
        done += len(chunk.rows)
        write_part(answered, parts / f"{done:012}{suffix}", suffix)
        progress(done)
    if not done:
        raise ClassifierError(f"{name} has no rows; check that it was saved and copied completely")
    names = [*rows.names, *new_columns(model, all_probabilities)]
    join_parts(sorted(parts.glob(f"*{suffix}")), names, file, suffix)
    deliver(file, output)
    shutil.rmtree(parts)
    if "query" in run:
        kept.unlink()
    return output if corpora.is_address(output) else file


def open_source(
    source: str | Path, reading: Mapping[str, Any], query: str | None, table: str | None
) -> tuple[str, corpora.Stream, dict[str, Any]]:
    """The name of a source, its rows, and what tells a run on it from a run on another one. As `predict`."""
    if query is not None or table is not None:
        about = {"source": corpora.without_secrets(source), "query": query, "table": table}
        return table or "query", corpora.stream(source, query=query, table=table), about
    path = corpora.local_path(source)
    rows = corpora.stream(path, **{name: x for name, x in reading.items() if x is not None})
    return path.name, rows, {"source": str(path.resolve()), "bytes": path.stat().st_size}


def columns_of(known: Mapping[str, Any], text: str | Sequence[str] | None, **named: str | None) -> dict[str, str]:
    """Role -> column: what the user names, else what the training data had."""
    texts = text or known.get("text") or "text"
    found = dict(zip(("text", "text_pair"), [texts] if isinstance(texts, str) else texts, strict=False))
    found |= {role: column or known.get(role) for role, column in named.items()}
    return {role: column for role, column in found.items() if column}


def rows_done(parts: Path, suffix: str, run: Mapping[str, Any]) -> int:
    """How many rows are done by an earlier call that was stopped. Parts of another call raise ClassifierError.

    Args:
        parts: the folder of the parts; the name of a part is the number of rows that are done with it.
        suffix: of the parts.
        run: what must be the same to go on, as `changed_since_start` takes it.
    """
    done = max((int(part.stem) for part in parts.glob(f"*{suffix}")), default=0)
    if not done:
        (parts / "run.json").unlink(missing_ok=True)  # of a call that finished no part, so nothing is lost
    elif changed_since_start(parts, run):
        raise ClassifierError(f"{parts} is of another file, model or call; remove it, or choose another output")
    return done


def require_columns(file: str, names: Sequence[str], roles: Mapping[str, str]) -> None:
    """Raise ClassifierError if a file lacks a column, or has one of those that are to be written."""
    for role, name in roles.items():
        if name not in names:
            advice = f"pass {role.removesuffix('_pair')}=, and columns= if there is no header"
            raise ClassifierError(f"{file}: no column {name!r}; the columns are {listing(names)}; {advice}")
    if taken := [name for name in (*NEW_COLUMNS, "entities") if name in names]:
        raise ClassifierError(f"{file} has a column {taken[0]!r} already; rename it")


def new_columns(model: serving.Model, all_probabilities: bool) -> list[str]:
    """The names of the columns that are added."""
    if model.reads == "tags":
        return ["entities"]
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
    if given and model.mentions is not None:
        examples = model.encode(rows.texts)
        probabilities = model.probabilities(compute(model, examples), serving.num_rows(examples))
        for i, mentions in zip(given, model.mentions(rows.texts, probabilities), strict=True):
            answers[i] = [[as_record(cells[i], mention) for mention in mentions]]
    elif given:
        found = model.probabilities(logits_of(model, rows), len(given))
        for i, row in zip(given, np.round(found, 6).tolist(), strict=True):
            chosen = model.chosen(row)
            label = (
                ", ".join(model.labels[c] for c in chosen) if model.thresholds is not None else model.labels[chosen[0]]
            )
            answers[i] = [label, max(row), *(row if all_probabilities else [])]
    rows_with_answers = [[*row, *answer] for row, answer in zip(chunk.rows, answers, strict=True)]
    return Chunk([*chunk.names, *new_columns(model, all_probabilities)], rows_with_answers)


def as_record(text: str, mention: serving.Mention) -> dict[str, Any]:
    """Return an entity as the service does.

    >>> as_record("Ann left.", serving.Mention(0, 3, "PER", 0.9))
    {'start': 0, 'end': 3, 'label': 'PER', 'text': 'Ann', 'score': 0.9}
    """
    start, stop, label, score = mention
    return {"start": start, "end": stop, "label": label, "text": text[start:stop], "score": round(score, 6)}
