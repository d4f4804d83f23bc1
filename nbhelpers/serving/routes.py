"""The paths of the service: /classify, /classify/dialogue, /health, /ready and /metrics."""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Response
from fastapi.security import HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BeforeValidator, Field
from starlette.exceptions import HTTPException

from .batcher import Batcher, ModelThread
from .limits import Limits
from .metrics import Metrics
from .model import Example, Model, greeting
from .problems import overloaded, problem_responses
from .schemas import EXAMPLES, Answer, Query, Result, Score, check_text, text_field, whole_number

log = logging.getLogger(__name__)

TEXTS_AT_ONCE = 8  # that are tokenized without a break, so that a long request does not hold up the others
READY_SECONDS = 1.0  # how long an answer about readiness is good for


class Engine:
    """A model with its queue, its two threads and its counts.

    Tokenizing has a thread of its own, so that the model computes one batch while the next one is prepared.
    """

    def __init__(self, model: Model, limits: Limits) -> None:
        self.model, self.limits, self.labels = model, limits, list(model.labels)
        self.tokenizer_thread, self.batcher = ModelThread(), Batcher(model.predict, limits)
        self.metrics = Metrics(self.batcher)
        self.queued_characters = 0
        self.trial: asyncio.Task[None] | None = None
        self.trial_ended = 0.0

    async def run(self) -> None:
        """Compute what is asked for until cancelled."""
        self.queued_characters, self.trial = 0, None
        self.tokenizer_thread.start()
        try:
            await self.batcher.run()
        finally:
            self.tokenizer_thread.stop()

    async def encode(self, texts: list[Any]) -> list[Example]:
        """The examples of texts; of a model of pairs, each text is a list of two."""
        examples: list[Example] = []
        with self.room_for(texts):
            for start in range(0, len(texts), TEXTS_AT_ONCE):
                some = texts[start : start + TEXTS_AT_ONCE]
                examples += await self.tokenizer_thread(self.model.encode, some, cost=num_characters(some))
        return examples

    async def encode_dialogue(self, texts: list[str], speakers: list[str], future: bool) -> list[Example]:
        with self.room_for(texts):
            examples: list[Example] = await self.tokenizer_thread(
                self.model.encode_dialogue, texts, speakers, future, cost=sum(map(len, texts))
            )
        return examples

    @contextmanager
    def room_for(self, texts: list[Any]) -> Iterator[None]:
        """Count the characters that wait for the tokenizer. Raises HTTPException 503 when there are too many.

        Without this, requests that the queue of the model has no room for would learn it only after they have waited
        for the tokenizer. Short requests overtake the others there, and `max_concurrent_requests` bounds their number.
        """
        number = num_characters(texts)
        is_long = number > self.limits.max_characters
        full = self.queued_characters + number > self.limits.max_queued_characters
        if is_long and self.queued_characters and full:
            raise overloaded(self.batcher.seconds_to_wait())
        self.queued_characters += number
        try:
            yield
        finally:
            self.queued_characters -= number

    async def classify(self, examples: list[Example], num_rows: int, top_k: int, future: bool) -> Answer:
        """Compute and count the predictions for examples that hold `num_rows` texts or turns."""
        results = []
        for row in self.model.probabilities(await self.batcher(examples), num_rows):
            best = [Score(label=self.labels[i], score=round(float(row[i]), 6)) for i in np.argsort(-row)[:top_k]]
            chosen = [self.labels[i] for i in self.model.chosen(row.tolist())]
            labels = chosen if self.model.thresholds is not None else None
            results.append(Result(label=best[0].label, labels=labels, scores=best))
            for label in chosen:
                self.metrics.predictions.labels(label).inc()
            self.metrics.confidence.observe(best[0].score)
        return Answer(model=self.model.name, digest=self.model.digest, future=future, results=results)

    async def check_ready(self) -> None:
        """Raise what is wrong, if the model does not answer within two seconds.

        All who ask within a second share one trial, so that asking often costs no more than asking once.
        """
        if self.trial is None or (self.trial.done() and time.monotonic() > self.trial_ended + READY_SECONDS):
            self.trial = asyncio.create_task(self.try_model())
            self.trial.add_done_callback(self.end_trial)
        await asyncio.shield(self.trial)

    async def try_model(self) -> None:
        async with asyncio.timeout(2):
            self.model.probabilities(await self.batcher(await self.encode([greeting(self.model)])), 1)

    def end_trial(self, trial: asyncio.Task[None]) -> None:
        self.trial_ended = time.monotonic()
        if not trial.cancelled():
            trial.exception()  # asyncio would complain if all who asked were gone and nobody looked at it


def num_characters(texts: list[Any]) -> int:
    """How many characters texts have, or pairs of texts.

    >>> num_characters(["Hello."]), num_characters([["Hello.", "Hi!"]])
    (6, 9)
    """
    return sum(len(text) if isinstance(text, str) else sum(map(len, text)) for text in texts)


def make_router(engine: Engine, with_key: bool) -> APIRouter:
    """All paths that return data.

    Args:
        engine: what computes the answers.
        with_key: whether the OpenAPI schema says that a key is needed. The key itself is checked in the middleware.
    """
    router = APIRouter()
    locked: dict[str, Any] = {"dependencies": [Depends(HTTPBearer(auto_error=False))] if with_key else []}
    unauthorized = (401,) if with_key else ()
    add_classify(
        router, engine, **locked, responses=problem_responses(400, *unauthorized, 408, 413, 415, 422, 500, 503, 504)
    )

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
