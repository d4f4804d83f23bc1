"""The client of the service benchmarks: it starts services, and sends them requests at random times.

The service is a process of its own; the client, in this one, does as little as it can.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import random
import re
import selectors
import socket
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import IO, Any, NamedTuple, TypeVar

import psutil

from .comparing import NotMeasured

TIMEOUT = 90  # seconds that a service has to get ready
CONNECTIONS = 64  # that are open before the first request
T = TypeVar("T")
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Endpoint(NamedTuple):
    """Where a service classifies a text, and how it is asked.

    Attributes:
        port: on this machine.
        path: of the POST requests.
        ready: the path that has status 200 when the model is loaded.
        content: from a text to the JSON object that is sent.
    """

    port: int
    path: str = "/classify"
    ready: str = "/ready"
    content: Callable[[str], Mapping[str, Any]] = lambda text: {"texts": [text]}


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def get(port: int, path: str) -> bytes:
    """The first bytes of the answer to GET; empty while nobody listens."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode())
        return connection.recv(100)
    return b""


@contextlib.contextmanager
def process(command: Sequence[str]) -> Iterator[tuple[psutil.Popen, IO[str]]]:
    """A process that ends with the `with` block, with all that it started; and the file with what it prints."""
    with tempfile.TemporaryFile("w+") as log:
        running = psutil.Popen(command, stdout=log, stderr=log)
        try:
            yield running, log
        finally:
            end(running)


def end(running: psutil.Popen) -> None:
    """End a process and those that it started, which some services leave behind."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = [running, *running.children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.terminate()
        _, alive = psutil.wait_procs(family, timeout=15)
        for member in alive:
            member.kill()
    running.wait()


def wait_until_ready(running: psutil.Popen, log: IO[str], endpoint: Endpoint) -> None:
    """Wait until a service has loaded its model. One that does not raises NotMeasured."""
    start = time.perf_counter()
    while not get(endpoint.port, endpoint.ready).startswith(b"HTTP/1.1 200"):
        if running.poll() is not None or time.perf_counter() - start > TIMEOUT:
            log.seek(0)
            lines = log.read().strip().splitlines() or ["it printed nothing"]
            raise NotMeasured(f"it did not get ready: {lines[-1][:200]}")
        time.sleep(0.01)


async def ask(
    port: int, idle: list[Connection], content: Mapping[str, Any], path: str = "/classify"
) -> tuple[int, Any]:
    """Status and content of the answer to POST, on an idle connection or a new one; status 0: no answer came."""
    while idle and idle[-1][0].at_eof():  # a service closes a connection that was idle for some seconds
        idle.pop()
    try:
        async with asyncio.timeout(30):
            reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
            body = json.dumps(content).encode()
            request = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            writer.write(f"{request}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            head = await reader.readuntil(b"\r\n\r\n")
            answer = json.loads(await reader.readexactly(content_length(head)))
    except (OSError, EOFError, ValueError):  # hung up, half an answer, none in time, or one that is not JSON
        return 0, None
    if b"\r\nconnection: close\r\n" in head.lower():  # as a service says that is about to end
        writer.close()
    else:
        idle.append((reader, writer))
    return int(head.split()[1]), answer


def content_length(head: bytes) -> int:
    """The bytes that follow the head of a response, 0 if it does not say.

    >>> content_length(b"HTTP/1.1 200 OK\\r\\nContent-Length: 12\\r\\n\\r\\n")
    12
    """
    found = re.search(rb"content-length: *(\d+)", head.lower())
    return int(found[1]) if found else 0


async def steady(
    endpoint: Endpoint, texts: Sequence[str], rate: float, seconds: float, limit_ms: float = math.inf
) -> list[float]:
    """Send single texts at random times, and time each from when it was due, however many others wait.

    Args:
        endpoint: of the service.
        texts: from which each request draws one.
        rate: requests per second.
        seconds: how long to send.
        limit_ms: stop as soon as more than 1 % of the requests took longer.

    Returns:
        The milliseconds until each answer; infinite for a request that failed.
    """
    clock, draw, late = asyncio.get_running_loop().time, random.Random(0), 0
    idle: list[Connection] = []
    taken: list[float] = []

    async def client(due: float, text: str) -> None:
        nonlocal late
        status, _ = await ask(endpoint.port, idle, endpoint.content(text), endpoint.path)
        taken.append(1000 * (clock() - due) if status == 200 else math.inf)
        late += taken[-1] > limit_ms

    with contextlib.suppress(OSError):  # a service that is gone fails each request below
        for _ in range(CONNECTIONS):
            idle.append(await asyncio.open_connection("127.0.0.1", endpoint.port))
    due = start = clock()
    async with asyncio.TaskGroup() as group:
        while (due := due + draw.expovariate(rate)) < start + seconds and late <= 0.01 * rate * seconds:
            await asyncio.sleep(due - clock())
            group.create_task(client(due, draw.choice(texts)))
    for _, writer in idle:
        writer.close()
    return taken


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """asyncio.run with select: epoll would round waits up to whole milliseconds."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        return runner.run(coroutine)


def p99(taken: Sequence[float]) -> float:
    """The time within which 99 of 100 requests were answered; infinite if there were none.

    >>> p99([1.0] * 99 + [70.0]), p99([1.0] * 98 + [70.0] * 2), p99([])
    (1.0, 70.0, inf)
    """
    return sorted(taken)[math.ceil(0.99 * len(taken)) - 1] if taken else math.inf
