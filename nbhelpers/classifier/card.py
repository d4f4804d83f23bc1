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

BODY = """# {name}

This classifier gives {item} {what}: {labels}.

## How good it is

On the {split} split of {rows:,} {unit}, in percent, with 95 % intervals:

{scores}

{verdict}

Each class:

{classes}

The intervals cover the choice of the {unit}: with others from the same source, the scores would most likely be in
there. They do not cover the seed of the training, and say nothing about texts from another source.

![confusion matrix](confusion.png)

`mistakes.csv` has the wrong answers of which the classifier was surest. Read them before you use it.

## How it was trained

{settings}

## How to use it

    nbhelpers predict FOLDER texts.csv -o labels.csv
    nbhelpers serve FOLDER

where FOLDER is the one with this file.

## Made with

{versions}, on {date}
"""


def write_card(folder: Path, report: Report, task: Task, settings: Settings) -> None:
    """Write README.md into a folder."""
    name = "A classifier of dialogue turns" if task.is_dialogue else "A text classifier"
    train = task.splits["train"]
    used = {name: x for name, x in dataclasses.asdict(settings).items() if x not in (None, 0, 0.0, False, "none")}
    used |= {"training rows": f"{len(train.texts):,}", "dev rows": f"{len(task.splits['dev'].texts):,}"}
    body = BODY.format(
        name=name,
        item="each turn of a dialogue" if task.is_dialogue else "a text",
        what="any number of these labels" if task.several else "one of these labels",
        labels=", ".join(task.names),
        split=report.split,
        rows=report.num_rows,
        unit="turns" if task.is_dialogue else "texts",
        scores=table(readable(report.scores)),
        verdict=report.verdict,
        classes=table(readable_classes(report.per_class)),
        settings="\n".join(f"- {name}: {x}" for name, x in used.items()),
        versions=", ".join(f"{package} {version}" for package, version in environment.versions().items()),
        date=datetime.date.today().isoformat(),
    )
    data = ModelCardData(library_name="transformers", pipeline_tag="text-classification")
    ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}").save(folder / "README.md")


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
