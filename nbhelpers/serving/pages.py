"""The page for people at "/", and the reference at "/docs". Neither loads anything from another host."""

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, RedirectResponse

PAGE = Path(__file__).with_name("page.html")
HEAD = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><link rel="icon" href="data:,">'
    '<meta name="viewport" content="width=device-width"><style>:root{{color-scheme:light dark}}body{{max-width:50rem;'
    "margin:auto;padding:1rem;font:1rem/1.5 system-ui}}pre{{overflow:auto;border:1px solid;padding:.5rem}}</style>"
    '<h1>{title}</h1><p>For tools: <a href="openapi.json">openapi.json</a>. <a href=".">The page.</a></p>'
)


def add_pages(app: FastAPI) -> None:
    """Add "/" and "/docs". Without page.html beside this file, "/" leads to "/docs"."""

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> HTMLResponse:
        return page(reference(app.openapi()))

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def index() -> Response:
        return page(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else RedirectResponse("/docs")


def page(text: str) -> HTMLResponse:
    """An HTML page that may run its own inline script and style, known by their hashes, and load nothing else."""
    allowed: dict[str, list[str]] = {"script": [], "style": []}
    for tag, content in re.findall(r"<(script|style)>(.*?)</\1>", text, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        allowed[tag].append(f"'sha256-{digest}'")
    policy = "; ".join(f"{tag}-src {' '.join(hashes)}" for tag, hashes in allowed.items() if hashes)
    rest = "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    return HTMLResponse(text, headers={"Content-Security-Policy": f"default-src 'none'; {policy}; {rest}"})


def reference(schema: dict[str, Any]) -> str:
    """The page /docs, made from the OpenAPI schema."""
    parts = [HEAD.format(title=html.escape(schema["info"]["title"]))]
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
