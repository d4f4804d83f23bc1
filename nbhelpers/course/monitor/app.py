"""The monitor's page as a small service. It only reads the state, so it can run beside the monitor or without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse

from nbhelpers import alerts, serving

from .page import full_page, live_part


def create_app(watch: alerts.Watch, usual: Mapping[str, float]) -> FastAPI:
    """The service: the page at "/", its changing part at "/live", "/version", and "/alerts" for programs.

    Args:
        watch: whose state is shown.
        usual: label -> its share in ordinary times.
    """
    app = FastAPI(title="nbhelpers: monitor", docs_url=None, redoc_url=None)  # these pages load outside scripts

    # Plain functions: FastAPI runs them in threads, because SQLite and the pictures would block its loop.
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def index() -> HTMLResponse:
        return serving.page(full_page(watch, usual))

    @app.get("/live", response_class=HTMLResponse, include_in_schema=False)
    def live() -> HTMLResponse:
        return HTMLResponse(live_part(watch, usual))

    @app.get("/version", response_class=PlainTextResponse)
    def version() -> str:
        """A text that differs after each change."""
        return watch.store.version()

    @app.get("/alerts")
    def all_alerts() -> list[dict[str, Any]]:
        """All alerts, the latest first."""
        return [alert._asdict() for alert in watch.store.alerts()]

    return app


@contextmanager
def served(app: FastAPI, host: str, port: int) -> Iterator[str]:
    """Serve an application in a thread within a `with` block; gives its address.

    Args:
        app: from `create_app`.
        host: "127.0.0.1" for this machine alone.
        port: 0 takes a free one.
    """
    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the page could not be served; its error is above")
        time.sleep(0.01)
    try:
        yield f"http://{host}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
