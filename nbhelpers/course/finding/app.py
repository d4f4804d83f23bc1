"""The service of an index: POST /search, and a page for people."""

from __future__ import annotations

import threading
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, ConfigDict, Field

from nbhelpers import serving

from .indexing import Searcher

PAGE = Path(__file__).with_name("page.html")


class Question(BaseModel):
    """A question, and how many texts it wants."""

    model_config = ConfigDict(extra="forbid")
    question: str = Field(min_length=1, max_length=2000, pattern=r"\S", examples=["Who takes my old sofa?"])
    k: int = Field(5, ge=1, le=100)


class Found(BaseModel):
    """A text that was found, with its cosine to the question."""

    id: str
    score: float
    text: str


class Results(BaseModel):
    """The texts that are nearest to a question, best first; none where no text reaches the threshold."""

    results: list[Found]


def create_app(searcher: Searcher) -> FastAPI:
    """The service: the page at "/", POST /search, and /health."""
    app = FastAPI(title="nbhelpers: search", docs_url=None, redoc_url=None)  # these pages load outside scripts
    lock = threading.Lock()  # FastAPI runs plain functions in several threads, and the encoder computes in one

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def index() -> HTMLResponse:
        return serving.page(PAGE.read_text(encoding="utf-8"))

    @app.get("/health")
    def health() -> dict[str, int]:
        """The number of texts."""
        return {"texts": len(searcher.index)}

    @app.post("/search")
    def search(question: Question) -> Results:
        """The texts that are nearest to a question."""
        with lock:
            (hits,) = searcher.index.search([question.question], question.k, threshold=searcher.threshold)
        return Results(results=[Found(id=hit.id, score=round(hit.score, 4), text=hit.text) for hit in hits])

    return app
