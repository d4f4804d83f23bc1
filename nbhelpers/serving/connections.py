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


class Connection(H11Protocol):
    """uvicorn's connection with three additions that it has no options for.

    A client that sends nothing, or only a part of a request's head, is disconnected after `head_timeout` seconds:
    otherwise a thousand silent clients take all file descriptors. More connections than `max_connections` are closed at
    once. And while the service stops, responses say "Connection: close", so that a client does not send its next
    request into a connection that is about to end. The limits are those of the application that it serves.
    """

    timer: asyncio.TimerHandle | None = None

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        self.limits: Limits = config.loaded_app.state.limits

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > min(self.limits.max_connections, max_open_files() - RESERVED_FILES):
            transport.abort()
        else:
            self.wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self.timer is not None:
            self.timer.cancel()

    def wait_for_head(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.timer = self.loop.call_later(self.limits.head_timeout, self.close_if_idle)

    def close_if_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
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


@functools.cache  # asked for each connection
def max_open_files() -> int:
    """How many files and connections the operating system lets this process open."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 1_000_000
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
