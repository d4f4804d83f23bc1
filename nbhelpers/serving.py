"""The web service: texts and dialogues in, labels with probabilities out, for any model that fits into a `Model`.

It batches what arrives together by length, lets short requests pass long ones, refuses what is too much in a clear
sentence, counts what it does, and shows a page (page.html beside this file; without it, "/" leads to "/docs").

    model = make_model(torch_logits_fn(classifier), tokenizer, labels, dialogue=nbhelpers.dialogue, future=1)
    serve(lambda: model)

Needs fastapi, uvicorn, prometheus-client and numpy; torch only in `torch_logits_fn`.
"""

import asyncio
import base64
import hashlib
import hmac
import html
import itertools
import json
import logging
import math
import multiprocessing
import os
import pickle
import queue
import re
import secrets
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from heapq import nsmallest
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from fastapi.security import HTTPBearer
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from uvicorn.supervisors.multiprocess import Multiprocess, Process

API_KEY = "NBHELPERS_API_KEY"  # the environment variable; never an argument, which a list of processes would show
PAGE = Path(__file__).with_name("page.html")
OPEN = ("/", "/docs", "/health", "/openapi.json", "/ready")  # these need no key
PATHS = (*OPEN, "/classify", "/classify/dialogue", "/metrics")
ALL = 1_000_000  # turns of context: as many as fit
NOT_BLANK = r"^[^\x00]*[^\s\x00][^\x00]*$"
log = logging.getLogger(__name__)

Example = Mapping[str, Sequence[int]]  # "input_ids", and "starts" and "ends" of the turns to classify, if it has turns
Batch = dict[str, NDArray[np.int64]]
Run = Callable[[Batch], NDArray[np.floating[Any]]]  # -> logits [batch, classes] or [batch, turns, classes]


@dataclass(frozen=True)
class Model:
    """All that the service knows of a model. Its functions are called from two threads, one for each kind.

    Args:
        labels: the class names in the order of the logits.
        encode: texts -> one example each.
        encode_dialogue: texts, speakers, may later turns be seen? -> examples that hold each turn once, in order.
        predict: examples of like length -> for each, its logits [turns, classes] (a text is one turn).
        name: shown to clients; not a path.
        future: whether the model can look at later turns.
    """

    labels: Sequence[str]
    encode: Callable[[list[str]], list[Example]]
    encode_dialogue: Callable[[list[str], list[str], bool], list[Example]]
    predict: Callable[[list[Example]], list[NDArray[np.floating[Any]]]]
    name: str = "model"
    future: bool = False


@dataclass(frozen=True)
class Limits:
    """What a service takes on. The defaults suit an encoder of 20 to 130 M parameters on a few CPU cores."""

    texts: int = 64  # texts or turns a call
    characters: int = 2000  # of one text
    body_bytes: int = 512 * 1024
    body_seconds: float = 5.0  # for a client to send its body
    requests: int = 512  # in the house at once
    waiting_tokens: int = 65_536  # in the queue
    batch_tokens: int = 1024  # padding included; what a short request may have to wait for
    batch_size: int = 32
    delay: float = 0.0  # seconds an idle service waits for company for the first request


DEFAULTS = Limits()


def make_model(
    run: Run,
    tokenizer: Any,
    labels: Sequence[str],
    *,
    dialogue: Any = None,
    speaker_format: str = "none",
    past: int | None = None,
    future: int = 0,
    name: str = "model",
) -> Model:
    """A `Model` from a function that computes logits and a transformers tokenizer.

    Args:
        run: `torch_logits_fn(model)` or `onnx_logits_fn(session)`.
        tokenizer: its `model_max_length` must be what the model reads; longer texts are cut there.
        dialogue: the module nbhelpers.dialogue when the model takes "starts" and "ends"; None for a model of single
            texts, which then reads each turn alone.
        speaker_format: how it was trained to see speakers: "name", "id" or "none".
        past: how many earlier turns it was trained to see; None: whole dialogues in one pass.
        future: how many later turns; for whole dialogues 1 (it sees them) or 0 (`config.causal_turns`).
    """

    def encode(texts: list[str]) -> list[Example]:
        if dialogue is None:
            return [{"input_ids": ids} for ids in tokenizer(texts, truncation=True)["input_ids"]]
        alone = range(len(texts))  # each its own dialogue
        by_id = speaker_format == "id"
        turns = dialogue.encode_turns(
            texts, alone, tokenizer, speakers=[""] * len(texts), speaker_format="id" if by_id else "none"
        )
        return list(dialogue.whole_dialogues(turns, alone, tokenizer))

    def encode_dialogue(texts: list[str], speakers: list[str], see_future: bool) -> list[Example]:
        if dialogue is None:
            return encode(texts)
        one = [0] * len(texts)
        turns = dialogue.encode_turns(texts, one, tokenizer, speakers=speakers, speaker_format=speaker_format)
        if past is None and see_future == bool(future):
            return list(dialogue.whole_dialogues(turns, one, tokenizer))
        shown = {"past": ALL if past is None else past, "future": future if see_future else 0}
        return list(dialogue.windows(turns, one, tokenizer, **shown))

    def predict(examples: list[Example]) -> list[NDArray[np.floating[Any]]]:
        logits = run(collate(examples, tokenizer.pad_token_id))
        if dialogue is None:
            return list(logits[:, np.newaxis])
        return [rows[: len(example["starts"])] for rows, example in zip(logits, examples, strict=True)]

    return Model(labels, encode, encode_dialogue, predict, name, future > 0)


def torch_logits_fn(model: Any) -> Run:
    """Logits by a torch model, such as `encoders.load_trained` returns; puts it into evaluation mode."""
    import torch

    model.eval()

    def run(batch: Batch) -> NDArray[np.floating[Any]]:
        with torch.inference_mode():
            inputs = {name: torch.from_numpy(column).to(model.device) for name, column in batch.items()}
            logits: NDArray[np.floating[Any]] = model(**inputs).logits.float().cpu().numpy()
            return logits

    return run


def onnx_logits_fn(session: Any) -> Run:
    """Logits by an onnxruntime.InferenceSession: its first output."""
    names = {node.name for node in session.get_inputs()}
    return lambda batch: session.run(None, {name: column for name, column in batch.items() if name in names})[0]


def collate(examples: Sequence[Example], pad_token_id: int) -> Batch:
    """Examples -> "attention_mask" and their own columns, each [batch, longest], padded.

    >>> {name: column.tolist() for name, column in collate([{"input_ids": [5, 6]}, {"input_ids": [7]}], 1).items()}
    {'attention_mask': [[1, 1], [1, 0]], 'input_ids': [[5, 6], [7, 1]]}
    """

    def padded(column: list[Sequence[int]], fill: int) -> NDArray[np.int64]:
        longest = max(map(len, column))
        return np.array([[*row, *[fill] * (longest - len(row))] for row in column], dtype=np.int64)

    batch = {"attention_mask": padded([[1] * len(example["input_ids"]) for example in examples], 0)}
    for name in examples[0]:
        batch[name] = padded([example[name] for example in examples], pad_token_id if name == "input_ids" else 0)
    return batch


def probabilities(logits: list[NDArray[np.floating[Any]]], rows: int, classes: int) -> NDArray[np.floating[Any]]:
    """Softmax of the joined logits [rows, classes]; RuntimeError when the model gave another shape, or no numbers.

    >>> probabilities([np.array([[0.0, 0.0]]), np.array([[0.0, np.log(3)]])], 2, 2).round(2).tolist()
    [[0.5, 0.5], [0.25, 0.75]]
    """
    joined = np.concatenate(logits).astype(np.float64)
    if joined.shape != (rows, classes) or not np.isfinite(joined).all():
        raise RuntimeError(f"the model gave logits of shape {joined.shape} for {(rows, classes)}, or not finite ones")
    weights = np.exp(joined - joined.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


class Worker:
    """One thread that calls one function after the other.

    It is a daemon, unlike those of a ThreadPoolExecutor: a model that hangs must not keep the process from ending.
    """

    def __init__(self) -> None:
        self.jobs: queue.SimpleQueue[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]] | None] = (
            queue.SimpleQueue()
        )
        threading.Thread(target=self.work, daemon=True).start()

    def __call__(self, function: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future: Future[Any] = Future()
        self.jobs.put((future, function, args))
        return asyncio.wrap_future(future)

    def work(self) -> None:
        while job := self.jobs.get():  # None ends it
            future, function, args = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*args))
                except BaseException as error:
                    future.set_exception(error)


@dataclass(eq=False, slots=True)
class Item:
    """An example that waits for its logits."""

    example: Example
    tokens: int
    turn: int
    logits: asyncio.Future[NDArray[np.floating[Any]]]


class Batcher:
    """Examples of all requests in one queue, computed in batches of like length.

    The first in turn leads a batch, and those nearest to it in length join. An example's turn is the clock when it came
    plus the tokens of its own request up to and including it; the clock is the turn of the last leader. So requests
    share the model by tokens: a short one passes a long one that came before, and nothing waits for ever
    (self-clocked fair queueing, Golestani 1994).
    """

    def __init__(self, predict: Callable[[list[Example]], list[NDArray[np.floating[Any]]]], limits: Limits) -> None:
        self.predict, self.limits, self.worker = predict, limits, Worker()
        self.waiting: list[Item] = []
        self.waiting_tokens = self.clock = 0
        self.seconds_per_token = 1e-4  # a first guess, then measured; for Retry-After
        self.arrived = asyncio.Event()
        self.watch: Callable[[int], None] = lambda items: None  # told the size of each batch

    async def __call__(self, examples: Sequence[Example]) -> list[NDArray[np.floating[Any]]]:
        """The logits of these examples. Cancelled, it takes back what has not begun. HTTPException 503 when full."""
        lengths = [len(example["input_ids"]) for example in examples]
        if self.waiting_tokens and self.waiting_tokens + sum(lengths) > self.limits.waiting_tokens:
            raise overloaded(self.waiting_tokens * self.seconds_per_token)
        future, turns = asyncio.get_running_loop().create_future, itertools.accumulate(lengths, initial=self.clock)
        next(turns)
        items = [Item(*entry, future()) for entry in zip(examples, lengths, turns, strict=True)]
        self.waiting += items
        self.waiting_tokens += sum(lengths)
        self.arrived.set()
        try:
            return await asyncio.gather(*(item.logits for item in items))
        finally:
            for item in items:
                item.logits.cancel()  # no effect on those that are done

    async def run(self) -> None:
        """Compute batches until cancelled."""
        while True:
            await self.arrived.wait()
            await asyncio.sleep(self.limits.delay)
            while batch := self.take():
                began = time.monotonic()
                await self.compute(batch)
                pace = (time.monotonic() - began) / sum(item.tokens for item in batch)
                self.seconds_per_token += 0.1 * (pace - self.seconds_per_token)
            self.arrived.clear()

    def take(self) -> list[Item]:
        """The next batch, removed from the queue; empty when nothing waits."""
        self.waiting = [item for item in self.waiting if not item.logits.done()]  # done here means: nobody wants it
        batch: list[Item] = []
        if self.waiting:
            lead = min(self.waiting, key=lambda item: item.turn)
            self.clock, width = lead.turn, 0
            nearest = lambda item: (item is not lead, abs(item.tokens - lead.tokens), item.turn)  # noqa: E731
            for item in nsmallest(self.limits.batch_size, self.waiting, nearest):
                width = max(width, item.tokens)
                alike = abs(item.tokens - lead.tokens) <= 4 + lead.tokens // 4
                if batch and (not alike or (len(batch) + 1) * width > self.limits.batch_tokens):
                    break
                batch.append(item)
            taken = set(map(id, batch))
            self.waiting = [item for item in self.waiting if id(item) not in taken]
        self.waiting_tokens = sum(item.tokens for item in self.waiting)
        return batch

    async def compute(self, batch: list[Item]) -> None:
        """Give each example its logits. When a batch fails, each is tried alone: one must not fail its neighbours."""
        self.watch(len(batch))
        try:
            outcomes = await self.worker(self.predict, [item.example for item in batch])
            for item, logits in zip(batch, outcomes, strict=True):
                if not item.logits.done():
                    item.logits.set_result(logits)
        except Exception as error:
            if len(batch) > 1:
                for item in batch:
                    await self.compute([item])
            elif not batch[0].logits.done():
                batch[0].logits.set_exception(error)


class Metrics:
    """What /metrics shows. Labels and confidence are there to watch for drift against the training data."""

    def __init__(self, batcher: Batcher) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter("nbhelpers_requests", "Answers", ["path", "status"], registry=registry)
        self.seconds = Histogram("nbhelpers_request_seconds", "Time to answer", ["path"], registry=registry)
        self.labels = Counter("nbhelpers_labels", "Labels given", ["label"], registry=registry)
        shares = [n / 10 for n in range(1, 10)]
        self.confidence = Histogram("nbhelpers_confidence", "Highest probability", buckets=shares, registry=registry)
        powers = [2**n for n in range(8)]
        batches = Histogram("nbhelpers_batch_items", "Examples in a batch", buckets=powers, registry=registry)
        batcher.watch = batches.observe
        about = "Tokens in the queue (of several workers: of the one asked)"
        self.waiting = Gauge("nbhelpers_waiting_tokens", about, registry=registry, multiprocess_mode="mostrecent")
        self.batcher = batcher

    def text(self) -> bytes:
        """All counts, in Prometheus's format; of several workers their sums."""
        self.waiting.set(self.batcher.waiting_tokens)
        registry = self.registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return generate_latest(registry)


class Guard:
    """Around every request (ASGI): its id, key, limits, time, log line; what fails inside becomes a bare 500.

    Once the body is there, it watches for the client to hang up, and cancels the work if it does.
    """

    def __init__(self, app: Any, limits: Limits, api_key: str | None, metrics: Metrics) -> None:
        self.app, self.limits, self.metrics, self.active = app, limits, metrics, 0
        self.key = api_key and f"Bearer {api_key}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope["request_id"] = secrets.token_hex(8)
        began, status = time.perf_counter(), 499  # the usual number for a client that did not wait

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(raw=message["headers"])
                for name, value in {**SECURITY, "X-Request-ID": scope["request_id"]}.items():
                    headers.setdefault(name, value)
            await send(message)

        self.active += 1
        try:
            self.check(scope)
            if scope["method"] != "POST":
                await self.app(scope, receive, answer)
            else:
                parts = iter([{"type": "http.request", "body": await self.body(scope, receive)}])

                async def replay() -> Any:
                    return next(parts, {"type": "http.disconnect"})

                work = asyncio.ensure_future(self.app(scope, replay, answer))
                gone = asyncio.ensure_future(receive())  # comes back when the client hangs up, or has its answer
                try:
                    await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
                    if status == 499:
                        work.cancel()
                    await work
                except asyncio.CancelledError:
                    if not gone.done():  # it is the server that stops
                        raise
                finally:
                    work.cancel()
                    gone.cancel()
        except ClientDisconnect:
            pass
        except HTTPException as error:
            await problem(scope, error)(scope, receive, answer)
        except Exception:
            log.exception("request %s failed", scope["request_id"])
            await problem(scope, HTTPException(500, "an error inside the service; its log names this request"))(
                scope, receive, answer
            )
        finally:
            self.active -= 1
            path, seconds = scope["path"] if scope["path"] in PATHS else "other", time.perf_counter() - began
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(seconds)
            log.info("%s %s %s %.1f ms", scope["request_id"], path, status, 1000 * seconds)

    def check(self, scope: Any) -> None:
        headers = dict(scope["headers"])
        given, sentence = headers.get(b"authorization", b""), "this needs the header 'Authorization: Bearer KEY'"
        if self.key and scope["path"] not in OPEN and not hmac.compare_digest(given, self.key):
            raise HTTPException(401, sentence, {"WWW-Authenticate": "Bearer"})
        if scope["method"] == "POST" and self.active > self.limits.requests:
            raise overloaded(1)

    async def body(self, scope: Any, receive: Any) -> bytes:
        most, body = self.limits.body_bytes, bytearray()
        too_large = HTTPException(413, f"the body has more than {most} bytes; send fewer texts a call")
        if int(Headers(scope=scope).get("content-length", 0)) > most:
            raise too_large
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large
                    if not message.get("more_body"):
                        return bytes(body)
        except TimeoutError:
            sentence = f"the body was not complete after {self.limits.body_seconds:g} s"
            raise HTTPException(408, sentence, {"Connection": "close"}) from None


SECURITY = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def overloaded(seconds: float) -> HTTPException:
    wait = max(1, math.ceil(seconds))
    return HTTPException(503, f"too much is waiting already; try again in {wait} s", {"Retry-After": str(wait)})


def problem(scope: Any, error: HTTPException) -> JSONResponse:
    """Every answer that is not 2xx: one sentence, and the id under which the log knows more."""
    content = {"error": error.detail, "request_id": scope["request_id"]}
    return JSONResponse(content, error.status_code, error.headers)


def readable(text: Any) -> Any:
    """Refuse, before its length is looked at, a text that cannot mean what it says."""
    if isinstance(text, str):
        if not text.strip():
            raise ValueError("the text is empty")
        if "\x00" in text:
            raise ValueError("the text holds a NUL character; remove it")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise ValueError("the text holds half a character (a lone surrogate); send it whole")
    return text


class Query(BaseModel):
    """A request: nothing is converted, nothing unknown is ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Score(BaseModel):
    """A label and its probability."""

    label: str
    score: float


class Result(BaseModel):
    """The best label of a text or turn, and its `top_k` labels, best first."""

    label: str
    scores: list[Score]


class Answer(BaseModel):
    """One result for each text or turn, in the order in which they were sent."""

    model: str
    future: bool = Field(description="whether later turns were seen")
    results: list[Result]


class Problem(BaseModel):
    """What went wrong, in a sentence."""

    error: str
    request_id: str


def create_app(model: Model, limits: Limits = DEFAULTS, *, api_key: str | None = None) -> FastAPI:
    """The service as an ASGI application.

    Args:
        model: see `Model`; `adapt` makes one.
        api_key: what clients must send as "Authorization: Bearer KEY"; None: nothing.

    >>> create_app(Model(("no", "yes"), list, list, list)).title
    'nbhelpers: model'
    """
    if api_key is not None and not api_key.strip():
        raise ValueError(f"the API key is blank; give {API_KEY} a value, or remove it")
    labels, batcher, encoder = list(model.labels), Batcher(model.predict, limits), Worker()
    metrics = Metrics(batcher)
    shape: dict[str, Any] = {"min_length": 1, "json_schema_extra": {"pattern": NOT_BLANK}}
    Text = Annotated[str, Field(max_length=limits.characters, **shape), BeforeValidator(readable)]
    Speaker = Annotated[str, Field(max_length=100, **shape), BeforeValidator(readable)]
    integer = BeforeValidator(lambda n: int(n) if isinstance(n, float) and n.is_integer() else n)  # JSON has no other 5
    TopK = Annotated[int, Field(ge=1, le=len(labels), description="how many labels to return for each"), integer]

    class Texts(Query):
        texts: list[Text] = Field(min_length=1, max_length=limits.texts, examples=[["What a day!", "Leave me alone."]])
        top_k: TopK = len(labels)

    class Turn(Query):
        speaker: Speaker = Field(examples=["Ann"])
        text: Text = Field(examples=["The bus left without me."])

    class Dialogue(Query):
        turns: list[Turn] = Field(min_length=1, max_length=limits.texts)
        future: bool | None = Field(None, description="may a turn see later ones? null: as the model was trained")
        top_k: TopK = len(labels)

    async def answer(examples: list[Example], rows: int, top_k: int, future: bool) -> Answer:
        scores = probabilities(await batcher(examples), rows, len(labels))
        results = []
        for row in scores:
            best = [Score(label=labels[i], score=round(float(row[i]), 6)) for i in np.argsort(-row)[:top_k]]
            results.append(Result(label=best[0].label, scores=best))
            metrics.labels.labels(best[0].label).inc()
            metrics.confidence.observe(best[0].score)
        return Answer(model=model.name, future=future, results=results)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        batching = asyncio.create_task(batcher.run())
        yield
        batching.cancel()
        for worker in (encoder, batcher.worker):
            worker.jobs.put(None)

    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": why}
        for status, why in {
            400: "not JSON", 401: "no or a wrong key", 408: "the body came too slowly", 413: "the body is too large",
            422: "a limit or a type, named", 500: "an error inside", 503: "too much is waiting",
        }.items()
        if status != 401 or api_key
    }  # fmt: skip
    app = FastAPI(
        title=f"nbhelpers: {model.name}", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.add_middleware(Guard, limits=limits, api_key=api_key, metrics=metrics)
    keyed: dict[str, Any] = {"dependencies": [Depends(HTTPBearer(auto_error=False))] if api_key else []}

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> JSONResponse:
        return problem(request.scope, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where, sentence = ".".join(map(str, first["loc"][1:])), first["msg"].removeprefix("Value error, ")
        if first["type"] == "json_invalid":
            where, sentence = "body", f"this is not JSON (character {where})"
        elif not request.headers.get("content-type", "").startswith("application/json"):
            where, sentence = "body", "send JSON, with the header 'Content-Type: application/json'"
        where = where.encode("utf-8", "replace").decode()[:100] or "body"  # the client's words, if a field is unknown
        return problem(request.scope, HTTPException(422, f"{where}: {sentence}"))

    @app.post("/classify", responses=problems, **keyed)
    async def classify(query: Texts) -> Answer:
        """The labels of single texts."""
        examples: list[Example] = []
        for start in range(0, len(query.texts), 8):  # in pieces, so that a long request lets others between
            examples += await encoder(model.encode, query.texts[start : start + 8])
        return await answer(examples, len(query.texts), query.top_k, False)

    @app.post("/classify/dialogue", responses=problems, **keyed)
    async def classify_dialogue(query: Dialogue) -> Answer:
        """The label of each turn of a dialogue, seen with the turns before it and, with `future`, after it."""
        future = model.future if query.future is None else query.future
        if future and not model.future:
            raise HTTPException(422, "future: this model was trained without later turns; send false, or leave it out")
        texts, speakers = [turn.text for turn in query.turns], [turn.speaker for turn in query.turns]
        examples = await encoder(model.encode_dialogue, texts, speakers, future)
        return await answer(examples, len(texts), query.top_k, future)

    @app.get("/health")
    async def health() -> dict[str, bool]:
        """The process answers."""
        return {"alive": True}

    @app.get("/ready", responses={503: problems[503]})
    async def ready() -> dict[str, Any]:
        """The model answers, now; and what it is."""
        try:
            async with asyncio.timeout(2):
                probabilities(await batcher(await encoder(model.encode, ["Hello."])), 1, len(labels))
        except Exception as error:
            log.warning("not ready: %r", error)
            raise HTTPException(503, "the model does not answer", {"Retry-After": "1"}) from None
        return {"model": model.name, "labels": labels, "future": model.future, "texts": limits.texts}

    @app.get("/metrics", **keyed, response_class=Response, responses={401: problems[401]} if api_key else {})
    async def show_metrics() -> Response:
        """Counts and times for Prometheus."""
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/docs", response_class=HTMLResponse, include_in_schema=False)
    async def docs() -> HTMLResponse:
        return page(reference(app.openapi()))

    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def index() -> Response:
        return page(PAGE.read_text(encoding="utf-8")) if PAGE.exists() else RedirectResponse("/docs")

    return app


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
    """The page /docs, from the OpenAPI schema; FastAPI's own would load its scripts from another host."""
    title, parts = html.escape(schema["info"]["title"]), []
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            fields = schema["components"]["schemas"].get(body.get("$ref", "").rpartition("/")[2])
            statuses = [f"{status}: {answer['description']}" for status, answer in operation["responses"].items()]
            parts.append(f"<h2><code>{method.upper()} {path}</code></h2><p>{html.escape(operation['description'])}</p>")
            parts.append(f"<pre tabindex=0>{html.escape(json.dumps(fields, indent=1))}</pre>" if fields else "")
            parts.append(f"<ul><li>{'<li>'.join(map(html.escape, statuses))}</ul>")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><link rel="icon" href="data:,">'
        '<meta name="viewport" content="width=device-width"><style>:root{color-scheme:light dark}body{max-width:50rem;'
        "margin:auto;padding:1rem;font:1rem/1.5 system-ui}pre{overflow:auto;border:1px solid;padding:.5rem}</style>"
        f'<h1>{title}</h1><p>For tools: <a href="openapi.json">openapi.json</a>. <a href=".">The page.</a></p>'
    ) + "".join(parts)


def probe(model: Model) -> None:
    """Raise what is wrong with a model before anybody asks it."""
    two = model.encode_dialogue(["Hello.", "Hi!"], ["Ann", "Bo"], model.future)
    for examples, rows in ((model.encode(["Hello."]), 1), (two, 2)):
        probabilities(model.predict(examples), rows, len(model.labels))


def serve(
    load: Callable[[], Model],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits = DEFAULTS,
    workers: int = 1,
) -> None:
    """Load the model, try it, print the address and serve until SIGTERM or Ctrl+C; then answer what is in flight.

    The environment variable NBHELPERS_API_KEY sets a key. What prevents the start is told in a sentence, exit code 1.

    Args:
        load: returns the model; called in each worker. It decides how many threads a model computes with: workers times
            threads should not exceed the cores.
        host: "0.0.0.0" lets other machines in.
        port: 0 takes a free one.
        limits: of each worker.
        workers: processes that share the address; one that dies is replaced, and /metrics counts for all. They are
            spawned: more than one need a `load` that pickle knows, such as functools.partial(function_of_a_module,
            folder), and a main module that does nothing when imported.
    """
    set_up_logging()
    began, several = time.perf_counter(), workers > 1
    print("Loading the model ...", flush=True)
    try:
        app: Any = partial(worker_app, pickle.dumps(load), limits) if several else load_app(load, limits)
        listener = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        # connections inherit it; asyncio sets it only on sockets that name their protocol, and without it the second
        # part of a small answer waits 40 ms for the client to confirm the first
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    except Exception as error:
        sys.exit(not_started(error))
    if host not in ("127.0.0.1", "::1", "localhost") and not os.environ.get(API_KEY):
        print(f"Anybody who reaches this machine can use the service; {API_KEY} would ask for a key.")
    address = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"

    def announce() -> None:
        seconds = time.perf_counter() - began
        print(f"Ready after {seconds:.1f} s: {address} (API: {address}/docs). Ctrl+C ends it.", flush=True)

    config = uvicorn.Config(
        app, factory=several, workers=workers, log_config=None, access_log=False, server_header=False,
        proxy_headers=False, ws="none", lifespan="on", timeout_graceful_shutdown=8, timeout_worker_healthcheck=60,
    )  # fmt: skip
    if several:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # where the workers count together
            Workers(config, [listener], announce).run()
            del os.environ["PROMETHEUS_MULTIPROC_DIR"]
        return
    announce()
    try:
        uvicorn.Server(config).run(sockets=[listener])
    except KeyboardInterrupt:
        print("Stopped.")


def set_up_logging() -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)


def not_started(error: Exception) -> str:
    log.debug("start failed", exc_info=error)
    return f"The service did not start: {(str(error).strip() or repr(error)).splitlines()[0]}"


def load_app(load: Callable[[], Model], limits: Limits) -> FastAPI:
    """The application, its model loaded and tried."""
    model = load()
    probe(model)
    return create_app(model, limits, api_key=os.environ.get(API_KEY))


def worker_app(pickled_load: bytes, limits: Limits) -> FastAPI:
    """The application of a worker, made in its process. It still comes pickled, so that what it imports is loaded here,
    where uvicorn's supervisor can see that the worker lives."""
    set_up_logging()
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None

    def end_with_it() -> None:
        supervisor.join()
        signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=end_with_it, daemon=True).start()
    handlers = [(number, signal.signal(number, signal.SIG_DFL)) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        app = load_app(pickle.loads(pickled_load), limits)
    except Exception as error:
        sys.exit(not_started(error))
    for handler in handlers:  # until here a signal ended it at once
        signal.signal(*handler)
    return app


class Workers(Multiprocess):
    """uvicorn's supervisor, which starts processes and replaces those that died.

    The first is started alone: when it cannot serve, it says why and all ends.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], announce: Callable[[], None]) -> None:
        super().__init__(config, sockets)
        self.announce = announce

    def init_processes(self) -> None:
        first = Process(self.config, self.sockets)
        self.processes.append(first)
        first.start()
        while not first.wait_until_ready(0.5):
            self.handle_signals()
            if self.should_exit.is_set():
                return
            if first.exitcode is not None:
                sys.exit(1 if first.exitcode == 1 else f"The service did not start: exit code {first.exitcode}")
        self.announce()
        for _ in range(self.processes_num - 1):
            self.processes.append(Process(self.config, self.sockets))
            self.processes[-1].start()

    def keep_subprocess_alive(self) -> None:
        for process in self.processes:  # or nobody would notice for a minute that one died before it answered
            process.child_conn.close()  # the worker has its own
        super().keep_subprocess_alive()

    def terminate_all(self) -> None:
        for listener in self.sockets:  # or who connects now would wait until all is over
            listener.close()
        super().terminate_all()
