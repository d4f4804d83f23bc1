"""Several workers: one is killed under load, another takes its place; the counts are those of all; nobody is left."""

import asyncio
import re
import signal
import subprocess
import sys
import time

import httpx
import psutil
import pytest
import standins


def workers(supervisor):
    """The processes that serve; beside them multiprocessing has one of its own."""
    children = psutil.Process(supervisor.pid).children()
    living = [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in living if "spawn_main" in " ".join(child.cmdline())]


async def client(address, name, until):
    """Ask until then; returns how many answers came, each the right one, and how many connections broke."""
    answered = broken = 0
    async with httpx.AsyncClient(base_url=address, timeout=20) as session:
        while not until.is_set():
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


async def both(running, log):
    """Wait until two workers serve."""
    async with asyncio.timeout(60):
        while True:
            found = workers(running)
            if len(found) == 2 and all(f"Started server process [{worker.pid}]" in log() for worker in found):
                return found
            await asyncio.sleep(0.1)


def test_a_killed_worker_loses_only_its_own_requests():
    async def scene(running, address, log):
        until = asyncio.Event()
        before = await both(running, log)
        clients = [asyncio.create_task(client(address, f"client {i}", until)) for i in range(16)]
        await asyncio.sleep(1)
        before.sort(key=lambda worker: -len(worker.net_connections()))  # that with more clients first
        before[0].kill()
        await asyncio.to_thread(before[0].wait, 10)
        after = await both(running, log)
        await asyncio.sleep(1)
        until.set()
        return before, after, await asyncio.gather(*clients)

    with standins.process(3e-4, workers=2) as (running, address, log):
        before, after, found = asyncio.run(scene(running, address, log))
        answered, broken = zip(*found, strict=True)
        assert before[1] in after
        assert sum(answered) > 100
        assert max(broken) <= 1  # what was in flight there, if anything; the next try of each went to another worker
        counts = httpx.get(f"{address}/metrics").text
        counted = re.search(r'requests_total\{handler="/classify",method="POST",status="200"\} (\S+)', counts)
        # Of all workers, also of the dead one. A request is counted after its response has been sent, so the dead
        # worker may have sent one response to each client that it did not live to count.
        assert float(counted[1]) >= sum(answered) - len(found)
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=10) == 0
        assert not [process for process in (*before, *after) if process.is_running()]
        assert "Traceback" not in log()


def test_sigterm_finishes_open_requests():
    async def scene(running, address, log):
        served = await both(running, log)
        async with httpx.AsyncClient(base_url=address, timeout=20) as session:
            texts = [f"{i:0300d}" for i in range(8)]  # 8 x 300 tokens x 1 ms, shared by two
            flying = [asyncio.create_task(session.post("/classify", json={"texts": [text]})) for text in texts]
            await asyncio.sleep(0.5)
            running.send_signal(signal.SIGTERM)
            for text, answer in zip(texts, await asyncio.gather(*flying), strict=True):
                assert standins.right(answer.json()["results"][0], text)
        return served

    with standins.process(0.001, workers=2) as (running, address, log):
        served = asyncio.run(scene(running, address, log))
        assert running.wait(timeout=10) == 0
        assert not [process for process in served if process.is_running()]
        assert "Traceback" not in log()
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health")


def test_a_worker_that_dies_while_starting_is_replaced():
    async def scene(running, log):
        while len(found := workers(running)) < 2:
            await asyncio.sleep(0.05)
        (starting,) = [worker for worker in found if f"Started server process [{worker.pid}]" not in log()]
        starting.suspend()
        await asyncio.sleep(1)  # by now the supervisor has asked it whether it lives, and waits
        starting.kill()
        async with asyncio.timeout(30):
            assert starting not in await both(running, log)

    with standins.process(0, workers=2) as (running, _, log):
        asyncio.run(scene(running, log))
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=10) == 0


def test_a_reload_while_the_first_worker_loads_is_ignored():
    command = [sys.executable, standins.__file__, "0", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        assert running.stdout.readline() == "Loading the model ...\n"
        while not workers(running):
            time.sleep(0.05)
        running.send_signal(signal.SIGHUP)
        assert running.stdout.readline().startswith("Ready after ")
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0


def test_a_service_whose_workers_cannot_start_any_more_ends_with_an_error(tmp_path):
    model = tmp_path / "model"
    model.write_text("")
    with standins.process(model, workers=2) as (running, _, log):
        asyncio.run(both(running, log))
        model.unlink()
        for worker in workers(running):
            worker.kill()
        assert running.wait(timeout=60) == 1
        assert "no worker serves" in log()


def test_a_worker_with_other_files_does_not_serve_beside_the_first(tmp_path):
    model = tmp_path / "model"
    model.write_text("first")
    with standins.process(model, workers=2) as (running, address, log):
        before = asyncio.run(both(running, log))
        assert httpx.get(f"{address}/ready").json()["digest"] == "first"
        model.write_text("second")
        before[0].kill()
        asyncio.run(asyncio.to_thread(before[0].wait, 10))
        until = time.monotonic() + 30
        while "the model's files were changed" not in log():
            assert time.monotonic() < until
            time.sleep(0.1)
        for _ in range(20):
            answer = httpx.post(f"{address}/classify", json={"texts": ["a"]})
            assert answer.json()["digest"] == "first"
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0


def test_a_changed_model_comes_into_service_without_a_gap(tmp_path):
    """Clients ask all the time. Each gets its answers from the old or the new model, and none is left without."""
    model = tmp_path / "model"
    model.write_text("first")

    async def ask(address, until, digests):
        async with httpx.AsyncClient(base_url=address, timeout=20) as session:
            while not until.is_set():
                answer = await session.post("/classify", json={"texts": ["a"]})
                assert answer.status_code == 200
                digests.append(answer.json()["digest"])

    async def scene(running, address, log):
        before, until, digests = await both(running, log), asyncio.Event(), []
        clients = [asyncio.create_task(ask(address, until, digests)) for _ in range(8)]
        await asyncio.sleep(0.5)
        model.write_text("second")
        running.send_signal(signal.SIGHUP)
        async with asyncio.timeout(60):
            while set(before) & set(workers(running)) or digests[-50:] != ["second"] * 50:
                await asyncio.sleep(0.1)
        until.set()
        await asyncio.gather(*clients)
        return digests

    with standins.process(model, workers=2) as (running, address, log):
        digests = asyncio.run(scene(running, address, log))
        assert set(digests) == {"first", "second"}
        assert httpx.get(f"{address}/ready").json()["digest"] == "second"
        assert "Traceback" not in log()
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0


def test_a_model_that_cannot_be_loaded_leaves_the_old_one_in_service(tmp_path):
    model = tmp_path / "model"
    model.write_text("first")
    with standins.process(model, workers=2) as (running, address, log):
        before = asyncio.run(both(running, log))
        model.rename(tmp_path / "elsewhere")
        running.send_signal(signal.SIGHUP)
        until = time.monotonic() + 30
        while "aborting the restart" not in log():
            assert time.monotonic() < until
            time.sleep(0.1)
        assert set(workers(running)) == set(before)
        assert httpx.get(f"{address}/ready").json()["digest"] == "first"
        (tmp_path / "elsewhere").rename(model)
        before[0].kill()  # its successor has the same files, so it may serve
        asyncio.run(asyncio.to_thread(before[0].wait, 10))
        assert before[1] in asyncio.run(both(running, log))
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=20) == 0


def test_workers_end_when_their_supervisor_is_killed():
    with standins.process(0, workers=2) as (running, address, _):
        assert httpx.get(f"{address}/health").status_code == 200
        served = workers(running)
        running.kill()
        _, left = psutil.wait_procs(served, timeout=10)
        assert not left


@pytest.mark.parametrize(
    ("environment", "kind", "sentence"),
    [({}, "nonsense", "could not convert string to float"), ({"NBHELPERS_API_KEY": " "}, "0", "the API key is blank")],
)
def test_a_failed_start_is_reported_once(environment, kind, sentence, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = [sys.executable, standins.__file__, kind, "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.count("The service did not start: ") == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_load_function_that_cannot_be_pickled_is_reported():
    with pytest.raises(SystemExit, match=r"did not start: .*pickle"):
        standins.serving.serve(lambda: standins.model(), port=0, workers=2)
