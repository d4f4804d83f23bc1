"""What happens on a connection before a request is complete, and when the service stops."""

import asyncio
import contextlib
import functools
import itertools
import json
import logging
import uuid
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from .limits import Limits

log = logging.getLogger(__name__)

CLOSE = (b"connection", b"close")
RESERVED_FILES = 100  # file descriptors that are not connections: the model, logs, libraries
LAST_REQUEST = 0.5  # seconds; while the service stops, a request on a kept connection may be on its way for so long
MAX_BACKLOG = 2048  # connections that the operating system holds until the service accepts them


class Connection(H11Protocol):
    """uvicorn's connection with additions that it has no options for.

    A client that sends nothing, or only a part of a request's head, is disconnected after `head_timeout` seconds:
    otherwise a thousand silent clients take all file descriptors. When there are `max_connections` already, a new
    connection replaces an old one that is silent. Connections that have not sent a request are closed first, then those
    that wait between two requests; among these, the one that has been silent longest. A client that does not read its
    response is disconnected after `body_timeout` seconds.

    While the service stops, responses say "Connection: close", so that a client does not send its next request into a
    connection that is about to end. The limits are those of the application that it serves.
    """

    timer: asyncio.TimerHandle | None = None  # until the next head must be there
    unread_timer: asyncio.TimerHandle | None = None  # until the client must have read
    stopping = False

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.limits: Limits = config.loaded_app.state.limits
        # All silent connections of this server: before their first request, and between two requests. Both are in the
        # order in which they became silent. uvicorn keeps only a set.
        no_requests: tuple[dict[Connection, None], ...] = ({}, {})
        self.silent = vars(self.server_state).setdefault("silent", no_requests)

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > max(1, min(self.limits.max_connections, max_open_files() - reserved_files())):
            replaced = next(itertools.chain(*self.silent), self)
            replaced.stop_waiting()  # at once, so that the next new connection replaces another one
            replaced.transport.abort()
        self.wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.stop_waiting()
        self.resume_writing()

    def handle_events(self) -> None:
        super().handle_events()
        if not self.is_idle():
            self.stop_waiting()
        if self.stopping:
            self.announce_end()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.wait_for_head()

    def is_idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def wait_for_head(self) -> None:
        self.stop_waiting()
        if self.is_idle() and not self.transport.is_closing():  # a client may have sent the next request already
            self.silent[self.cycle is not None][self] = None
            self.timer = self.loop.call_later(self.limits.head_timeout, self.close_if_idle)

    def stop_waiting(self) -> None:
        for connections in self.silent:
            connections.pop(self, None)
        if self.timer is not None:
            self.timer.cancel()

    def close_if_idle(self) -> None:
        if self.is_idle():
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread_timer = self.loop.call_later(self.limits.body_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.unread_timer is not None:
            self.unread_timer.cancel()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, in the form of all other refusals."""
        content = json.dumps({"error": "this is not an HTTP request", "request_id": uuid.uuid4().hex}).encode()
        head = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\n"
        self.transport.write(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
        self.transport.close()

    def shutdown(self) -> None:
        self.stopping = True
        if self.cycle is not None and self.cycle.response_complete:
            self.loop.call_later(LAST_REQUEST, self.close_if_idle)
        else:
            super().shutdown()
            self.announce_end()

    def announce_end(self) -> None:
        """End the connection after the current response, and say so in its head."""
        if self.cycle is not None and not self.cycle.response_started:
            self.cycle.keep_alive = False
            headers: Any = self.cycle.scope["headers"]
            if CLOSE not in headers:
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
        with contextlib.suppress(ValueError, OSError):  # containers may forbid it
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
