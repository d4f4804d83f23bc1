"""Examples of all requests in one queue, computed in batches of similar length by one thread."""

import asyncio
import bisect
import itertools
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from heapq import nsmallest
from operator import attrgetter
from typing import Any

from .limits import Limits
from .model import Example, Logits
from .problems import overloaded

NUM_CANDIDATES = 1024  # of a longer queue only these can join the next batch, so that choosing takes no time
Job = tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]


class ModelThread:
    """One thread that calls one function after the other, between `start` and `stop`.

    It is a daemon thread, unlike those of a ThreadPoolExecutor: a model that hangs must not keep the process alive.
    Calls that wait share the thread by their cost, as requests share a model in `Batcher`: a cheap call overtakes an
    expensive one, and none waits forever.
    """

    def __init__(self) -> None:
        self.jobs: queue.PriorityQueue[tuple[float, int, Job | None]] = queue.PriorityQueue()
        self.order = itertools.count()  # decides between calls of the same turn
        self.clock = 0.0  # the turn of the call that runs
        self.running = False

    def __call__(self, function: Callable[..., Any], *args: Any, cost: float = 0) -> asyncio.Future[Any]:
        """Let the thread call `function(*args)`; the future gives its result.

        Raises:
            RuntimeError: the thread does not run, so nothing would ever come.
        """
        if not self.running:
            raise RuntimeError("the application was not started: its server has to run its lifespan")
        future: Future[Any] = Future()
        self.jobs.put((self.clock + cost, next(self.order), (future, function, args)))
        return asyncio.wrap_future(future)

    def start(self) -> None:
        self.jobs, self.running = queue.PriorityQueue(), True
        threading.Thread(target=self.work, args=[self.jobs], daemon=True).start()

    def stop(self) -> None:
        """End the thread after the call that runs."""
        self.running = False
        self.jobs.put((-1.0, next(self.order), None))

    def work(self, jobs: queue.PriorityQueue[tuple[float, int, Job | None]]) -> None:
        while True:
            self.clock, _, job = jobs.get()
            if job is None:
                return
            future, function, args = job
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(function(*args))
                except StopIteration as error:
                    # asyncio refuses to pass it on, and the one who waits would wait forever
                    future.set_exception(RuntimeError(f"the model raised {error!r}"))
                except BaseException as error:  # whatever it is, the one who waits has to know
                    future.set_exception(error)


@dataclass(eq=False, slots=True)
class QueuedExample:
    """An example that waits for its logits."""

    example: Example
    num_tokens: int
    turn: int  # the lowest goes first; `Batcher` says how it is counted
    arrived: float  # on the clock of time.monotonic
    logits: asyncio.Future[Logits]


turn_of = attrgetter("turn")


class Batcher:
    """Computes the logits of examples, in batches that hold examples of several requests.

    The example with the lowest turn leads a batch, and the examples nearest to it in length join it. An example's turn
    is the clock at its arrival plus the tokens of its own request up to and including itself, and the clock is the turn
    of the last leader. Requests therefore share the model by tokens: a short request overtakes a long one that came
    earlier, and no request waits forever. This is self-clocked fair queueing (Golestani, 1994, "A self-clocked fair
    queueing scheme for broadband applications").

    Args:
        predict: examples -> the logits of each, [turns, classes].
        limits: `max_queued_tokens`, `max_tokens`, `batch_size` and `batching_delay` are used.
    """

    def __init__(self, predict: Callable[[list[Example]], list[Logits]], limits: Limits) -> None:
        self.predict, self.limits, self.thread = predict, limits, ModelThread()
        self.queue: list[QueuedExample] = []
        self.queued_tokens = self.clock = 0
        self.seconds = self.tokens = 0.0  # of the last batches, for the header Retry-After
        self.arrived = asyncio.Event()
        self.on_batch: Callable[[int, float, float], None] = lambda batch_size, waited, computed: None

    async def __call__(self, examples: Sequence[Example]) -> list[Logits]:
        """The logits of these examples. When cancelled, examples that are not yet in a batch are dropped.

        Raises:
            HTTPException: status 503, when the queue is full.
        """
        lengths = [len(example["input_ids"]) for example in examples]
        turns = list(itertools.accumulate(lengths, initial=self.clock))[1:]
        # Only what is computed earlier counts: a short request has room while a long one waits, which it overtakes.
        ahead = sum(item.num_tokens for item in self.queue[: bisect.bisect(self.queue, turns[-1], key=turn_of)])
        num_tokens, most = sum(lengths), self.limits.max_queued_tokens
        # A request larger than the whole queue is accepted when nothing is computed before it; it would never be
        # otherwise.
        if ahead and (ahead + num_tokens > most or self.queued_tokens + num_tokens > 4 * most):
            raise overloaded(self.seconds_to_wait())
        loop = asyncio.get_running_loop()
        queued = [
            QueuedExample(example, length, turn, time.monotonic(), loop.create_future())
            for example, length, turn in zip(examples, lengths, turns, strict=True)
        ]
        for item in queued:
            bisect.insort(self.queue, item, key=turn_of)
        self.queued_tokens += num_tokens
        self.arrived.set()
        try:
            return await asyncio.gather(*(item.logits for item in queued))
        finally:
            for item in queued:
                item.logits.cancel()  # without effect on those that are done
            if any(item.logits.cancelled() for item in queued):
                self.drop_cancelled()

    async def run(self) -> None:
        """Compute batches until cancelled."""
        # All that belongs to an event loop is made here, so that an application can be started more than once.
        self.queue, self.queued_tokens, self.clock, self.arrived = [], 0, 0, asyncio.Event()
        self.thread.start()
        try:
            while True:
                await self.arrived.wait()
                await asyncio.sleep(self.limits.batching_delay)
                while batch := self.take():
                    start = time.monotonic()
                    await self.compute(batch)
                    seconds = time.monotonic() - start
                    self.on_batch(len(batch), start - min(item.arrived for item in batch), seconds)
                    # Sums that forget: a batch of many tokens counts as much as many small ones.
                    self.seconds = 0.9 * self.seconds + seconds
                    self.tokens = 0.9 * self.tokens + sum(item.num_tokens for item in batch)
                self.arrived.clear()
        finally:
            self.thread.stop()

    def seconds_to_wait(self) -> float:
        """How long the model will take for what is queued, as far as the last batches tell."""
        return self.queued_tokens * self.seconds / self.tokens if self.tokens else 1.0

    def take(self) -> list[QueuedExample]:
        """Remove the next batch from the queue and return it; it is empty when nothing waits."""
        if not self.queue:
            return []
        candidates, rest = self.queue[:NUM_CANDIDATES], self.queue[NUM_CANDIDATES:]
        self.clock = candidates[0].turn
        batch = similar(candidates, self.limits)
        in_batch = set(map(id, batch))
        self.queue = [item for item in candidates if id(item) not in in_batch] + rest
        self.queued_tokens -= sum(item.num_tokens for item in batch)
        return batch

    def drop_cancelled(self) -> None:
        """Remove examples from the queue whose request was cancelled, so that they take no room there."""
        self.queue = [item for item in self.queue if not item.logits.done()]
        self.queued_tokens = sum(item.num_tokens for item in self.queue)

    async def compute(self, batch: list[QueuedExample]) -> None:
        """Give each example its logits. If a batch fails, each example is tried alone: one must not fail the others."""
        try:
            results = await self.thread(self.predict, [item.example for item in batch])
            for item, logits in zip(batch, results, strict=True):
                if not item.logits.done():
                    item.logits.set_result(logits)
        except Exception as error:
            if len(batch) > 1:
                for item in batch:
                    await self.compute([item])
            elif not batch[0].logits.done():
                batch[0].logits.set_exception(error)


def similar(candidates: list[QueuedExample], limits: Limits) -> list[QueuedExample]:
    """The first candidate, and those nearest to it in length, as many as fit into a batch."""
    leader = candidates[0]
    by_distance = lambda item: (item is not leader, abs(item.num_tokens - leader.num_tokens), item.turn)  # noqa: E731
    batch: list[QueuedExample] = []
    longest = 0
    for item in nsmallest(limits.batch_size, candidates, by_distance):
        longest = max(longest, item.num_tokens)
        # Padding costs as much as tokens, so a batch takes only lengths within a quarter of the leader's.
        near = abs(item.num_tokens - leader.num_tokens) <= 4 + leader.num_tokens // 4
        if batch and (not near or (len(batch) + 1) * longest > limits.max_tokens):
            break
        batch.append(item)
    return batch
