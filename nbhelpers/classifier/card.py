"""The model card, README.md: what the classifier does, how good it is, how it was trained, and how to use it."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path

import pandas as pd
from huggingface_hub import ModelCard, ModelCardData

from nbhelpers import environment

from .data import Task
from .report import Report, readable, readable_classes
from .settings import Settings
from .tags import TAG_WORDS

BODY = """# {name}

This classifier gives {item} {what}: {labels}.

## How good it is

On the {split} split of {rows:,} {unit}, in percent, with 95 % intervals:

{scores}

{verdict}

Each class:

{classes}

What the words mean:

{words}

{calibration}

The intervals cover the choice of the {unit}: with others from the same source, the scores would most likely be in
there. They do not cover the seed of the training, and say nothing about texts from another source.

{picture}`mistakes.csv` has the wrong answers of which the classifier was surest. Read them before you use it. A search
for the text finds its row in your file.

## How it was trained

{settings}

## How to use it

    nbhelpers predict FOLDER texts.csv -o labels.csv
    nbhelpers serve FOLDER

where FOLDER is the one with this file.

## Made with

{versions}, on {date}
"""

PICTURE = """![confusion matrix](confusion.png)

In the picture, a line is the label in the data (gold), and a column is what the classifier predicted.

"""
# term in the tables -> what it means
WORDS = {
    "F1": "precision and recall of a class in one number, their harmonic mean. Precision is the share of the "
    "predictions of this class that are right; recall is the share of its {unit} that are found",
    "support": "how many of the {unit} have this label",
    "weighted F1": "the mean of F1 over the classes, in which a class counts by its support",
    "macro F1": "the mean of F1 over the classes, in which each class counts the same",
    "micro F1": "F1 of all labels counted together",
    "accuracy": "the share of right predictions",
    "all labels right": "the share of {unit} of which every label is right",
    "mean average precision": "the mean precision over all thresholds, averaged over the classes",
    "TF-IDF": "a simple classifier for comparison: logistic regression on the words, in which rare words count more",
    "most frequent class": "what is reached without reading: every prediction is the most frequent class",
}


def write_card(folder: Path, report: Report, task: Task, settings: Settings) -> None:
    """Write README.md into a folder."""
    name = "A classifier of dialogue turns" if task.is_dialogue else "A text classifier"
    item, what, unit = "a text", "one of these labels", "texts"
    if task.tags:
        name, item, what, unit = "A tagger of words", "each word of a text", "one of these tags", "sentences"
    elif task.is_dialogue:
        item, unit = "each turn of a dialogue", "turns"
    elif task.several:
        what = "any number of these labels"
    train = task.splits["train"]
    used = {name: x for name, x in dataclasses.asdict(settings).items() if x not in (None, 0, 0.0, False, "none")}
    used |= {"training rows": f"{len(train.texts):,}", "dev rows": f"{len(task.splits['dev'].texts):,}"}
    body = BODY.format(
        name=name,
        item=item,
        what=what,
        labels=", ".join(task.names),
        split=report.split,
        rows=report.num_rows,
        unit=unit,
        scores=table(readable(report.scores)),
        verdict=report.verdict,
        words=words(report, unit),
        calibration=report.calibration,
        picture="" if report.confusion is None else PICTURE,
        classes=table(readable_classes(report.per_class)),
        settings="\n".join(f"- {name}: {x}" for name, x in used.items()),
        versions=", ".join(f"{package} {version}" for package, version in environment.versions().items()),
        date=datetime.date.today().isoformat(),
    )
    pipeline = "token-classification" if task.tags else "text-classification"
    data = ModelCardData(library_name="transformers", pipeline_tag=pipeline)
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}").save(folder / "README.md")


def words(report: Report, unit: str) -> str:
    """The terms of a report's tables, as a list in Markdown."""
    terms = {"F1", *report.scores.columns, *report.scores.index, *report.per_class.columns}
    meanings = WORDS | TAG_WORDS if unit == "sentences" else WORDS
    return "\n".join(f"- {term}: {meaning.format(unit=unit)}" for term, meaning in meanings.items() if term in terms)


def table(frame: pd.DataFrame) -> str:
    """Return a table in Markdown.

    >>> print(table(pd.DataFrame({"F1": [0.5]}, index=["joy"])))
    | | F1 |
    |---|---:|
    | joy | 0.5 |
    """
    lines = [f"| | {' | '.join(map(str, frame.columns))} |", f"|---|{'---:|' * len(frame.columns)}"]
    lines += [
        f"| {name} | {' | '.join(map(str, row))} |" for name, row in zip(frame.index, frame.to_numpy(), strict=True)
    ]
    return "\n".join(lines)
