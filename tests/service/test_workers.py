"""Several workers: one is killed under load, another takes its place; the counts are those of all."""

import asyncio
import re
import signal
import time

import httpx
import psutil
import standins


def workers(supervisor):
    """The processes that serve; beside them multiprocessing has one of its own."""
    return [x for x in psutil.Process(supervisor.pid).children() if "spawn_main" in " ".join(x.cmdline())]


async def client(address, name, until):
    """Ask until then; returns how many answers came, each the right one, and how many connections broke."""
    answered = broken = 0
    async with httpx.AsyncClient(base_url=address, timeout=20) as session:
        while time.monotonic() < until:
            text = f"{name} {answered + broken}"
            try:
                answer = await session.post("/classify", json={"texts": [text]})
            except httpx.TransportError:
                broken += 1
                continue
            assert answer.status_code == 200
            assert standins.right(answer.json()["results"][0], text)
            answered += 1
    return answered, broken


def test_a_killed_worker_takes_only_its_own_requests_with_it():
    async def scene(running, address):
        until = time.monotonic() + 6
        clients = [asyncio.create_task(client(address, f"client {i}", until)) for i in range(16)]
        await asyncio.sleep(1)
        before = sorted(workers(running), key=lambda worker: len(worker.net_connections()), reverse=True)
        before[0].kill()  # the one with more clients
        found = await asyncio.gather(*clients)
        return before, sum(answered for answered, _ in found), [broken for _, broken in found]

    with standins.process(1e-5, workers=2) as (running, address, log):
        before, answered, broken = asyncio.run(scene(running, address))
        assert len(before) == 2
        assert answered > 100
        assert 0 < sum(broken) <= 16
        assert max(broken) == 1  # the next try of each went to another worker
        after = workers(running)
        assert len(after) == 2
        assert before[1] in after
        assert before[0] not in after
        counts = httpx.get(f"{address}/metrics").text
        counted = re.search(r'requests_total\{path="/classify",status="200"\} (\S+)', counts)
        assert float(counted[1]) >= answered  # both workers', and the dead one's
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=10) == 0
        assert not [process for process in (*before, *after) if process.is_running()]
        assert "Traceback" not in log()
