"""The paths of the service: /classify, /classify/dialogue (or /entities), /health, /ready and /metrics."""

import logging
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BeforeValidator, Field
from starlette.exceptions import HTTPException

from .engine import Engine
from .problems import problem_responses
from .schemas import (
    EXAMPLES,
    Answer,
    Entities,
    Query,
    check_text,
    text_field,
    whole_number,
)

log = logging.getLogger(__name__)


def make_router(engine: Engine, with_key: bool) -> APIRouter:
    """All paths that return data.

    Args:
        engine: what computes the answers.
        with_key: whether the OpenAPI schema says that a key is needed. The key itself is checked in the middleware.
    """
    router = APIRouter()
    locked: dict[str, Any] = {"dependencies": [Depends(HTTPBearer(auto_error=False))] if with_key else []}
    unauthorized = (401,) if with_key else ()
    add = add_entities if engine.model.reads == "tags" else add_classify
    add(router, engine, **locked, responses=problem_responses(400, *unauthorized, 408, 413, 415, 422, 500, 503, 504))

    @router.get("/health")
    async def health() -> dict[str, bool]:
        """The process is alive."""
        return {"alive": True}

    @router.get("/ready", responses=problem_responses(503))
    async def ready() -> dict[str, Any]:
        """The model answers now; and what kind of model it is."""
        try:
            await engine.check_ready()
        except HTTPException:
            raise  # overloaded, which is not the same as broken
        except Exception as error:
            log.warning("not ready: %r", error)
            raise HTTPException(503, "the model does not answer", {"Retry-After": "1"}) from None
        model = engine.model
        about = {"model": model.name, "digest": model.digest, "labels": engine.labels, "future": model.future}
        return {**about, "reads": model.reads, "texts": engine.limits.max_texts}

    @router.get("/metrics", response_class=Response, **locked, responses=problem_responses(*unauthorized))
    async def metrics() -> Response:
        """Counts and times for Prometheus."""
        return Response(engine.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    return router


def add_entities(router: APIRouter, engine: Engine, **options: Any) -> None:
    """The path of a model that finds entities."""
    limits = engine.limits
    Text = Annotated[str, text_field(limits.max_characters), BeforeValidator(check_text)]

    class Texts(Query):
        texts: list[Text] = Field(min_length=1, max_length=limits.max_texts, examples=[EXAMPLES["tags"][1]["texts"]])

    @router.post("/entities", **options)
    async def entities(query: Texts) -> Entities:
        """The entities in each text. Positions count characters as Unicode code points, from 0."""
        return await engine.find_entities(query.texts)


def add_classify(router: APIRouter, engine: Engine, **options: Any) -> None:
    """The two paths that classify. Their request classes are made here, because they depend on limits and labels."""
    limits, num_labels = engine.limits, len(engine.labels)
    Text = Annotated[str, text_field(limits.max_characters), BeforeValidator(check_text)]
    Speaker = Annotated[str, text_field(100), BeforeValidator(check_text)]
    top_k_field = Field(ge=1, le=num_labels, description="how many labels to return for each text or turn")
    TopK = Annotated[int, top_k_field, BeforeValidator(whole_number)]
    pairs = engine.model.reads == "pairs"
    Pair = Annotated[list[Text], Field(min_length=2, max_length=2)]
    Item: Any = Pair if pairs else Text
    example, turn = EXAMPLES["pairs" if pairs else "texts"][1], EXAMPLES["dialogues"][1]["turns"][0]

    class Texts(Query):
        texts: list[Item] = Field(min_length=1, max_length=limits.max_texts, examples=[example["texts"]])
        top_k: TopK = num_labels

    class Turn(Query):
        speaker: Speaker = Field(examples=[turn["speaker"]])
        text: Text = Field(examples=[turn["text"]])

    class Dialogue(Query):
        turns: list[Turn] = Field(min_length=1, max_length=limits.max_texts)
        future: bool | None = Field(None, description="may a turn see later ones? null: as the model was trained")
        top_k: TopK = num_labels

    @router.post("/classify", **options, response_model_exclude_none=True)
    async def classify(query: Texts) -> Answer:
        """The labels of single texts."""
        examples = await engine.encode(query.texts)
        return await engine.classify(examples, len(query.texts), query.top_k, False)

    @router.post("/classify/dialogue", **options, response_model_exclude_none=True)
    async def classify_dialogue(query: Dialogue) -> Answer:
        """The label of each turn of a dialogue, seen with the turns before it and, with `future`, after it."""
        if pairs:
            raise HTTPException(422, "turns: this model classifies pairs of texts; send them to /classify")
        future = engine.model.future if query.future is None else query.future
        if future and not engine.model.future:
            raise HTTPException(422, "future: this model was trained without later turns; send false, or leave it out")
        texts, speakers = [turn.text for turn in query.turns], [turn.speaker for turn in query.turns]
        examples = await engine.encode_dialogue(texts, speakers, future)
        return await engine.classify(examples, len(texts), query.top_k, future)
