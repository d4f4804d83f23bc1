"""A kernel that papermill executes a lesson in: which Python it is, its processes, and how to talk to it."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from queue import Empty
from typing import Any

import psutil
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_core.utils import run_sync
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from traitlets.config import Config

MAX_SOCKET_PATH = 96  # bytes; the limit of macOS is 103, and Jupyter adds a hyphen and a number


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

    async def async_start_new_kernel_client(self) -> Any:
        kernel_client = await super().async_start_new_kernel_client()
        ask_again(kernel_client.shell_channel)
        return kernel_client

    start_new_kernel_client = run_sync(async_start_new_kernel_client)

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


def ask_again(channel: Any) -> None:
    """Let a channel that waits for a message look five times a second whether there is one.

    A cell with widgets makes nbclient send a message while it waits for the cell's end. Sending uses up the socket's
    signal that something has arrived, and then the end would never be noticed (jupyter/nbclient issue 312).

    Args:
        channel: an AsyncZMQSocketChannel of jupyter_client; its `get_msg` is replaced.
    """
    get_msg = channel.get_msg

    async def get_msg_in_turns(timeout: float | None = None) -> Any:
        while timeout is None:
            with contextlib.suppress(Empty):
                return await get_msg(timeout=0.2)
        return await get_msg(timeout=timeout)

    channel.get_msg = get_msg_in_turns


class Engine(NBClientEngine):
    """papermill's engine with that client."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: Any, kernel_name: str, **options: Any) -> Any:
        # papermill passes on every option it got; nbclient refuses those it does not know
        wanted = ("on_cell", "clients", "resources", "cwd")
        kept = {name: value for name, value in options.items() if name in wanted}
        kept |= {"startup_timeout": 120, "iopub_timeout": 60, "timeout": None, "extra_arguments": ["--log-level=50"]}
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


def end_processes(processes: set[psutil.Process]) -> None:
    """Ask these processes to end, and kill those that have not ended after three seconds."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(list(processes), timeout=3)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


papermill_engines.register("nbhelpers", Engine)
