"""What `nbhelpers train` and `nbhelpers evaluate` print."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from nbhelpers.classifier.report import Report, readable, readable_classes


def print_report(report: Report, screen: Console) -> None:
    """Print the scores, those of each class, and the verdict."""
    print_tables(report.split, report.num_rows, report.scores, report.per_class, report.verdict, screen)


def print_saved_report(folder: Path, screen: Console) -> None:
    """Print the scores that `classifier.train` wrote into a folder."""
    content = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    scores = pd.DataFrame(content["scores"]).T
    per_class = pd.DataFrame(content["per class"]).T
    print_tables(content["split"], content["rows"], scores, per_class, content["verdict"], screen)


def print_tables(
    split: str, num_rows: int, scores: pd.DataFrame, per_class: pd.DataFrame, verdict: str, screen: Console
) -> None:
    """Print a table of the models and one of the classes, in percent, and the verdict.

    Args:
        split: its name, or that of a single file.
        num_rows, scores, per_class, verdict: as in `Report`.
        screen: where to print.
    """
    rows = f"{split} split" if split in ("train", "dev", "test") else split
    screen.print(table(readable(scores), "", f"{rows}, {num_rows:,} rows, in percent (95 % interval)"))
    screen.print(table(readable_classes(per_class), "class"))
    if verdict:
        screen.print(verdict, soft_wrap=True, highlight=False)


def table(frame: pd.DataFrame, first: str, title: str | None = None) -> Table:
    """A table of texts for the screen; `first` is the name of the column with the frame's index."""
    shown = Table(first, title=title)
    for name in frame.columns:
        shown.add_column(name, justify="right")
    for name, cells in zip(frame.index, frame.to_numpy().tolist(), strict=True):
        shown.add_row(str(name), *cells)
    return shown


def print_next_commands(folder: Path, screen: Console) -> None:
    """Print what to look at, and what to type next."""
    names = [name for name in ("README.md", "confusion.png", "mistakes.csv") if (folder / name).is_file()]
    screen.print(f"Written: {folder}  ({', '.join(names)})", soft_wrap=True)
    for command in (f"predict {folder} texts.csv -o labels.csv", f"serve {folder}"):
        screen.print(f"  nbhelpers {command}", soft_wrap=True, highlight=False)
