import threading
import time
from contextlib import contextmanager

import pytest
import standins
import uvicorn
from starlette.testclient import TestClient

from nbhelpers import serving
from nbhelpers.serving.workers import uvicorn_options


@contextmanager
def running(model, limits=serving.DEFAULTS, api_key=None):
    """The service on a free port in a thread; gives its address."""
    app = serving.create_app(model, limits, api_key=api_key)
    config = uvicorn.Config(app, port=0, **{**uvicorn_options(limits), "timeout_graceful_shutdown": 3})
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def run_service():
    return running


@pytest.fixture(scope="module")
def service():
    """The address of a service with a stand-in model."""
    with running(standins.model()) as address:
        yield address


@pytest.fixture(scope="module")
def client():
    """The application without a network."""
    with TestClient(serving.create_app(standins.model())) as client:
        yield client
