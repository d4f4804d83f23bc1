"""Make an index of the texts of a file, load it again, and find out how well it answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from nbhelpers import corpora, encoders, environment, retrieval
from nbhelpers.course.errors import CourseError

FACTS = "search.json"
# E5 was trained with a word before each text that says what it is
PREFIXES = {"embedded-multilingual": ("query: ", "passage: ")}


@dataclass(frozen=True)
class Searcher:
    """An index, and what belongs to it: the encoder's name, and the score from which on a text is shown."""

    index: retrieval.Index
    encoder: str
    threshold: float


def make_encode(encoder: str) -> tuple[Any, Any]:
    """Two functions from texts to vectors: for what is searched for, and for what is found."""
    tokenizer, model = encoders.load(encoder)
    model = model.base_model.to(environment.best_device())
    make = partial(retrieval.encode, tokenizer=tokenizer, encoder=model)
    query, passage = PREFIXES.get(encoder, ("", ""))
    return partial(make, prefix=query), partial(make, prefix=passage)


def index_file(source: Path, encoder: str, text: Sequence[str], name: str | None, kind: str) -> Searcher:
    """The index of a file.

    Args:
        source: csv, tsv, jsonl, parquet or another table that `corpora.stream` reads.
        encoder: what `encoders.load` knows.
        text: the columns whose texts are joined to one, such as a title and an answer.
        name: the column with ids; None takes "id" if there is one, else the number of the row.
        kind: how the index searches, as in `retrieval.Index`.

    Raises:
        CourseError: a column is missing, or a text is.
    """
    table = corpora.stream(source)
    for column in (*text, *([name] if name else [])):
        if column not in table.names:
            there = ", ".join(table.names)
            raise CourseError(f"{source.name} has no column {column!r}, only {there}; pass --text or --id")
    rows = list(table.rows)
    columns = [table.names.index(column) for column in text]
    texts = [" ".join(str(row[i] or "").strip() for i in columns).strip() for row in rows]
    name = name or ("id" if "id" in table.names else None)
    ids = [str(row[table.names.index(name)]) for row in rows] if name else [str(i) for i in range(1, len(rows) + 1)]
    encode_query, encode = make_encode(encoder)
    index = retrieval.Index(encode, encode_query=encode_query, kind=kind)
    try:
        index.add(ids, texts)
    except ValueError as error:
        raise CourseError(f"{source.name}: {error}") from error
    if not len(index):
        raise CourseError(f"{source.name} has no rows; check that it was saved and copied completely")
    return Searcher(index, encoder, -1.0)


def save(searcher: Searcher, folder: Path) -> None:
    """Write an index with its facts into a folder."""
    searcher.index.save(folder)
    facts = {"encoder": searcher.encoder, "threshold": searcher.threshold}
    (folder / FACTS).write_text(json.dumps(facts) + "\n", encoding="utf-8")


def load(folder: Path) -> Searcher:
    """Load what `save` wrote.

    Raises:
        CourseError: the folder is no index of this command, or its encoder is another one now.
    """
    try:
        facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        encode_query, encode = make_encode(facts["encoder"])
        index = retrieval.Index.load(folder, encode, encode_query=encode_query)
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, encoders.EncoderError):
            raise
        raise CourseError(f"{folder} is no index that can be loaded ({error}); make it again from its file") from error
    return Searcher(index, facts["encoder"], facts["threshold"])


def evaluate(searcher: Searcher, source: Path) -> tuple[pd.DataFrame, float]:
    """How well an index answers questions whose answers are known, and the best threshold for them.

    Args:
        searcher: the index.
        source: a table with the columns text and answer: the id of the text that answers it, or nothing.

    Returns:
        A row per score with its 95 % interval over the questions that have an answer, and the threshold from which on a
        text should be shown.

    Raises:
        CourseError: a column is missing, or an answer is not in the index.
    """
    table = corpora.stream(source)
    if missing := [column for column in ("text", "answer") if column not in table.names]:
        raise CourseError(f"{source.name} has no column {missing[0]!r}; it needs text and answer, an id of the index")
    rows = [{name: str(cell or "") for name, cell in zip(table.names, row, strict=True)} for row in table.rows]
    if unknown := {row["answer"] for row in rows} - {"", *searcher.index.ids}:
        raise CourseError(f"{source.name} has the answer {min(unknown)!r}, which is not in the index; add its text")
    hits = searcher.index.search([row["text"] for row in rows], k=10)
    is_right = [found[0].id == row["answer"] for found, row in zip(hits, rows, strict=True)]
    threshold = retrieval.choose_threshold([found[0].score for found in hits], is_right)
    number = {name: i for i, name in enumerate(searcher.index.ids)}
    asked = [(found, row) for found, row in zip(hits, rows, strict=True) if row["answer"]]
    if not asked:
        raise CourseError(f"{source.name} has no question with an answer; add some")
    rankings = [[number[hit.id] for hit in found] for found, _ in asked]
    scores = retrieval.score_rankings(rankings, [{number[row["answer"]]} for _, row in asked], k=10)
    scores["first is right"] = [found[0].id == row["answer"] for found, row in asked]
    names = ("first is right", "hit@10", "MRR@10")
    intervals = [retrieval.mean_interval(scores[name].to_numpy(dtype=float)) for name in names]
    return pd.DataFrame(intervals, index=list(names), columns=["score", "from", "to"]), threshold
