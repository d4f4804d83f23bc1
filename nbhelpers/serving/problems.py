"""Every response that is not a success: one sentence, and the id under which the log knows more."""

import math
from typing import Any

from asgi_correlation_id import correlation_id
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException


class Problem(BaseModel):
    """What went wrong, in one sentence."""

    error: str
    request_id: str


DESCRIPTIONS = {
    400: "the body cannot be read, for instance because it is not UTF-8",
    401: "the key is missing or wrong",
    408: "the body was not sent in time",
    413: "the body is too large",
    415: "the body is compressed",
    422: "the body is not JSON, or a value has the wrong type or exceeds a limit; the sentence names it",
    500: "an error inside the service",
    503: "the service is overloaded, not ready, or about to stop",
    504: "the answer took too long",
}

UNKNOWN = {404: "there is no such path; /docs lists all", 405: "this path takes another method; /docs tells which"}


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What the OpenAPI schema says about these statuses."""
    return {status: {"model": Problem, "description": DESCRIPTIONS[status]} for status in statuses}


def problem(error: HTTPException) -> JSONResponse:
    """The response for an error."""
    content = {"error": error.detail, "request_id": correlation_id.get()}
    return JSONResponse(content, error.status_code, error.headers)


def overloaded(seconds: float, reason: str = "the service is overloaded") -> HTTPException:
    """The error for a request that does not fit, with the seconds after which it may."""
    wait = min(max(1, math.ceil(seconds)), 60)
    return HTTPException(503, f"{reason}; try again in {wait} s", {"Retry-After": str(wait)})


def handle_problems(app: FastAPI) -> None:
    """Let `app` respond with a `Problem` to what FastAPI refuses."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> JSONResponse:
        error.detail = UNKNOWN.get(error.status_code, error.detail)  # Starlette only says "Not Found"
        return problem(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where, sentence = ".".join(map(str, first["loc"][1:])), first["msg"].removeprefix("Value error, ")
        if first["type"] == "json_invalid":
            where, sentence = "body", f"this is not JSON (character {where})"
        elif not request.headers.get("content-type", "").startswith("application/json"):
            where, sentence = "body", "send JSON, with the header 'Content-Type: application/json'"
        # The name of an unknown field is the client's own text, of any length and perhaps not valid Unicode.
        where = where.encode("utf-8", "replace").decode()[:100] or "body"
        return problem(HTTPException(422, f"{where}: {sentence}"))
