"""Run a lesson in a kernel of its own with papermill, and tell how it went."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
import psutil
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import ERROR_MARKER_TAG
from traitlets.config import Config

from nbhelpers.course.headline import headlines
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


class KernelMemory(threading.Thread):
    """Samples the resident memory of a process and its children five times a second, and keeps the peak."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.stopped, self.peak_bytes = psutil.Process(pid), threading.Event(), 0
        self.seen = {self.process}  # all processes of the kernel, also those that it has lost track of

    def run(self) -> None:
        while not self.stopped.wait(0.2):
            self.sample()

    def sample(self) -> None:
        """Look at all processes once."""
        with contextlib.suppress(psutil.Error):
            self.seen |= set(self.process.children(recursive=True))
        self.peak_bytes = max(self.peak_bytes, sum(map(resident, self.seen)))


def resident(process: psutil.Process) -> int:
    """Resident memory of a process in bytes; 0 when it has ended."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


class Client(PapermillNotebookClient):
    """papermill's client, which also calls a function before each cell and measures the memory of its kernel."""

    def __init__(
        self, *args: Any, on_cell: Callable[[int, int], None], watch: list[KernelMemory], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.on_cell, self.watch = on_cell, watch

    def papermill_execute_cells(self) -> None:
        memory = KernelMemory(self.km.provisioner.process.pid)
        memory.start()
        self.watch.append(memory)
        try:
            super().papermill_execute_cells()
        finally:
            memory.stopped.set()
            memory.join()
            memory.sample()  # a short lesson may have ended between two samples

    def execute_cell(self, cell: Any, cell_index: int, *args: Any, **kwargs: Any) -> Any:
        self.on_cell(cell_index, len(self.nb.cells))
        return super().execute_cell(cell, cell_index, *args, **kwargs)


class Engine(NBClientEngine):
    """papermill's engine with that client."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        # papermill passes on every option it got; nbclient refuses those it does not know
        wanted = ("on_cell", "watch", "resources", "cwd")
        kept = {name: value for name, value in options.items() if name in wanted}
        kept |= {"startup_timeout": 120, "iopub_timeout": 60, "timeout": None, "extra_arguments": ["--log-level=50"]}
        # Through sockets in a private folder, no other user of the machine can send code to the kernel.
        ipc = {"transport": "ipc", "ip": f"{options['sockets']}/kernel"}
        config = Config({} if psutil.WINDOWS else {"KernelManager": ipc})  # Windows has no such sockets and uses TCP
        return Client(nb_man, kernel_name=kernel_name, config=config, **kept).execute()


papermill_engines.register("nbhelpers", Engine)


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
    start, watch, failure = time.perf_counter(), list[KernelMemory](), None
    output = folder / lesson.path.name
    before = set(psutil.Process().children(recursive=True))
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
            watch=watch,
            sockets=sockets,
        )
    except Exception as error:
        failure = describe(error, output)
    finally:
        started = set(psutil.Process().children(recursive=True)) | (watch[0].seen if watch else set())
        end_processes(started - before)
        # Only after the kernel has ended: one that is still starting would write a traceback to the screen.
        shutil.rmtree(sockets, ignore_errors=True)
    peak = watch[0].peak_bytes / 2**30 if watch else 0.0
    return Result(lesson.path.stem, (time.perf_counter() - start) / 60, peak, headlines(output), failure)


def describe(error: Exception, executed: Path) -> Failure:
    """Where and why a lesson failed.

    Args:
        error: what papermill raised.
        executed: the executed copy, as far as it was written.
    """
    number, source = last_started(executed)
    if isinstance(error, PapermillExecutionError):
        text = ANSI.sub("", "\n".join(error.traceback)).strip() or f"{error.ename}: {error.evalue}"
        return Failure(number, error.source, "\n".join(text.splitlines()[-6:]))
    reason = "often the machine ran out of memory" if isinstance(error, DeadKernelError) else type(error).__name__
    return Failure(number, source, f"{error} ({reason})")


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


def end_processes(processes: set[psutil.Process]) -> None:
    """Ask these processes to end, and kill those that have not ended after three seconds."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(list(processes), timeout=3)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
