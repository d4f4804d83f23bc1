"""The service as a process: its start, its address, and its end."""

import asyncio
import dataclasses
import html
import http.client
import json
import re
import shlex
import signal
import socket
import threading
import time

import httpx
import pytest
import standins
from starlette.testclient import TestClient

from nbhelpers import serving

SHORT_END = json.dumps({"shutdown_timeout": 2})


async def ask(client, text):
    answer = await client.post("/classify", json={"texts": [text]})
    assert answer.status_code == 200
    assert standins.right(answer.json()["results"][0], text)


def test_sigterm_finishes_open_requests_and_accepts_no_new_ones():
    async def scene(running, address):
        answered, ended = 0, 0

        async def load(name):
            nonlocal answered, ended
            async with httpx.AsyncClient(base_url=address, timeout=20) as client:
                for i in range(100_000):
                    try:
                        await ask(client, f"{name} {i}")
                        answered += 1
                    except httpx.TransportError:  # the service hung up between two requests, or listens no more
                        ended += 1
                        return

        async with httpx.AsyncClient(base_url=address, timeout=20) as client:
            busy = [asyncio.create_task(load(name)) for name in range(16)]
            await asyncio.sleep(1)
            flying = [asyncio.create_task(ask(client, f"{i:0300d}")) for i in range(8)]  # 8 x 300 tokens x 1 ms
            await asyncio.sleep(0.5)
            assert not any(task.done() for task in flying[4:])
            running.send_signal(signal.SIGTERM)
            await asyncio.gather(*flying)  # each had its right answer
        await asyncio.gather(*busy)
        assert answered > 16
        assert ended == 16
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{address}/health")

    with standins.process(0.001) as (running, address, log):
        began = time.monotonic()
        asyncio.run(scene(running, address))
        assert running.wait(timeout=10) == -signal.SIGTERM
        assert time.monotonic() - began < 10
        assert "Traceback" not in log()


def test_responses_while_the_service_stops_close_their_connection():
    with standins.process(0.002) as (running, address, _):
        connection = socket.create_connection(address.removeprefix("http://").split(":"))
        body = b'{"texts": ["' + b"a" * 500 + b'"]}'
        head = "POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length:"
        head += f" {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        time.sleep(0.3)
        running.send_signal(signal.SIGTERM)
        answer = connection.recv(65536)
        assert b"200 OK" in answer
        assert b"connection: close" in answer.lower()
        running.wait(timeout=10)


def test_a_request_that_is_on_its_way_when_the_service_stops_is_answered():
    """On a connection that is kept: the client cannot know yet that it will be closed."""
    with standins.process(0) as (running, address, _):
        connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=10)
        for ending in (False, True):
            if ending:
                running.send_signal(signal.SIGTERM)
                time.sleep(0.2)
            connection.request("POST", "/classify", b'{"texts": ["a"]}', {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.status == 200
            assert (answer.headers["Connection"] == "close") == ending
            assert standins.right(json.loads(answer.read())["results"][0], "a")
        running.wait(timeout=10)


def test_what_takes_longer_than_the_end_of_the_service_gets_503():
    with standins.process("hang", LIMITS=SHORT_END) as (running, address, log):
        with httpx.Client(base_url=address, timeout=20) as client:
            timer = threading.Timer(0.5, running.terminate)
            timer.start()
            answer = client.post("/classify", json={"texts": ["hang"]})
        assert answer.status_code == 503
        assert "the service is stopping" in answer.json()["error"]
        assert int(answer.headers["Retry-After"]) >= 1
        assert running.wait(timeout=10) == -signal.SIGTERM
        assert "Traceback" not in log()


def test_a_hangup_ends_one_process_as_sigterm_does():
    with standins.process(0.001) as (running, address, _), httpx.Client(base_url=address) as client:
        timer = threading.Timer(0.1, running.send_signal, [signal.SIGHUP])
        timer.start()
        assert client.post("/classify", json={"texts": ["a" * 300]}).status_code == 200
        assert running.wait(timeout=10) == -signal.SIGTERM


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_hosts_that_mean_all_addresses_can_be_reached_as_localhost(host):
    with serving.run.listen(host, 0) as listener:
        socket.create_connection(("127.0.0.1", listener.getsockname()[1])).close()


def test_a_model_that_hangs_does_not_keep_the_process_alive():
    with standins.process("hang", LIMITS=SHORT_END) as (running, address, _):
        waiting = socket.create_connection(address.removeprefix("http://").split(":"))
        waiting.sendall(
            b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b'Content-Length: 19\r\n\r\n{"texts": ["hang"]}'
        )
        assert httpx.get(f"{address}/health").status_code == 200
        assert httpx.get(f"{address}/ready").status_code == 503
        began = time.monotonic()
        running.terminate()
        running.wait(timeout=10)
        assert 1 < time.monotonic() - began < 6  # its client was given time
        waiting.close()


def test_the_key_is_read_from_the_environment_and_ctrl_c_ends_quietly():
    with standins.process(0, NBHELPERS_API_KEY="sesame") as (running, address, log):
        assert address.startswith("http://127.0.0.1:")
        assert httpx.post(f"{address}/classify", json={"texts": ["a"]}).status_code == 401
        headers = {"Authorization": "Bearer sesame"}
        assert httpx.post(f"{address}/classify", json={"texts": ["a"]}, headers=headers).status_code == 200
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=10) == 0
        assert running.stdout.read().splitlines()[1:] == ["Stopped."]  # after the example of a request
        logged = log()
        assert "Traceback" not in logged
        assert "sesame" not in logged
        assert re.search(r"[0-9a-f]{32} POST /classify 401", logged)


def broken(predict=standins.answers, **options):
    return lambda: standins.model(predict, **options)


def vanished():
    raise FileNotFoundError("runs/my_model has no model.onnx; export it again\nsecond line")


def silent(examples):
    raise ValueError("")


@pytest.mark.parametrize(
    ("load", "sentence"),
    [
        (vanished, "runs/my_model has no model.onnx; export it again"),
        (broken(lambda examples: []), "need at least one array"),
        (broken(silent), "ValueError"),
        (broken(lambda examples: standins.answers(examples) * 2), "the model gave logits of shape (2, 7) for (1, 7)"),
    ],
)
def test_a_failed_start_is_reported_in_one_sentence(load, sentence):
    with pytest.raises(SystemExit) as ended:
        serving.serve(load, port=0)
    assert ended.value.code.startswith("The service did not start: ")  # a string: printed, exit code 1
    assert sentence in ended.value.code
    assert "\n" not in ended.value.code


def test_a_bad_address_or_a_blank_key_prevents_the_start_before_the_model_is_loaded(service, monkeypatch):
    port, never = int(service.rpartition(":")[2]), lambda: pytest.fail("the model was loaded")
    advice = rf"did not start: port {port} is in use; choose another port, such as {port + 1}, or 0 for a free one$"
    with pytest.raises(SystemExit, match=advice):
        serving.serve(never, port=port)
    with pytest.raises(SystemExit, match=r"did not start: 'no host', port 0: .*; choose another host or port$"):
        serving.serve(never, host="no host", port=0)
    monkeypatch.setenv("NBHELPERS_API_KEY", "")
    with pytest.raises(SystemExit, match="the API key is blank"):
        serving.serve(never, port=0)


def send(curl, client, **words):
    """Do what a line that calls curl would do; `words` are replaced in it."""
    for word, value in words.items():
        curl = curl.replace(word, value)
    command, address, *options = shlex.split(curl)
    assert command == "curl"
    headers = dict(value.split(": ") for name, value in zip(options[::2], options[1::2], strict=True) if name == "-H")
    assert options[-2] == "-d"
    return client.post(address, headers=headers, content=options[-1])


@pytest.mark.parametrize("workers", [1, 2])
def test_the_request_that_is_printed_is_answered(workers):
    with standins.process(0, workers, NBHELPERS_API_KEY="sesame") as (running, address, _):
        line = running.stdout.readline()
        assert f"curl {address}/classify/dialogue " in line
        assert send(line, httpx, KEY="sesame").json()["results"]
        running.terminate()
        running.wait(timeout=10)


@pytest.mark.parametrize("reads", ["texts", "pairs", "dialogues", "tags"])
def test_the_docs_have_a_request_for_what_the_model_reads(reads):
    model = dataclasses.replace(standins.model(reads=reads), encode=lambda texts: standins.encode(map("".join, texts)))
    model = standins.tagger() if reads == "tags" else model
    with TestClient(serving.create_app(model)) as client:
        line = html.unescape(re.search("curl .*(?=</pre>)", client.get("/docs").text)[0])
        assert send(line, client).json()["results"]
        assert "/docs" in client.post("/predict").json()["error"]
