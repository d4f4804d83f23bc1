"""Run a lesson in a kernel of its own with papermill, and tell how it went."""

from __future__ import annotations

import contextlib
import os
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
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from papermill.execute import ERROR_MARKER_TAG
from traitlets.config import Config

from nbhelpers.course.headline import headlines
from nbhelpers.course.lessons import Lesson

ANSI = re.compile(r"\x1b\[[0-9;]*m")  # the colors of a traceback
MAX_SOCKET_PATH = 96  # bytes; the limit of macOS is 103, and Jupyter adds a hyphen and a number


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


class OwnKernel(KernelSpecManager):
    """Always starts the Python that runs this code. A kernel "python3" that is installed can be of another Python."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(**get_kernel_dict())


class Client(PapermillNotebookClient):
    """papermill's client, which also calls a function before each cell and knows the processes of its kernel."""

    def __init__(self, *args: Any, on_cell: Callable[[int, int], None], clients: list[Client], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_cell = on_cell
        self.memory: KernelMemory | None = None
        clients.append(self)

    def create_kernel_manager(self) -> Any:
        manager = super().create_kernel_manager()
        manager.kernel_spec_manager = OwnKernel()
        return manager

    def papermill_execute_cells(self) -> None:
        self.memory = KernelMemory(self.km.provisioner.process.pid)
        self.memory.start()
        try:
            super().papermill_execute_cells()
        finally:
            self.memory.stopped.set()
            self.memory.join()
            self.memory.sample()  # a short lesson may have ended between two samples

    def execute_cell(self, cell: Any, cell_index: int, *args: Any, **kwargs: Any) -> Any:
        self.on_cell(cell_index, len(self.nb.cells))
        return super().execute_cell(cell, cell_index, *args, **kwargs)

    def processes(self) -> set[psutil.Process]:
        """The kernel, also one that is still starting, and all that is known to have been started by it."""
        known = set(self.memory.seen) if self.memory else set()
        # the provisioner forgets its process once this has ended
        process = self.km and self.km.provisioner and self.km.provisioner.process
        with contextlib.suppress(psutil.Error):
            known |= {psutil.Process(process.pid)} if process and process.poll() is None else set()
        for each in tuple(known):
            with contextlib.suppress(psutil.Error):
                known |= set(each.children(recursive=True))
        return known


class Engine(NBClientEngine):
    """papermill's engine with that client."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        # papermill passes on every option it got; nbclient refuses those it does not know
        wanted = ("on_cell", "clients", "resources", "cwd")
        kept = {name: value for name, value in options.items() if name in wanted}
        kept |= {"startup_timeout": 120, "iopub_timeout": 60, "timeout": None, "extra_arguments": ["--log-level=50"]}
        kept |= {"coalesce_streams": True}  # a line of text may arrive in two parts
        return Client(nb_man, kernel_name=kernel_name, config=Config(transport(options["sockets"])), **kept).execute()


def transport(sockets: str) -> dict[str, Any]:
    """The traitlets configuration of how to talk to a kernel.

    Through sockets in a private folder, no other user of the machine can send code to the kernel. Where they are not
    possible, Jupyter takes TCP, and the kernel only accepts messages that are signed with its key.

    Args:
        sockets: the folder.

    >>> transport("/short")["KernelManager"]["transport"], transport("/long" * 30)
    ('ipc', {})
    """
    path = f"{sockets}/kernel"
    if psutil.WINDOWS or len(os.fsencode(path)) > MAX_SOCKET_PATH:
        return {}
    return {"KernelManager": {"transport": "ipc", "ip": path}}


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
