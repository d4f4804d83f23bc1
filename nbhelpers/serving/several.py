"""Several models in one service: each under a path of its own name."""

import html
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount

from .app import create_app
from .limits import DEFAULTS, Limits
from .middleware import OPEN_PATHS, Guard
from .model import Model
from .pages import START, page
from .problems import handle_problems

log = logging.getLogger(__name__)

PAGE = START + "<p>Each model has a page to try it, and a page that says how to call it.</p><ul>{models}</ul>"


def create_joint_app(
    models: Mapping[str, Model], limits: Limits = DEFAULTS, *, api_key: str | None = None
) -> Starlette:
    """The service of several models as an ASGI application.

    Each model has all that `create_app` gives it, under its name: /NAME/classify, /NAME/docs, /NAME/metrics and so on.
    "/" lists the models, /health says that the process lives, and /ready that all models answer. A server of your own
    has to run the lifespan.

    Args:
        models: name -> model. The names become parts of the address.
        limits: of each model.
        api_key: as in `create_app`, for all models.

    Raises:
        ValueError: a name cannot be a part of an address, or the key is not possible.
    """
    require_names(models)
    apps = {name: create_app(model, limits, api_key=api_key) for name, model in models.items()}

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for app in apps.values():  # Starlette does not run those of mounted applications
                await stack.enter_async_context(app.router.lifespan_context(app))
            yield

    joint = Starlette(
        routes=[*(Mount(f"/{name}", app) for name, app in apps.items()), Mount("/", make_front(apps, limits))],
        lifespan=lifespan,
    )
    first = next(iter(apps))
    joint.state.limits, joint.state.reads, joint.state.path = limits, apps[first].state.reads, f"/{first}"
    return joint


def require_names(names: Iterable[str]) -> None:
    """Raise ValueError for names of models that cannot be parts of an address, or if there are none."""
    names, reserved = list(names), [path.strip("/") for path in OPEN_PATHS if path != "/"]
    if not names:
        raise ValueError("there is no model to serve; pass one at least")
    for name in names:
        if not re.fullmatch(r"[\w-][\w.-]*", name, re.ASCII) or name in reserved:
            advice = f"rename the model: with letters, digits, dots, - and _, and not {', '.join(reserved)}"
            raise ValueError(f"{name!r} cannot be part of an address; {advice}")


def make_front(apps: Mapping[str, FastAPI], limits: Limits) -> FastAPI:
    """The paths that belong to no single model."""
    front = FastAPI(title=f"nbhelpers: {', '.join(apps)}", docs_url=None, redoc_url=None, redirect_slashes=False)

    @front.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def index() -> HTMLResponse:
        links = (f'<li><a href="{name}/">{name}</a> (<a href="{name}/docs">how to call it</a>)' for name in apps)
        return page(PAGE.format(title=html.escape(front.title), models="".join(links)))

    @front.get("/docs", include_in_schema=False)
    async def docs() -> RedirectResponse:
        return RedirectResponse("./")

    @front.get("/health")
    async def health() -> dict[str, bool]:
        """The process is alive."""
        return {"alive": True}

    @front.get("/ready")
    async def ready() -> dict[str, Any]:
        """All models answer now."""
        for name, app in apps.items():
            try:
                await app.state.engine.check_ready()
            except HTTPException:
                raise  # overloaded, which is not the same as broken
            except Exception as error:
                log.warning("%s is not ready: %r", name, error)
                raise HTTPException(503, f"the model {name} does not answer", {"Retry-After": "1"}) from None
        return {"models": list(apps)}

    for name in apps:
        front.add_api_route(f"/{name}", redirect_to(f"{name}/"), include_in_schema=False)
    handle_problems(front)
    front.add_middleware(Guard, limits=limits, api_keys=[])
    front.add_middleware(CorrelationIdMiddleware)
    return front


def redirect_to(address: str) -> Callable[[], Awaitable[RedirectResponse]]:
    """An endpoint that leads to this address, whatever is asked for."""

    async def redirect() -> RedirectResponse:
        return RedirectResponse(address)

    return redirect
