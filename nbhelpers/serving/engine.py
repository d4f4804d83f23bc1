"""A model at work: its queue, its threads, its counts, and what it answers."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .batcher import Batcher, ModelThread
from .limits import Limits
from .metrics import Metrics
from .model import Example, Model, greeting, num_rows
from .problems import overloaded
from .schemas import Answer, Entities, Entity, Result, Score, TextEntities

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

    async def find_entities(self, texts: list[str]) -> Entities:
        """Compute and count the entities of texts."""
        examples = await self.encode(texts)
        probabilities = self.model.probabilities(await self.batcher(examples), num_rows(examples))
        mentions: Any = self.model.mentions
        found = await self.tokenizer_thread(mentions, texts, probabilities, cost=num_characters(texts))
        results = []
        for text, places in zip(texts, found, strict=True):
            entities = []
            for start, stop, label, score in places:
                entity = Entity(start=start, end=stop, label=label, text=text[start:stop], score=round(score, 6))
                entities.append(entity)
                self.metrics.predictions.labels(label).inc()
                self.metrics.confidence.observe(score)
            results.append(TextEntities(entities=entities))
        return Entities(model=self.model.name, digest=self.model.digest, results=results)

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
            examples = await self.encode([greeting(self.model)])
            self.model.probabilities(await self.batcher(examples), num_rows(examples))

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
