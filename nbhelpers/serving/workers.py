"""Several processes that serve the same address."""

import logging
import multiprocessing
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.supervisors.multiprocess import Multiprocess, Process

from .app import API_KEY, create_app
from .connections import Connection, backlog
from .limits import Limits
from .model import Model, probe
from .several import create_joint_app

log = logging.getLogger(__name__)

MAX_FAILED_STARTS = 3


def set_up_logging() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)


def not_started(error: Exception) -> str:
    """The sentence for what prevented the start."""
    log.debug("start failed", exc_info=error)
    return f"The service did not start: {(str(error).strip() or repr(error)).splitlines()[0]}"


def load_app(load: Callable[[], Model | Mapping[str, Model]], limits: Limits) -> Any:
    """The application, after its model, or its models by name, have been loaded and tried."""
    model = load()
    if isinstance(model, Mapping):
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            raise ValueError("several models have one worker; start a service for each model, or pass workers=1")
        for each in model.values():
            probe(each)
        return create_joint_app(model, limits, api_key=os.environ.get(API_KEY))
    probe(model)
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        check_same_model(model, Path(os.environ["PROMETHEUS_MULTIPROC_DIR"]))
    return create_app(model, limits, api_key=os.environ.get(API_KEY))


def check_same_model(model: Model, folder: Path) -> None:
    """Raise ValueError if an earlier worker of this service had other files: clients would get answers from two models.

    Args:
        folder: belongs to all workers of one service.
    """
    file = folder / "digest"
    try:
        with file.open("x") as new:
            new.write(model.digest)
        (folder / "reads").write_text(model.reads)  # for the supervisor, which has no model
    except FileExistsError:
        if file.read_text() != model.digest:
            raise ValueError("the model's files were changed; send the service SIGHUP, and it serves them") from None


def serve_with_workers(
    pickled_load: bytes, limits: Limits, workers: int, listener: socket.socket, announce: Callable[[str], None]
) -> None:
    """Serve with several processes until SIGTERM or Ctrl+C. A worker that dies is replaced.

    SIGHUP replaces all of them, one after the other and each as soon as its successor serves, so a changed model comes
    into service without a gap. Until the last one is replaced, both models answer, and each answer has its digest. If a
    successor does not start, the log says so, and the workers that are left go on.

    Args:
        pickled_load: a function without arguments that returns the model.
        limits: of each worker.
        workers: how many processes.
        listener: the socket that they share.
        announce: called with what the model reads, when the first worker serves.
    """
    factory = partial(worker_app, pickled_load, limits)
    config = uvicorn.Config(
        factory, factory=True, workers=workers, **uvicorn_options(limits), timeout_worker_healthcheck=60
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # where the workers count together
        try:
            supervisor = Workers(config, [listener], Path(folder), announce)
            supervisor.run()
        finally:
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]
    if supervisor.failed_starts >= MAX_FAILED_STARTS:
        sys.exit(1)


def uvicorn_options(limits: Limits) -> dict[str, Any]:
    """What one process and several workers have in common."""
    return {
        "http": Connection, "backlog": backlog(), "timeout_keep_alive": limits.head_timeout,
        "log_config": None, "access_log": False,  # the middleware logs, with the id and the time of each request
        "server_header": False, "proxy_headers": False, "ws": "none", "lifespan": "on",
        "timeout_graceful_shutdown": limits.shutdown_timeout,
    }  # fmt: skip


def worker_app(pickled_load: bytes, limits: Limits) -> Any:
    """The application of a worker, made in its process.

    `load` is unpickled here and not earlier, because that imports what it needs (torch, for seconds): here uvicorn's
    supervisor can already see that the worker is alive.
    """
    set_up_logging()
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None

    def end_with_supervisor() -> None:
        supervisor.join()
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=end_with_supervisor, daemon=True).start()
    if hasattr(signal, "SIGHUP"):  # for the supervisor, and a terminal that is closed sends it to all its processes
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    # While the model loads, a signal ends the process at once. uvicorn's handlers would wait for the model.
    handlers = [(number, signal.signal(number, signal.SIG_DFL)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        app = load_app(pickle.loads(pickled_load), limits)
    except Exception as error:
        # The exit code is 1. With uvicorn's STARTUP_FAILURE its supervisor would stop the healthy workers as well.
        sys.exit(not_started(error))
    for handler in handlers:
        signal.signal(*handler)
    return app


class Workers(Multiprocess):
    """uvicorn's supervisor, with four differences that users notice.

    `uvicorn.run(..., workers=2)` starts all workers at once: when the model cannot be loaded, each of them says so, and
    nothing says when the service is ready. Here the first worker starts alone, and then `announce` is called. A worker
    that dies while it starts is noticed at once, and not after the time that a model may take to load. And uvicorn
    leaves the socket open while it stops, so that a client that connects then waits in vain; here it is refused. A
    worker with other files than the first one serves only after SIGHUP.

    Args:
        config, sockets: as in uvicorn.
        folder: where the first worker writes which model it has, and what it reads.
        announce: called with what the model reads, when the first worker serves.
    """

    def __init__(
        self, config: uvicorn.Config, sockets: list[socket.socket], folder: Path, announce: Callable[[str], None]
    ) -> None:
        super().__init__(config, sockets)
        self.folder, self.announce = folder, announce
        self.failed_starts = 0  # since a worker was last seen to serve

    def init_processes(self) -> None:
        first = Process(self.config, self.sockets)
        self.processes.append(first)
        first.start()
        while not first.wait_until_ready(0.5):
            # The other signals add, remove and replace workers, which has to wait until one serves.
            self.signal_queue[:] = [number for number in self.signal_queue if number in (signal.SIGINT, signal.SIGTERM)]
            self.handle_signals()
            if self.should_exit.is_set():
                return
            if first.exitcode is not None:  # 1: the worker has said why
                sys.exit(1 if first.exitcode == 1 else f"The service did not start: exit code {first.exitcode}")
        self.announce((self.folder / "reads").read_text())
        for _ in range(self.processes_num - 1):
            self.processes.append(Process(self.config, self.sockets))
            self.processes[-1].start()

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:
            process.child_conn.close()  # the worker has its own; with this one open, its end would not be noticed
        self.failed_starts += sum(process.exitcode == 1 for process in self.processes)
        if self.failed_starts and any(process.is_ready(timeout=1) for process in self.processes):
            self.failed_starts = 0
        if self.failed_starts >= MAX_FAILED_STARTS:
            log.error("no worker serves, and %d could not start; the service ends", self.failed_starts)
            self.should_exit.set()
            return
        super().keep_subprocess_alive()

    def restart_all(self) -> None:
        digest, before = self.folder / "digest", list(self.processes)
        old = digest.read_text()
        digest.unlink()  # the first successor writes its own
        # At once, and not when all are replaced, which can take minutes
        handlers = [(number, signal.signal(number, self.stop)) for number in (signal.SIGINT, signal.SIGTERM)]
        try:
            super().restart_all()
        finally:
            for handler in handlers:
                signal.signal(*handler)
            if self.processes == before:  # none was replaced, so the old workers go on
                digest.write_text(old)

    def stop(self, *_: Any) -> None:
        self.should_exit.set()

    def terminate_all(self) -> None:
        for listener in self.sockets:
            listener.close()
        super().terminate_all()
