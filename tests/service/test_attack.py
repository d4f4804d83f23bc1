"""Everything at once against one process: no request is lost or answered wrongly, and short ones stay quick.

With more requests: NUM_REQUESTS=17000 pytest -s tests/service/test_attack.py
"""

import asyncio
import contextlib
import json
import os
import random
import resource
import signal
import time

import numpy as np
import psutil
import pytest
import standins

pytestmark = [pytest.mark.alone, pytest.mark.slow]

NUM_CLIENTS = 32
NUM_REQUESTS = int(os.environ.get("NUM_REQUESTS", 3_200))  # in each of three phases
NUM_SILENT, NUM_PROBERS, NUM_GIANTS = 1100, 50, 16
MAX_FILES = 1024  # fewer than there are silent clients
MAX_CHARACTERS, SECONDS_PER_TOKEN = 500, 2e-5  # a token of the stand-in is a character
SECONDS = 60 + NUM_REQUESTS / 50  # after which the test fails, because something hangs


class Connection:
    """A connection that is kept, and one request after the other on it."""

    def __init__(self, address):
        self.host, self.port = address.removeprefix("http://").split(":")

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(self.host, self.port)
        return self

    async def __aexit__(self, *_):
        self.writer.close()

    async def ask(self, method, path, content=None):
        """Status, head and content of the answer."""
        body = b"" if content is None else json.dumps(content).encode()
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        self.writer.write(head.encode() + b"\r\n\r\n" + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return int(head.split()[1]), head, json.loads(await self.reader.readexactly(length))


async def short(address, name, count, taken):
    """Ask for the label of one short text `count` times; each answer must be right. Seconds are added to `taken`."""
    async with Connection(address) as connection:
        for i in range(count):
            text, began = f"client {name}, text {i}", time.perf_counter()
            status, _, answer = await connection.ask("POST", "/classify", {"texts": [text]})
            taken.append(time.perf_counter() - began)
            assert status == 200, answer
            assert standins.right(answer["results"][0], text)


async def crowd(address, phase):
    """The seconds that each of NUM_REQUESTS requests of NUM_CLIENTS clients took."""
    taken = []
    count = NUM_REQUESTS // NUM_CLIENTS
    await asyncio.gather(*(short(address, f"{phase} {name}", count, taken) for name in range(NUM_CLIENTS)))
    return np.array(taken)


async def silent(address, half):
    """Connect, send nothing or half of a head, and when the service hangs up, come back."""
    while True:
        try:
            async with Connection(address) as connection:
                if half:
                    connection.writer.write(b"POST /classify HTTP/1.1\r\nHost:")
                await connection.reader.read()
        except OSError:
            pass
        await asyncio.sleep(random.uniform(0, 2))  # or all would come back at one moment, and stop this process, too


async def prober(address):
    """Ask for /ready again and again."""
    while True:
        try:
            async with Connection(address) as connection:
                while (await connection.ask("GET", "/ready"))[0] in (200, 503):
                    await asyncio.sleep(0.02)
        except (OSError, EOFError):  # hung up, because there were too many connections
            await asyncio.sleep(0.1)


async def giant(address, name, answered):
    """Send the largest request that is allowed, again and again, and wait as the service says when it has no room."""
    texts = [f"giant {name}, text {i} ".ljust(MAX_CHARACTERS, "x") for i in range(64)]
    while True:
        try:
            async with Connection(address) as connection:
                status, head, answer = await connection.ask("POST", "/classify", {"texts": texts})
        except (OSError, EOFError):
            await asyncio.sleep(0.1)
            continue
        assert status in (200, 503, 504), answer
        if status == 200:
            assert all(map(standins.right, answer["results"], texts))
            answered.append(name)
        else:
            await asyncio.sleep(float(head.partition(b"retry-after: ")[2].split(b"\r\n")[0] or 1))


async def until_closed(address, name):
    """How many requests of one connection had a right answer until the service said that it closes it."""
    async with Connection(address) as connection:
        for i in range(1_000_000):
            text = f"last {name} {i}"
            status, head, answer = await connection.ask("POST", "/classify", {"texts": [text]})
            assert status == 200
            assert standins.right(answer["results"][0], text)
            if b"connection: close" in head:
                return i
    return None


@contextlib.asynccontextmanager
async def running(coroutines):
    """Run these attackers meanwhile; none may end by itself."""
    tasks = [asyncio.create_task(each) for each in coroutines]
    await asyncio.sleep(2)  # this process is busy while it connects them all, and would measure itself
    yield
    broken = [task.exception() for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not broken


async def attack(address, process, log):
    answered = []
    giants = lambda: (giant(address, name, answered) for name in range(NUM_GIANTS))  # noqa: E731
    async with asyncio.timeout(SECONDS):
        taken = {"nobody else": await crowd(address, "quiet")}
        memory = process.memory_info().rss
        async with running(giants()):
            taken["giants"] = await crowd(address, "giants")
        silent_ones = (silent(address, i % 2) for i in range(NUM_SILENT))
        probers = (prober(address) for _ in range(NUM_PROBERS))
        async with running([*silent_ones, *probers, *giants()]):
            taken["all"] = await crowd(address, "all")
        growth = process.memory_info().rss / memory
        last = [asyncio.create_task(until_closed(address, name)) for name in range(NUM_CLIENTS)]
        await asyncio.sleep(1)
        process.send_signal(signal.SIGTERM)
        counts = await asyncio.gather(*last)
    ms = {name: round(1000 * float(np.quantile(seconds, 0.99))) for name, seconds in taken.items()}
    print(f"99 % of short requests within {ms} ms; giants answered: {len(answered)}; memory grew {growth:.2f} times")
    others = [line for line in log().splitlines() if "POST /classify" not in line]
    print(f"answered before the end: {sum(counts)}; lines in the log that are not of such requests: {len(others)}")
    assert {len(seconds) for seconds in taken.values()} == {NUM_REQUESTS // NUM_CLIENTS * NUM_CLIENTS}
    assert answered
    assert ms["giants"] <= 5 * ms["nobody else"]
    # Those who ask for /ready are requests like the short ones, and there are more of them: they take time by right.
    assert ms["all"] <= 5 * ms["nobody else"] * (NUM_CLIENTS + NUM_PROBERS) / NUM_CLIENTS
    assert growth < 1.5
    assert len(others) < 100, others[:20]


@pytest.fixture
def many_files():
    """Let this process open enough connections for all clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_an_attack_loses_no_request_and_slows_short_ones_little(many_files):
    limits = json.dumps({"head_timeout": 2, "max_characters": MAX_CHARACTERS})
    with standins.process(SECONDS_PER_TOKEN, LIMITS=limits, MAX_FILES=str(MAX_FILES)) as (service, address, log):
        asyncio.run(attack(address, psutil.Process(service.pid), log))
        assert service.wait(timeout=15) == -signal.SIGTERM
