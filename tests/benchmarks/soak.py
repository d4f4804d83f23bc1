"""A long run of the service: every answer is checked, workers are killed, and the model is replaced while it answers.

    python tests/benchmarks/soak.py MODEL [--requests 200000] [--clients 16] [--workers 2] [--kills 5]

MODEL is a folder that `nbhelpers serve` takes, such as an 8-bit export. The texts are those of MELD's test split, in
$NBHELPERS_DATA. Each client asks its next text when it has the answer to the one before. A request that a killed worker
did not answer is asked once more; it is lost if that fails as well. An answer is wrong if a probability is not that of
its text. An 8-bit model rounds by batch, so twice the largest difference of five passes over the texts in other batches
is allowed. Adds a row to data/results/service.jsonl.
"""

import argparse
import asyncio
import contextlib
import itertools
import signal
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import psutil

from nbhelpers import corpora
from nbhelpers.classifier import served
from nbhelpers.classifier.rows import Rows, logits_of
from nbhelpers.course import results
from nbhelpers.course.bench import load

ROUNDED = 1e-5  # the service rounds probabilities to six digits


def workers_of(supervisor):
    """The processes that serve."""
    found = []
    for child in supervisor.children():
        with contextlib.suppress(psutil.Error):  # it may end between two lines
            if child.status() != psutil.STATUS_ZOMBIE and "spawn_main" in " ".join(child.cmdline()):
                found.append(child)
    return found


def mib_of(workers):
    """Their memory together."""
    total = 0
    for worker in workers:
        with contextlib.suppress(psutil.Error):
            total += worker.memory_info().rss / 2**20
    return total


def expected_answers(model, texts):
    """The probabilities [texts, classes] of each text by itself, and how far others in a batch move them at most."""
    examples = model.encode(texts)
    alone = model.probabilities([model.predict([example])[0] for example in examples], len(texts))
    draw, largest = np.random.default_rng(0), 0.0
    for _ in range(5):
        order = draw.permutation(len(texts))
        found = model.probabilities(logits_of(model, Rows([texts[i] for i in order], [], [], [], [])), len(texts))
        largest = max(largest, float(np.abs(found - alone[order]).max()))
    return alone, 2 * largest + ROUNDED


def is_right(answer, labels, expected, tolerance):
    """Whether an answer has the probabilities [classes] of its text."""
    found = {entry["label"]: entry["score"] for entry in answer["results"][0]["scores"]}
    return bool(np.abs(np.array([found[label] for label in labels]) - expected).max() <= tolerance)


class Soak:
    """The clients, what they counted, and what happens to the service meanwhile."""

    def __init__(self, options, texts, is_answer, supervisor, port):
        self.options, self.texts, self.is_answer, self.supervisor, self.port = (
            options, texts, is_answer, supervisor, port,
        )  # fmt: skip
        self.numbers = itertools.count()
        self.seconds, self.mib = [], []
        self.done = self.broken = self.lost = self.wrong = self.kills = self.reloads = 0

    async def client(self):
        """Ask until all requests are made."""
        idle = []
        while (number := next(self.numbers)) < self.options.requests:
            i = number % len(self.texts)
            start = time.perf_counter()
            for attempt in (1, 2):
                status, answer = await load.ask(self.port, idle, {"texts": [self.texts[i]]})
                if status == 200:
                    self.wrong += not self.is_answer(answer, i)
                    break
                self.broken += 1
                self.lost += attempt == 2
            self.seconds.append(time.perf_counter() - start)
            self.done += 1

    async def disturb(self):
        """Kill a worker from time to time, and bring the same model into service again in the middle."""
        last = 0
        while self.done < self.options.requests:
            await asyncio.sleep(1)
            workers = workers_of(self.supervisor)
            self.mib.append(mib_of(workers))
            part = self.done * (self.options.kills + 2) // self.options.requests
            if part > last:
                last = part
                if not self.reloads and part >= (self.options.kills + 2) // 2:
                    self.supervisor.send_signal(signal.SIGHUP)
                    self.reloads += 1
                elif workers and self.kills < self.options.kills:
                    workers[0].kill()
                    self.kills += 1

    async def run(self):
        async with asyncio.TaskGroup() as group:
            group.create_task(self.disturb())
            for _ in range(self.options.clients):
                group.create_task(self.client())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    for name, value in (("requests", 200_000), ("clients", 16), ("workers", 2), ("kills", 5)):
        parser.add_argument(f"--{name}", type=int, default=value)
    options = parser.parse_args()
    texts = corpora.load_meld()["test"]["text"][:]
    model = served.load(options.model)
    expected, tolerance = expected_answers(model, texts)
    port = load.free_port()
    command = [str(Path(sys.executable).with_name("nbhelpers")), "serve", str(options.model), "--port", str(port)]
    with load.process([*command, "--workers", str(options.workers)]) as (running, log):
        load.wait_until_ready(running, log, load.Endpoint(port))
        while len(workers_of(running)) < options.workers:
            time.sleep(0.1)
        time.sleep(3)
        soak = Soak(
            options, texts, lambda answer, i: is_right(answer, model.labels, expected[i], tolerance), running, port
        )
        start = time.perf_counter()
        asyncio.run(soak.run())
        seconds = time.perf_counter() - start
    tenth = max(1, len(soak.mib) // 10)
    row = {"row": f"{options.requests:,} requests, {options.model.name}", **vars(options), "model": options.model.name}
    row |= {name: getattr(soak, name) for name in ("broken", "lost", "wrong", "kills", "reloads")}
    row |= {
        "tolerance": round(tolerance, 6),
        "seconds": round(seconds, 1),
        "requests_per_second": round(options.requests / seconds, 1),
    }
    row |= {f"p{share}_ms": round(1000 * float(np.percentile(soak.seconds, share)), 1) for share in (50, 99)}
    row |= {"mib_early": round(statistics.median(soak.mib[tenth : 2 * tenth] or soak.mib))}
    row |= {"mib_late": round(statistics.median(soak.mib[-tenth:]))}
    print(row)
    results.append("service", row)


if __name__ == "__main__":
    main()
