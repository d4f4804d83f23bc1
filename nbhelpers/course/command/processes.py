"""`nbhelpers train --processes 2`: the same command, run in several processes that train together."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from nbhelpers.classifier import processes
from nbhelpers.classifier.errors import ClassifierError
from nbhelpers.course.errors import CourseError, on_interrupt


def train_in_processes(count: int, checkpoints: Path) -> None:
    """Run this command again in several processes, which train together."""
    words = iter(sys.argv[1:])
    rest = [word for word in words if not (word.startswith("--processes") and ("=" in word or next(words)))]
    advice = lambda: "; the same command with --resume goes on" if checkpoints.is_dir() else ""  # noqa: E731
    with on_interrupt(lambda: f"stopped{advice()}"):
        try:
            code = processes.run([sys.executable, "-m", "nbhelpers.course.cli", *rest], count)
        except ClassifierError as error:
            raise CourseError(f"{error}{advice()}") from error
    if code == 2:
        raise typer.Exit(2)  # the first process has said why
    if code:
        raise CourseError(f"the first of {count} processes ended with code {code}{advice()}")
