"""What happens on a connection before a request is complete, and when the service stops."""

import asyncio
import functools
import json
import logging
import uuid
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from .limits import Limits

log = logging.getLogger(__name__)

CLOSE = (b"connection", b"close")
RESERVED_FILES = 100  # file descriptors that are not connections: the model, logs, libraries
MAX_BACKLOG = 2048  # connections that the operating system holds until the service accepts them


class Connection(H11Protocol):
    """uvicorn's connection with three additions that it has no options for.

    A client that sends nothing, or only a part of a request's head, is disconnected after `head_timeout` seconds:
    otherwise a thousand silent clients take all file descriptors. Where there are `max_connections` already, a new
    connection takes the place of one that has not sent a request yet, or else of one that has not sent the next. Of
    these it is the one that has been silent longest. And while the service stops, responses say "Connection: close", so
    that a client does not send its next request into a connection that is about to end. The limits are those of the
    application that it serves.
    """

    timer: asyncio.TimerHandle | None = None

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.limits: Limits = config.loaded_app.state.limits
        # All connections of this server, in the order in which they began to wait for a head. Uvicorn keeps only a set.
        self.waiting: dict[Connection, None] = vars(self.server_state).setdefault("waiting", {})

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > min(self.limits.max_connections, max_open_files() - reserved_files()):
            idle = filter(Connection.is_idle, self.waiting)
            min(idle, key=lambda connection: connection.cycle is not None, default=self).transport.abort()
        self.wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.stop_waiting()

    def stop_waiting(self) -> None:
        self.waiting.pop(self, None)
        if self.timer is not None:
            self.timer.cancel()

    def wait_for_head(self) -> None:
        self.stop_waiting()
        if not self.transport.is_closing():
            self.waiting[self] = None
            self.timer = self.loop.call_later(self.limits.head_timeout, self.close_if_idle)

    def is_idle(self) -> bool:
        """Whether no request is being answered. A connection that is about to close does not count."""
        return not self.transport.is_closing() and (self.cycle is None or self.cycle.response_complete)

    def close_if_idle(self) -> None:
        if self.is_idle():
            self.transport.close()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.wait_for_head()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in the form of all other refusals."""
        content = json.dumps({"error": "this is not an HTTP request", "request_id": uuid.uuid4().hex}).encode()
        head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.transport.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        self.transport.close()

    def shutdown(self) -> None:
        super().shutdown()
        if self.cycle is not None and not self.cycle.response_started:
            headers: Any = self.cycle.scope["headers"]
            headers.append(CLOSE)  # uvicorn then puts it into the response


def allow_connections(limits: Limits) -> None:
    """Let this process, and those it starts, open as many files as `max_connections` needs and the system allows."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = limits.max_connections + RESERVED_FILES + 3 * MAX_BACKLOG
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@functools.cache  # asked for each connection
def max_open_files() -> int:
    """How many files and connections the operating system lets this process open."""
    try:
        import resource
    except ImportError:
        return 1_000_000
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1_000_000 if soft == resource.RLIM_INFINITY else soft


def backlog() -> int:
    """How many connections may wait to be accepted."""
    return min(MAX_BACKLOG, max_open_files() // 8)


def reserved_files() -> int:
    """File descriptors that must be left. asyncio accepts the whole backlog up to three times before it closes one."""
    return RESERVED_FILES + 3 * backlog()
