"""Run a program in several processes that train one model together, and tell which of them this one is."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import IO

from .errors import ClassifierError

REFUSED = 2  # the exit code of the command after a sentence that says what is wrong


def number() -> int:
    """How many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_first() -> bool:
    """Whether this process is the one that writes files and prints: the only one, or the first of several."""
    return int(os.environ.get("RANK", "0")) == 0


def leave() -> None:
    """End the connections to the other processes. Torch 2.13 can abort a process that ends with open ones.

    See https://github.com/pytorch/pytorch/issues/190489.
    """
    if number() > 1:
        import torch

        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def run(command: Sequence[str], count: int, log: IO[str] | None = None) -> int:
    """Run a program in several processes on this machine, and return 0, or the exit code of the first that failed.

    Each process gets its share of the cores, or a GPU of its own, and the variables from which torch.distributed knows
    its place: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT. Only the first one prints, unless there is a
    `log`. When one fails or is killed, the others are ended, because they would wait for it.

    Args:
        command: the program with its arguments.
        count: how many processes.
        log: an open file for all that they print, also the first one.

    Raises:
        ClassifierError: `count` is below 1, or another process than the first one failed by itself.
    """
    from .served import num_cores  # imports what a service needs, and this file is imported by every command

    if count < 1:
        raise ClassifierError(f"processes is {count}, but must be at least 1")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    shared["OMP_NUM_THREADS"] = str(max(1, num_cores() // count))
    with tempfile.TemporaryFile("w+") as errors:
        running = []
        for process in range(count):
            env = {**os.environ, **shared, "RANK": str(process), "LOCAL_RANK": str(process)}
            where = {"stdout": subprocess.DEVNULL, "stderr": errors} if process else {}
            if log is not None:
                where = {"stdout": log, "stderr": log}
            running.append(subprocess.Popen(command, env=env, **where))  # type: ignore[call-overload]
        try:
            code = wait_for(running)
        finally:
            end(running)
        if code and running[0].returncode not in (code, REFUSED):
            errors.seek(0)
            said = errors.read().strip().rpartition("\n")[2]
            raise ClassifierError(f"one of {count} processes ended with code {code}{': ' if said else ''}{said}")
    return code


def wait_for(running: Sequence[subprocess.Popen[bytes]]) -> int:
    """Wait until all processes have ended well, or the first one badly, and return its exit code."""
    while True:
        codes = [process.poll() for process in running]
        if failed := [code for code in codes if code]:
            if failed[0] == REFUSED:  # the first one is about to say the same; on a busy machine it may be slower
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running[0].wait(timeout=30)
            return running[0].poll() or failed[0]
        if all(code == 0 for code in codes):
            return 0
        time.sleep(0.1)


def end(running: Sequence[subprocess.Popen[bytes]]) -> None:
    """End what is still running."""
    for process in running:
        if process.poll() is None:
            process.terminate()
    for process in running:
        process.wait()
