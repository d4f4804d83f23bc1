"""Ray Serve on two machines, which are both this one. How to run it: see "Run the tests" in CONTRIBUTING.md."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from nbhelpers.classifier import served

TEXTS = [f"Train {i} is late{'!' * (i % 5)}" for i in range(40)]
ROOT = Path(__file__).parents[2]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def address(cluster, folder):
    from ray import serve

    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBHELPERS_MODEL", str(folder))
        from deploy.ray_serve import app

        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(app)
        yield f"http://127.0.0.1:{port}"
        serve.shutdown()


@pytest.fixture(scope="module")
def behind_nginx(address, tmp_path_factory):
    """The address of nginx with the configuration that the project has, without TLS and for quick clients."""
    assert shutil.which("nginx"), "install nginx (Debian: apt install nginx-light)"
    path, port = tmp_path_factory.mktemp("nginx"), free_port()
    config = (ROOT / "deploy" / "nginx.conf").read_text(encoding="utf-8")
    for line, ours in (
        ("    server 127.0.0.1:8000 max_fails=0;\n", 2 * f"    server {address[7:]} max_fails=0;\n"),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
        ("    ssl_certificate /etc/ssl/certs/example.org.pem;\n", ""),
        ("    ssl_certificate_key /etc/ssl/private/example.org.key;\n", ""),
        ("rate=20r/s", "rate=10000r/s"),
        ("burst=40", "burst=10000"),
    ):
        assert config.count(line) == 1, line
        config = config.replace(line, ours)
    log = "log_format asked '$upstream_status'; access_log access.log asked;"
    log += "".join(f"{name}_temp_path {name};" for name in ("client_body", "proxy", "fastcgi", "scgi", "uwsgi"))
    (path / "nginx.conf").write_text(f"events {{}}\nhttp {{ {log}\n{config} }}\n", encoding="utf-8")
    options = ["-p", str(path), "-c", "nginx.conf", "-g", "daemon off; pid nginx.pid; error_log error.log;"]
    with subprocess.Popen(["nginx", *options]) as running:
        while status_of(f"http://127.0.0.1:{port}/ready") != 200:
            assert running.poll() is None, "nginx does not start"
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", path / "access.log"
        running.terminate()


def status_of(address):
    try:
        return httpx.get(address).status_code
    except httpx.TransportError:
        return None


async def ask_all(address):
    """The answers to all texts, asked at once on connections of their own."""
    async with httpx.AsyncClient(
        base_url=address, timeout=60, limits=httpx.Limits(max_keepalive_connections=0)
    ) as client:
        return await asyncio.gather(*(client.post("/classify", json={"texts": [text]}) for text in TEXTS))


def require_right(answers, wanted):
    """Each text has its own answer."""
    labels, probabilities = wanted
    for answer, right in zip(answers, probabilities, strict=True):
        assert answer.status_code == 200, answer.text
        found = {entry["label"]: entry["score"] for entry in answer.json()["results"][0]["scores"]}
        assert np.abs([found[label] for label in labels] - right).max() < 1e-5


@pytest.fixture(scope="module")
def wanted(folder):
    """The classes, and the probabilities of each text, computed without the service."""
    model = served.load(folder, 1)
    return model.labels, model.probabilities(model.predict(model.encode(TEXTS)), len(TEXTS))


def replicas():
    """The processes that answer."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            if process.name().startswith("ray::ServeRepl"):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def test_a_replica_on_each_machine_answers_and_each_answer_is_right(address, wanted):
    answers = asyncio.run(ask_all(address))
    require_right(answers, wanted)
    assert len({answer.headers["x-replica"] for answer in answers}) == 2
    assert len({process.ppid() for process in replicas()}) == 2  # each machine has a raylet, which starts processes


def test_the_contract_is_that_of_the_service(address, wanted):
    ready = httpx.get(f"{address}/ready").json()
    assert (ready["model"], ready["labels"]) == ("small", list(wanted[0]))
    turns = [{"speaker": "Mara", "text": "No ferry."}, {"speaker": "Jonas", "text": "What? No!"}]
    assert len(httpx.post(f"{address}/classify/dialogue", json={"turns": turns}).json()["results"]) == 2
    for body, status in (({"texts": []}, 422), ({"texts": ["a"], "more": 1}, 422), ({"texts": ["a" * 600_000]}, 413)):
        answer = httpx.post(f"{address}/classify", json=body)
        assert (answer.status_code, set(answer.json())) == (status, {"error", "request_id"})
    assert "script-src 'sha256-" in httpx.get(address).headers["content-security-policy"]


def test_a_killed_replica_loses_no_request_and_is_replaced(behind_nginx, wanted):
    """Clients ask all the time through nginx, and see nothing of it."""
    address, log = behind_nginx
    before = Counter(answer.headers["x-replica"] for answer in asyncio.run(ask_all(address)))

    async def ask_while_one_dies():
        rounds = [asyncio.create_task(ask_all(address)) for _ in range(4)]
        while len(log.read_text().splitlines()) < 2 * len(TEXTS):  # some are answered, and others are at work
            await asyncio.sleep(0.01)
        replicas()[0].kill()
        return await asyncio.gather(*rounds)

    for answers in asyncio.run(ask_while_one_dies()):
        require_right(answers, wanted)
    asked = log.read_text()
    assert "500, 200" in asked or "502, 200" in asked, "nothing was at work in the replica that was killed"
    began, shares = time.monotonic(), Counter()
    while len(shares) < 2:
        answers = asyncio.run(ask_all(address))
        require_right(answers, wanted)
        shares.update(answer.headers["x-replica"] for answer in answers)
        assert time.monotonic() - began < 120
    assert len(set(before) & set(shares)) == 1
