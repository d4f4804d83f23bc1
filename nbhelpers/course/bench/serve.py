"""`nbhelpers bench serve`: how many requests per second services answer in time."""

from __future__ import annotations

import contextlib
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from . import load
from .comparing import OURS, Comparison, NotMeasured, Way, take_turns
from .load import Endpoint
from .predict import make_folders, make_ours, texts_per_second
from .sample import Sample

Services = Mapping[str, tuple[Sequence[str], Endpoint]]  # name -> (command, endpoint)
OWN_COMMAND = "nbhelpers.course.cli"
LIMIT_MS = 50  # within which 99 of 100 requests must be answered
COMMON = "pipeline behind FastAPI"
CEILING = "int8 export without a service"
WARM_UP_REQUESTS = 20


def highest_rate(holds: Callable[[float], bool], start: float, tolerance: float) -> float:
    """The highest rate that holds, at most by `tolerance` too low; 0 if none above 1 per second does.

    Args:
        holds: whether a rate holds. If one does, lower ones are assumed to.
        start: the first rate that is tried.
        tolerance: as a share of the rate.

    >>> tried = []
    >>> highest_rate(lambda rate: tried.append(rate) or rate <= 30, start=8, tolerance=0.5), tried
    (22.627416997969522, [8, 16, 32, 22.627416997969522])
    """
    low, high = 0.0, start
    while holds(high):
        low, high = high, 2 * high
    while not low and high > 1:
        if holds(high / 2):
            low = high / 2
        else:
            high /= 2
    while low and high > (1 + tolerance) * low:
        middle = math.sqrt(low * high)
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


def requests_in_time(endpoint: Endpoint, texts: Sequence[str], seconds: float, tolerance: float) -> float:
    """The most requests per second, of one text each, of which 99 % are answered within `LIMIT_MS`.

    Args:
        endpoint: of the service.
        texts: what is sent.
        seconds: for which each rate is tried.
        tolerance: as in `highest_rate`.
    """

    async def one_by_one() -> float:
        idle: list[load.Connection] = []
        taken = []
        for text in texts[:WARM_UP_REQUESTS]:
            start = time.perf_counter()
            await load.ask(endpoint.port, idle, endpoint.content(text), endpoint.path)
            taken.append(time.perf_counter() - start)
        return statistics.median(taken)

    def holds(rate: float) -> bool:
        return load.p99(load.run(load.steady(endpoint, texts, rate, seconds, LIMIT_MS))) <= LIMIT_MS

    # about half of what a service can answer that computes one request after the other
    return highest_rate(holds, 0.5 / load.run(one_by_one()), tolerance)


def commands(folders: Mapping[str, Path], ports: Sequence[int]) -> dict[str, list[str]]:
    """Service -> the command that starts it, on one of the ports."""
    python, own = [sys.executable, "-m"], "nbhelpers.course.bench.servers"
    return {
        COMMON: [*python, own, "pipeline", str(folders["torch"]), str(ports[0])],
        "onnxruntime behind FastAPI, fp32": [*python, own, "onnxruntime", str(folders["onnx"]), str(ports[1])],
        f"{OURS}, fp32 export": [*python, OWN_COMMAND, "serve", str(folders["onnx"]), "--port", str(ports[2])],
        f"{OURS}, int8 export": [*python, OWN_COMMAND, "serve", str(folders["int8"]), "--port", str(ports[3])],
    }


@contextlib.contextmanager
def started(services: Services) -> Iterator[dict[str, str]]:
    """Start services together, and wait until they are ready. Yields why one did not get ready, by its name."""
    with contextlib.ExitStack() as stack:
        running = {name: stack.enter_context(load.process(command)) for name, (command, _) in services.items()}
        failed = {}
        for name, (_, endpoint) in services.items():
            try:
                load.wait_until_ready(*running[name], endpoint)
            except NotMeasured as error:
                failed[name] = str(error)
        yield failed


def measure(
    sample: Sample, place: Path, quick: bool, say: Callable[[str], None], peers: Services | None = None
) -> Comparison:
    """Compare services. The arguments are as in `train.measure`; the models go to `place`.

    Args:
        peers: further services: name -> (command, endpoint).
    """
    seconds, tolerance, num_rounds = (1.5, 0.2, 1) if quick else (10, 0.05, 3)
    say("exporting a model")
    folders = make_folders(sample, place)
    endpoints = [Endpoint(load.free_port()) for _ in range(4)]
    own = commands(folders, [endpoint.port for endpoint in endpoints])
    services = {**dict(zip(own, zip(own.values(), endpoints, strict=True), strict=True)), **(peers or {})}
    say("starting the services")
    with started(services) as not_started:
        ways: dict[str, Way] = {
            name: partial(requests_in_time, endpoint, sample.texts, seconds, tolerance)
            for name, (_, endpoint) in services.items()
            if name not in not_started
        }
        ways[CEILING] = partial(texts_per_second, sample.texts, make_ours(folders["int8"]))
        speeds, failed = take_turns(ways, num_rounds, say)
    about = f"Serving: one text per request, 99 of 100 answered within {LIMIT_MS} ms; {sample.describe()}."
    return Comparison("serve", about, "requests per second", speeds, COMMON, CEILING, {}, failed | not_started)
