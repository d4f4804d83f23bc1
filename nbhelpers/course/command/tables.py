"""The tables that the command `nbhelpers` prints, on a terminal from `screen.make_screen`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from nbhelpers.course.lessons import Lesson

EXPORT_FORMATS = ("{:.1f}", "{:.2f}", "{:.0f}", "{:.1%}", "{:.2g}", "{:.4f}")  # of the columns of `export.compare`


def print_lesson_results(done: Sequence[Any], screen: Console) -> None:
    """How each lesson went, with the source and the error of each failed cell before the table.

    Args:
        done: `runner.Result`s.
        screen: where to print.
    """
    table = Table("lesson", "result", "minutes", "peak memory", "headline")
    for result in done:
        if result.failure:
            screen.rule(Text(f"{result.lesson}, cell {result.failure.cell}", style="red"))
            screen.print(result.failure.source, highlight=False)
            screen.rule("error")
            screen.print(result.failure.error, highlight=False)
        headline = ", ".join(f"{name} {value:.4g}" for name, value in result.headline.items())
        outcome = Text("failed", style="red") if result.failure else Text("passed", style="green")
        table.add_row(result.lesson, outcome, f"{result.minutes:.1f}", f"{result.peak_gib:.1f} GiB", headline or "-")
    table.add_section()
    minutes, memory = sum(result.minutes for result in done), max(result.peak_gib for result in done)
    table.add_row("course", "", f"{minutes:.1f}", f"{memory:.1f} GiB", "")
    screen.print(table)


def print_lessons(lessons: Sequence[Lesson], profiles: Sequence[str], screen: Console) -> None:
    """The lessons and their parameters, and the names of the profiles."""
    table = Table("", "lesson", "parameters and their defaults")
    for lesson in lessons:
        parameters = ", ".join(f"{name}={value!r}" for name, value in lesson.parameters.items())
        table.add_row(lesson.number, lesson.title, parameters)
    screen.print(table)
    screen.print(f"Profiles: {', '.join(profiles)}. Run some: nbhelpers run 01 03 --profile smoke")


def print_machine(
    facts: Mapping[str, Any], profiles: Sequence[Sequence[str]], advice: Sequence[str], screen: Console
) -> None:
    """What `machine.facts`, `machine.profile_rows` and `machine.missing` tell."""
    table = Table("this machine", "")
    for name, value in facts.items():
        table.add_row(name, str(value))
    screen.print(table)
    table = Table("profile", "data", "encoder", "device and precision", "ready?")
    for row in profiles:
        table.add_row(*row)
    screen.print(table)
    for sentence in advice:
        screen.print(f"- {sentence}", soft_wrap=True)


def print_summary(summary: pd.DataFrame, screen: Console) -> None:
    """A results table. What would not fit into 80 columns comes below it, a line per row.

    Args:
        summary: from `results.summary`.
        screen: where to print.
    """
    from nbhelpers.course import results

    lines = summary.to_dict("records")
    known = [line for line in lines if line["source"] != results.NOT_MEASURED]
    titles = summary.attrs.get("scores") or list(results.SCORES.values())
    numbers = ["seeds", *titles, "seconds"]
    columns = [Column(name, justify="right", no_wrap=True) for name in numbers]
    table = Table(Column("row", min_width=18), *columns, box=box.SIMPLE)
    for line in known:
        table.add_row(line["row"], *(str(line.get(name, "")) for name in numbers))
    screen.print(table)
    compared = [line for line in known if line.get("against")]
    published = [line for line in known if line["source"] != results.MEASURED]
    lists = {
        f"{titles[0][0].upper()}{titles[0][1:]}, 95 % interval": [
            *(f"{x['row']}: {x['difference']}, against {x['against']}" for x in compared),
            *summary.attrs.get("other tables", []),
        ],
        "Published by others": [f"{x['row']}: {x['source']}" for x in published],
        "Not measured yet": [line["row"] for line in lines if line not in known],
    }
    for title, items in lists.items():
        if items:
            screen.print("\n  ".join([f"{title}:", *items]), highlight=False)
    if compared or summary.attrs.get("other tables"):
        screen.print(summary.attrs.get("covers", results.COVERS), highlight=False)


def print_export(comparison: pd.DataFrame, screen: Console) -> None:
    """What each step of an export costs and gains.

    Args:
        comparison: from `export.compare`, with the weighted F1 as score.
        screen: where to print.
    """
    comparison = comparison.rename(columns={"score": "weighted F1"})
    table = Table("step", *comparison.columns)
    for name, row in zip(comparison.index, comparison.itertuples(index=False), strict=True):
        table.add_row(name, *(text.format(value) for text, value in zip(EXPORT_FORMATS, row, strict=True)))
    screen.print(table)
