"""What happens around each request: key, limits, security headers, the log, and clients that hang up."""

import asyncio
import hmac
import logging
import time
from collections.abc import Sequence
from typing import Any

from asgi_correlation_id import correlation_id
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from .limits import Limits
from .problems import overloaded, problem

log = logging.getLogger(__name__)

OPEN_PATHS = ("/", "/docs", "/health", "/openapi.json", "/ready")  # these need no key
CLIENT_LEFT = 499  # the usual status, since nginx, for a client that did not wait for the response
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Responder:
    """Sends a response with the security headers, and remembers its status (None: nothing has been sent)."""

    def __init__(self, send: Any) -> None:
        self.send, self.status = send, None

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=message["headers"])
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
        await self.send(message)

    async def refuse(self, error: HTTPException, scope: Any, receive: Any) -> None:
        """Send an error, unless the response has begun; then only its end can tell that something went wrong."""
        if self.status is None:
            await problem(error)(scope, receive, self)

    async def client_left(self) -> None:
        """Nobody receives this response, but the metrics outside of this middleware learn the status from it."""
        if self.status is None:
            await self({"type": "http.response.start", "status": CLIENT_LEFT, "headers": []})
            await self({"type": "http.response.body", "body": b""})


class Guard:
    """ASGI middleware that refuses what exceeds the limits and turns errors into responses of one sentence.

    Once the body of a request is complete, it watches whether the client hangs up, and then cancels the work.

    Args:
        app: the application inside.
        limits: `max_body_bytes`, `body_timeout`, `request_timeout` and `max_concurrent_requests` are used.
        api_keys: one of these must be sent as "Authorization: Bearer KEY"; without any, no key is asked for.
    """

    def __init__(self, app: Any, limits: Limits, api_keys: Sequence[str]) -> None:
        self.app, self.limits, self.num_active = app, limits, 0
        self.api_keys = [key.encode() for key in api_keys]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        respond = Responder(send)
        start = time.perf_counter()
        is_post = scope["method"] == "POST"  # only these use the model; a probe must not take their room
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves the body out
        body = None
        self.num_active += is_post
        try:
            self.check(scope)
            if is_post:
                body = await self.read_body(scope, receive)
                await self.run_in_time(scope, body, receive, respond)
            else:
                await self.app(scope, receive, respond)
        except ClientDisconnect:
            await respond.client_left()
        except asyncio.CancelledError:  # the server stops, and has waited as long as it may
            await respond.refuse(overloaded(1, "the service is stopping"), scope, receive)
        except HTTPException as error:
            too_large_or_slow = error.status_code in (408, 413)
            if is_post and body is None and (too_large_or_slow or not await body_ends_soon(receive)):
                # Otherwise the server would read the refused body to its end, however long it is.
                error.headers = {**(error.headers or {}), "Connection": "close"}
            await respond.refuse(error, scope, receive)
        except Exception:
            log.exception("request %s failed", correlation_id.get())
            sentence = "an error inside the service; its log has more under this request_id"
            await respond.refuse(HTTPException(500, sentence), scope, receive)
        finally:
            self.num_active -= is_post
            # Escaped and cut, because the path is the client's text: it must not forge a line of the log.
            path = scope["path"][:100].encode("unicode_escape").decode()
            milliseconds = 1000 * (time.perf_counter() - start)
            # Health probes come every few seconds, and an attacker can send thousands. The log does not need those that
            # succeed.
            level = logging.DEBUG if scope["method"] == "GET" and respond.status == 200 else logging.INFO
            line = "%s %s %s %s %.1f ms"
            log.log(level, line, correlation_id.get(), scope["method"], path, respond.status, milliseconds)

    def check(self, scope: Any) -> None:
        """Raise HTTPException for a request without the key, or for one too many."""
        scheme, _, given = dict(scope["headers"]).get(b"authorization", b"").partition(b" ")
        # compare_digest takes equally long for any wrong key, so its time gives nothing away
        matches = [hmac.compare_digest(given, key) for key in self.api_keys]
        has_key = not self.api_keys or (scheme.lower() == b"bearer" and any(matches))
        # without the path that the application is mounted under
        if not has_key and scope["path"].removeprefix(scope.get("root_path", "")) not in OPEN_PATHS:
            sentence = "this needs the header 'Authorization: Bearer KEY'"
            raise HTTPException(401, sentence, {"WWW-Authenticate": "Bearer"})
        if scope["method"] == "POST" and self.num_active > self.limits.max_concurrent_requests:
            raise overloaded(1)
        if Headers(scope=scope).get("content-encoding", "identity") != "identity":
            raise HTTPException(415, "the body is compressed, which this service does not read; send it as it is")

    async def read_body(self, scope: Any, receive: Any) -> bytes:
        """The whole body. Raises HTTPException 413 or 408 when it is too large or too slow, ClientDisconnect."""
        max_bytes, body = self.limits.max_body_bytes, bytearray()
        too_large = HTTPException(413, f"the body has more than {max_bytes} bytes; send fewer texts in a request")
        if int(Headers(scope=scope).get("content-length", 0)) > max_bytes:
            raise too_large
        try:
            async with asyncio.timeout(self.limits.body_timeout):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    body += message.get("body", b"")
                    if len(body) > max_bytes:
                        raise too_large
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            sentence = f"the body was not complete after {self.limits.body_timeout:g} s"
            raise HTTPException(408, sentence) from None

    async def run_in_time(self, scope: Any, body: bytes, receive: Any, respond: Responder) -> None:
        """Call the application with this body. Raises HTTPException 504 when it takes too long."""
        try:
            async with asyncio.timeout(self.limits.request_timeout) as deadline:
                await self.run_while_client_waits(scope, body, receive, respond)
        except TimeoutError:
            if not deadline.expired():  # an error of the model
                raise
            sentence = f"there was no answer within {self.limits.request_timeout:g} s; send fewer texts in a request"
            raise HTTPException(504, sentence) from None

    async def run_while_client_waits(self, scope: Any, body: bytes, receive: Any, respond: Responder) -> None:
        """Call the application with this body. Raises ClientDisconnect when the client hangs up before the response."""
        messages = iter([{"type": "http.request", "body": body}])

        async def replay() -> Any:
            return next(messages, {"type": "http.disconnect"})

        work = asyncio.ensure_future(self.app(scope, replay, respond))
        hang_up = asyncio.ensure_future(receive())  # returns when the client hangs up, or has its whole response
        try:
            await asyncio.wait((work, hang_up), return_when=asyncio.FIRST_COMPLETED)
            if respond.status is None:
                work.cancel()  # without effect when it is done
            await work
        except asyncio.CancelledError:
            if not hang_up.done():  # it is the server that stops
                raise
            raise ClientDisconnect from None
        finally:
            work.cancel()
            hang_up.cancel()


async def body_ends_soon(receive: Any) -> bool:
    """Whether the rest of a refused body is short and comes at once, so that the connection can be kept."""
    num_bytes = 0
    try:
        async with asyncio.timeout(0.1):
            while num_bytes < 2**16:
                message = await receive()
                num_bytes += len(message.get("body", b""))
                if not message.get("more_body"):
                    return bool(message["type"] == "http.request")
    except TimeoutError:
        pass
    return False
