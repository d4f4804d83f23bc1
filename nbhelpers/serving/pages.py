"""The page for people at "/", and the reference at "/docs". Neither loads anything from another host."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from .schemas import EXAMPLES

PAGE = Path(__file__).with_name("page.html")
START = (  # of the pages that are made here
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><link rel="icon" href="data:,">'
    '<meta name="viewport" content="width=device-width"><style>:root{{color-scheme:light dark}}body{{max-width:50rem;'
    "margin:auto;padding:1rem;font:1rem/1.5 system-ui}}pre{{overflow:auto;border:1px solid;padding:.5rem}}</style>"
    "<h1>{title}</h1>"
)
HEAD = (
    START + '<p>For tools: <a href="openapi.json">openapi.json</a>. <a href=".">The page.</a></p>'
    "<p>An example:</p><pre tabindex=0>{example}</pre>"
)


def add_pages(app: FastAPI, reads: str, with_key: bool) -> None:
    """Add "/" and "/docs". Without page.html beside this file, "/" leads to "/docs".

    Args:
        app: the application.
        reads, with_key: as in `curl`.
    """

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        # `request.base_url` would leave out the path under which this application is mounted
        address = f"{request.url.scheme}://{request.url.netloc}{request.scope.get('root_path', '')}"
        return page(reference(app.openapi(), curl(address, reads, with_key)))

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def index() -> Response:
        return page(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else RedirectResponse("docs")


def curl(address: str, reads: str, with_key: bool) -> str:
    """A command that classifies an example.

    Args:
        address: of the service.
        reads: "texts", "pairs", "dialogues" or "tags", as in `Model`.
        with_key: whether clients must send a key.

    >>> print(curl("http://[::1]", "texts", with_key=False))
    curl http://[::1]/classify -H 'Content-Type: application/json' -d '{"texts": ["What a day!", "Leave me alone."]}'
    """
    path, body = EXAMPLES[reads]
    key = "-H 'Authorization: Bearer KEY' " if with_key else ""
    return f"curl {address}{path} -H 'Content-Type: application/json' {key}-d '{json.dumps(body)}'"


def page(text: str) -> HTMLResponse:
    """An HTML page that may run its own inline script and style, known by their hashes, and load nothing else."""
    allowed: dict[str, list[str]] = {"script": [], "style": []}
    for tag, content in re.findall(r"<(script|style)>(.*?)</\1>", text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        allowed[tag].append(f"'sha256-{digest}'")
    policy = "; ".join(f"{tag}-src {' '.join(hashes)}" for tag, hashes in allowed.items() if hashes)
    rest = "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return HTMLResponse(text, headers={"Content-Security-Policy": f"default-src 'none'; {policy}; {rest}"})


def reference(schema: dict[str, Any], example: str) -> str:
    """The page /docs, made from the OpenAPI schema and an example of a command."""
    parts = [HEAD.format(title=html.escape(schema["info"]["title"]), example=html.escape(example))]
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            parts.append(f"<h2><code>{method.upper()} {path}</code></h2><p>{html.escape(operation['description'])}</p>")
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            fields = schema["components"]["schemas"].get(body.get("$ref", "").rpartition("/")[2])
            if fields:
                # A keyboard can only scroll what it can focus, hence the tabindex.
                parts.append(f"<pre tabindex=0>{html.escape(json.dumps(fields, indent=1))}</pre>")
            statuses = [f"{status}: {answer['description']}" for status, answer in operation["responses"].items()]
            parts.append(f"<ul><li>{'<li>'.join(map(html.escape, statuses))}</ul>")
    return "".join(parts)
