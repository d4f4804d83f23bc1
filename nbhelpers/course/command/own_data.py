"""What `nbhelpers train` and `nbhelpers evaluate` print."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from nbhelpers.classifier.report import Report, readable


def print_report(report: Report, screen: Console) -> None:
    """Print the scores, those of each class, and the first mistakes."""
    print_tables(report.split, report.num_rows, report.scores, report.per_class, screen)


def print_saved_report(folder: Path, screen: Console) -> None:
    """Print the scores that `classifier.train` wrote into a folder."""
    content = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    scores = pd.DataFrame(content["scores"]).T
    print_tables(content["split"], content["rows"], scores, pd.DataFrame(content["per class"]).T, screen)
    if content["verdict"]:
        screen.print(content["verdict"], soft_wrap=True, highlight=False)


def print_tables(split: str, num_rows: int, scores: pd.DataFrame, per_class: pd.DataFrame, screen: Console) -> None:
    """Print a table of the models and one of the classes, in percent."""
    models = Table(title=f"{split} split, {num_rows:,} rows, in percent (95 % interval)")
    shown = readable(scores)
    for name in ("", *shown.columns):
        models.add_column(name, justify="right" if name else "left")
    for model, cells in zip(shown.index, shown.to_numpy().tolist(), strict=True):
        models.add_row(str(model), *cells)
    screen.print(models)
    classes = Table()
    for name in ("class", *per_class.columns):
        classes.add_column(name, justify="right" if name != "class" else "left")
    for label, row in per_class.iterrows():
        classes.add_row(str(label), *(f"{x:.0f}" if key == "support" else f"{100 * x:.1f}" for key, x in row.items()))
    screen.print(classes)


def print_next_commands(folder: Path, screen: Console) -> None:
    """Print what to look at, and what to type next."""
    screen.print(f"Written: {folder}  (README.md, confusion.png, mistakes.csv)", soft_wrap=True)
    for command in (f"predict {folder} texts.csv -o labels.csv", f"serve {folder}"):
        screen.print(f"  nbhelpers {command}", soft_wrap=True, highlight=False)
