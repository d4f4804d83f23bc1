"""Progress bars of the subcommands for data of one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from nbhelpers.course import paths
from nbhelpers.course.errors import on_interrupt


def fetch(screen: Console, *given: str | None) -> None:
    """Copy the files that are given by address into the cache, with a progress bar, before they are read from there.

    Args:
        screen: where to print.
        given: what a user wrote. Paths and names are left alone, and None was left out.
    """
    for value in given:
        if value and paths.is_address(value):
            fetch_one(screen, value)


def fetch_one(screen: Console, address: str) -> None:
    """Copy one file. As `fetch`."""
    from nbhelpers import corpora  # takes seconds, and most files are not at an address

    columns = (TextColumn("copying"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    going_on = on_interrupt(lambda: "stopped; the same command goes on")
    with going_on, Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task("", total=None)
        corpora.local_path(address, lambda done, size: bar.update(task, completed=done, total=size))


class TrainingProgress:
    """A progress bar with the time left and the last dev score, to be used in a `with` statement.

    Args:
        screen: where to print.
    """

    def __init__(self, screen: Console) -> None:
        columns = (TextColumn("training"), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
        self.bar = Progress(*columns, console=screen, transient=True)

    def __enter__(self) -> Callable[[Any], None]:
        self.bar.start()
        task = self.bar.add_task("", total=None)

        def update(step: Any) -> None:
            text = f"update {step.update:,} of {step.num_updates:,}, epoch {step.epoch} of {step.num_epochs}"
            text += "" if step.score is None else f", dev {step.score_name} {100 * step.score:.1f}"
            self.bar.update(task, completed=step.update, total=step.num_updates, description=text)

        return update

    def __exit__(self, *error: object) -> None:
        self.bar.stop()
