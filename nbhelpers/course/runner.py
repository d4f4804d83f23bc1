"""Run a lesson in a kernel of its own with papermill, and tell how it went."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from papermill.execute import ERROR_MARKER_TAG

from nbhelpers.course import paths
from nbhelpers.course.headline import headlines
from nbhelpers.course.kernel import Client, end_processes
from nbhelpers.course.lessons import Lesson

ANSI = re.compile(r"\x1b\[[0-9;]*m")  # the colors of a traceback


@dataclass
class Failure:
    """Where a lesson failed: cell number (the first cell of the file is 1), its source, and the end of the error."""

    cell: int
    source: str
    error: str


@dataclass
class Result:
    """How a lesson went.

    `headline` holds the numbers that the lesson announced. `peak_gib` is the peak resident memory of its kernel,
    together with all child processes. `failure` is None when the lesson passed.
    """

    lesson: str
    minutes: float
    peak_gib: float
    headline: dict[str, float]
    failure: Failure | None


def run_lesson(
    lesson: Lesson, parameters: Mapping[str, Any], folder: Path, on_cell: Callable[[int, int], None] = lambda i, n: None
) -> Result:
    """Execute a lesson, and write the executed copy.

    An error in a cell, or the death of the kernel, ends the lesson and becomes the `failure` of the result. At a
    KeyboardInterrupt the kernel is ended, and the interrupt goes on to the caller.

    Args:
        lesson: the lesson.
        parameters: what to set; the others keep the lesson's defaults.
        folder: where it runs, and where the executed copy goes.
        on_cell: called as on_cell(index, number_of_cells) before each cell.
    """
    start, clients, failure = time.perf_counter(), list[Client](), None
    output = folder / lesson.path.name
    sockets = tempfile.mkdtemp()
    try:
        papermill.execute_notebook(
            str(lesson.path),
            str(output),
            dict(parameters),
            engine_name="nbhelpers",
            cwd=str(folder),
            kernel_name="python3",
            language="python",
            progress_bar=False,
            on_cell=on_cell,
            clients=clients,
            sockets=sockets,
        )
    except Exception as error:
        failure = describe(error, output)
    finally:
        # Only what belongs to this kernel: other threads of the caller may have started processes meanwhile.
        end_processes({process for client in clients for process in client.processes()})
        # Only after the kernel has ended: one that is still starting would write a traceback to the screen.
        shutil.rmtree(sockets, ignore_errors=True)
    peak = max((client.memory.peak_bytes / 2**30 for client in clients if client.memory), default=0.0)
    return Result(lesson.path.stem, (time.perf_counter() - start) / 60, peak, headlines(output), failure)


def describe(error: Exception, executed: Path) -> Failure:
    """Where and why a lesson failed.

    Args:
        error: what papermill raised.
        executed: the executed copy, as far as it was written.
    """
    number, source = last_started(executed)
    if isinstance(error, PapermillExecutionError):
        if is_own(error.ename):
            return Failure(number, error.source, error.evalue)
        text = ANSI.sub("", "\n".join(error.traceback)).strip() or f"{error.ename}: {error.evalue}"
        return Failure(number, error.source, "\n".join(text.splitlines()[-6:]))
    reason = "often the machine ran out of memory" if isinstance(error, DeadKernelError) else type(error).__name__
    return Failure(number, source, f"{error} ({reason})")


def is_own(name: str) -> bool:
    """Whether a class of errors is of this package, so that its message is a sentence for the user.

    >>> is_own("CorpusError"), is_own("ValueError")
    (True, False)
    """
    return any(f"class {name}(" in path.read_text(encoding="utf-8") for path in paths.PACKAGE.rglob("*.py"))


def last_started(executed: Path) -> tuple[int, str]:
    """Number (in the lesson's own file) and source of the cell that ran last, from the executed copy."""
    cells = nbformat.read(executed, as_version=4).cells if executed.exists() else []
    # papermill adds a cell with the parameters, and one with the error
    added = {"injected-parameters", ERROR_MARKER_TAG}
    own = [cell for cell in cells if not added & set(cell.metadata.get("tags", []))]
    for number, cell in reversed(list(enumerate(own, start=1))):
        if cell.metadata.get("papermill", {}).get("start_time"):
            return number, cell.source
    return 0, "(the kernel did not start)"
