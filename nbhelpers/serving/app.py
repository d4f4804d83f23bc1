"""The application: paths, middleware, and the queue that runs as long as the application does."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI

from .engine import Engine
from .limits import DEFAULTS, Limits
from .middleware import Guard
from .model import Model
from .pages import add_pages
from .problems import handle_problems
from .routes import make_router

# The name of an environment variable. It is never an argument, because a list of processes shows arguments.
API_KEY = "NBHELPERS_API_KEY"


def create_app(model: Model, limits: Limits = DEFAULTS, *, api_key: str | None = None) -> FastAPI:
    """The service as an ASGI application.

    A server of your own has to run its lifespan, as uvicorn does, because the queue runs in it. So it cannot be mounted
    in another application, unless that one runs it, as `create_joint_app` does. Call `probe(model)` first to learn at
    once what is wrong with a model, as `serve` does.

    Args:
        model: see `Model`; `make_model` makes one.
        limits: what the service accepts.
        api_key: what clients must send as "Authorization: Bearer KEY" for /classify, /classify/dialogue and /metrics.
            The other paths are open. Several keys are separated by commas. None asks for no key.

    Raises:
        ValueError: the key is blank or has characters beyond ASCII.

    >>> create_app(Model(("no", "yes"), list, list, list)).title
    'nbhelpers: model'
    """
    api_keys = parse_keys(api_key)
    engine = Engine(model, limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        running = asyncio.create_task(engine.run())
        await asyncio.sleep(0)  # lets it begin
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    title = f"nbhelpers: {model.name}"
    # FastAPI's own /docs would load scripts from another host; `add_pages` has one that does not.
    app = FastAPI(title=title, lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.limits, app.state.reads, app.state.path = limits, model.reads, ""  # for `Connection` and `serve`
    app.state.engine = engine  # for an application that this one is mounted in
    app.include_router(make_router(engine, with_key=api_key is not None))
    add_pages(app, model.reads, with_key=api_key is not None)
    handle_problems(app)
    # The last one added is the outermost: each request has its id first, then it is counted, then it is checked.
    app.add_middleware(Guard, limits=limits, api_keys=api_keys)
    engine.metrics.watch_requests(app)
    app.add_middleware(CorrelationIdMiddleware)
    return app


def parse_keys(api_key: str | None) -> list[str]:
    """The keys of a service, from texts such as "KEY" or "OLD,NEW"; None gives none. What cannot be a key: ValueError.

    Several keys let a client change its key without a gap.

    >>> parse_keys("old,new\\n"), parse_keys(None)
    (['old', 'new'], [])
    """
    # a key that comes from a file ends with a line break
    keys = [key.strip() for key in (api_key or "").split(",") if key.strip()]
    if api_key is not None and not keys:
        raise ValueError(f"the API key is blank; give {API_KEY} a value, or remove it")
    if not "".join(keys).isascii():
        raise ValueError(
            "the API key has characters beyond ASCII, which browsers cannot send in a header; choose another"
        )
    return keys
