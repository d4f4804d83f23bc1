"""Many requests at once, through a real socket: no answer is lost, mixed up, or held up by another."""

import asyncio
import contextlib
import errno
import json
import random
import socket
import threading
import time

import httpx
import pytest
import standins

from nbhelpers import serving


def connect(address):
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    return connection


def request(texts, path="/classify", length=None):
    body = json.dumps({"texts": texts}).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length or len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def read_all(connection):
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_answer(connection):
    """One answer, to the end of its body, which may come in several parts."""
    answer = b""
    while not answer.endswith(b"}"):
        answer += connection.recv(65536)
    return answer


def metric(address, line):
    shown = httpx.get(f"{address}/metrics").text
    return next((float(row.rpartition(" ")[2]) for row in shown.splitlines() if row.startswith(line)), 0.0)


def until(condition, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


async def post(client, texts):
    answer = await client.post("/classify", json={"texts": texts})
    return answer, texts


def test_100_concurrent_requests_each_get_their_own_answer(run_service):
    rng = random.Random(0)
    letters = "abcdefgh é😀."
    text = lambda n: "".join(rng.choices(letters, k=n - 1)) + "!"  # noqa: E731
    calls = [[text(rng.randint(50, 300)) for _ in range(rng.randint(1, 16))] for _ in range(64)]
    calls += [[text(rng.randint(1, 30))] for _ in range(36)]
    rng.shuffle(calls)
    batches = []

    def predict(examples):
        batches.append([len(example["input_ids"]) for example in examples])
        return standins.answers(examples)

    limits = serving.Limits(max_queued_tokens=1_000_000)

    async def all_at_once(address):
        async with httpx.AsyncClient(base_url=address, timeout=30, limits=httpx.Limits(max_connections=None)) as client:
            return await asyncio.gather(*(post(client, texts) for texts in calls))

    with run_service(standins.model(predict), limits) as address:
        answered = asyncio.run(all_at_once(address))
    for answer, texts in answered:
        assert answer.status_code == 200
        assert all(map(standins.right, answer.json()["results"], texts))
        assert len(answer.json()["results"]) == len(texts)
    assert sum(map(len, batches)) == sum(map(len, calls))
    assert len(batches) < sum(map(len, calls)) / 2  # batched,
    assert max(map(len, batches)) <= limits.batch_size
    for lengths in batches:
        assert len(lengths) == 1 or max(lengths) * len(lengths) <= limits.max_tokens  # within the budget,
        assert max(lengths) - min(lengths) <= 2 * (4 + max(lengths) / 3)  # of like length


@pytest.mark.alone
def test_short_requests_overtake_a_long_one(run_service):
    """64 texts of 64 tokens at 1 ms a token are 4 s of work, in batches of 0.25 s; a short text waits for one."""
    limits = serving.Limits(max_tokens=256)
    long = [f"{i:064d}" for i in range(64)]
    with run_service(standins.model(standins.slow(0.001)), limits) as address:
        began, done = time.monotonic(), {}

        def ask(name, texts):
            answer = httpx.post(f"{address}/classify", json={"texts": texts}, timeout=30)
            done[name] = time.monotonic() - began, answer

        threads = [threading.Thread(target=ask, args=("long", long))]
        threads[0].start()
        time.sleep(0.3)
        for i in range(4):
            sent = time.monotonic()
            ask(f"short {i}", [f"hi {i}"])
            assert time.monotonic() - sent < 0.6
        assert "long" not in done
        threads[0].join()
    assert done["long"][0] < 8
    for name, texts in (("long", long), ("short 2", ["hi 2"])):
        assert all(map(standins.right, done[name][1].json()["results"], texts))


def test_many_short_requests_do_not_starve_a_long_one(run_service):
    limits = serving.Limits(max_tokens=64)
    with run_service(standins.model(standins.slow(0.0005)), limits) as address:
        stop = threading.Event()

        def flood(name):
            with httpx.Client(base_url=address, timeout=30) as client:
                while not stop.is_set():
                    client.post("/classify", json={"texts": [f"{name}"] * 8})

        threads = [threading.Thread(target=flood, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        answer = httpx.post(f"{address}/classify", json={"texts": ["x" * 500]}, timeout=20)
        stop.set()
        for thread in threads:
            thread.join()
    assert standins.right(answer.json()["results"][0], "x" * 500)


class Gate:
    """`predict` that waits until it is opened, and remembers what it was asked."""

    def __init__(self):
        self.open, self.asked = threading.Event(), []

    def __call__(self, examples):
        self.asked += standins.texts_of(examples)
        assert self.open.wait(timeout=20)
        return standins.answers(examples)


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open.set()


def test_overload_gets_503_with_retry_after_and_recovers(run_service, gate):
    with run_service(standins.model(gate), serving.Limits(max_queued_tokens=100)) as address:
        kept = []
        ask = lambda text: kept.append(httpx.post(f"{address}/classify", json={"texts": [text]}, timeout=20))  # noqa: E731
        threads = [threading.Thread(target=ask, args=("a" * 90,)) for _ in range(2)]
        threads[0].start()
        until(lambda: gate.asked)  # one is computed,
        threads[1].start()
        until(lambda: metric(address, "nbhelpers_queued_tokens") == 90)  # one waits,
        refused = httpx.post(f"{address}/classify", json={"texts": ["b" * 95]})  # and there is no room for this,
        assert refused.status_code == 503
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        assert "try again in" in refused.json()["error"]
        assert httpx.get(f"{address}/health").status_code == 200
        threads.append(threading.Thread(target=ask, args=("b" * 20,)))  # but for this, which overtakes the second one
        threads[2].start()
        until(lambda: metric(address, "nbhelpers_queued_tokens") == 110)
        gate.open.set()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in kept] == [200, 200, 200]
        assert httpx.post(f"{address}/classify", json={"texts": ["b" * 20]}).status_code == 200


def test_a_request_larger_than_the_queue_is_accepted_when_the_queue_is_empty(run_service):
    with run_service(standins.model(), serving.Limits(max_queued_tokens=10)) as address:
        assert httpx.post(f"{address}/classify", json={"texts": ["a" * 90]}).status_code == 200


def test_too_many_concurrent_requests_get_503_before_their_bodies_are_read(run_service):
    with run_service(standins.model(), serving.Limits(max_concurrent_requests=3)) as address:
        half = [connect(address) for _ in range(3)]
        for connection in half:
            connection.sendall(request(["a"])[:-2])
        time.sleep(0.2)
        assert httpx.post(f"{address}/classify", json={"texts": ["a"]}).status_code == 503
        for connection in half:
            connection.close()
        until(lambda: httpx.post(f"{address}/classify", json={"texts": ["a"]}).status_code == 200)


def test_many_probes_share_one_trial_of_the_model(run_service):
    asked = []

    def predict(examples):
        asked.extend(standins.texts_of(examples))
        return standins.answers(examples)

    async def probe(address):
        async with httpx.AsyncClient(base_url=address, limits=httpx.Limits(max_connections=None)) as client:
            return await asyncio.gather(*(client.get("/ready") for _ in range(200)))

    with run_service(standins.model(predict)) as address:
        answers = asyncio.run(probe(address))
    assert {answer.status_code for answer in answers} == {200}
    assert len(asked) <= 5  # at most one a second


def test_requests_too_large_for_the_tokenizers_queue_are_refused_at_once(run_service):
    """The tokenizer is slow here; a request that does not fit must not wait for it to learn that."""

    def encode(texts):
        time.sleep(0.2 * len(texts))
        return standins.encode(texts)

    model = serving.Model(standins.LABELS, encode, encode, standins.answers)
    with run_service(model, serving.Limits(max_characters=100, max_queued_characters=1000)) as address:
        ask = lambda: httpx.post(f"{address}/classify", json={"texts": ["a" * 100] * 9}, timeout=20)  # noqa: E731
        first = threading.Thread(target=ask)
        first.start()
        time.sleep(0.3)
        start = time.monotonic()
        refused = ask()
        assert time.monotonic() - start < 1  # what is in the queue takes 1.8 s
        assert refused.status_code == 503
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        short = httpx.post(f"{address}/classify", json={"texts": ["short"]}, timeout=20)  # overtakes what is left
        assert short.status_code == 200
        assert first.is_alive()
        first.join()


def test_silent_clients_are_disconnected(run_service):
    with run_service(standins.model(), serving.Limits(head_timeout=0.5)) as address:
        silent, half, kept = (connect(address) for _ in range(3))
        half.sendall(b"POST /classify HTTP/1.1\r\nHost:")
        kept.sendall(request(["kept"]))
        assert b"200 OK" in read_answer(kept)
        kept.sendall(b"POST /classify")
        for connection in (silent, half, kept):
            assert connection.recv(100) == b""  # ended by the service, within the timeout of `connect`
        assert httpx.post(f"{address}/classify", json={"texts": ["a"]}).status_code == 200


def test_beyond_the_limit_a_new_connection_replaces_the_one_that_is_silent_longest(run_service, caplog, gate):
    with run_service(standins.model(gate), serving.Limits(max_connections=20)) as address:
        asking = connect(address)
        asking.sendall(request(["a"]))
        silent = [connect(address) for _ in range(19)]
        for _ in range(30):
            assert httpx.get(f"{address}/health").status_code == 200
        assert silent[0].recv(1) == b""  # closed
        silent[-1].setblocking(False)
        with pytest.raises(BlockingIOError):
            silent[-1].recv(1)
        gate.open.set()
        assert b"200 OK" in read_answer(asking)  # it was older than all others, but not silent
    assert len(caplog.records) < 50


def test_a_burst_of_connections_beyond_the_limit_does_not_hold_up_a_request(run_service):
    with run_service(standins.model(), serving.Limits(max_connections=2000)) as address:
        silent = [connect(address) for _ in range(2000)]
        began = time.monotonic()
        silent += [connect(address) for _ in range(500)]
        assert httpx.post(f"{address}/classify", json={"texts": ["a"]}).status_code == 200
        assert time.monotonic() - began < 2
        for connection in silent:
            connection.close()


def test_a_client_that_does_not_read_is_disconnected(run_service):
    with run_service(standins.model(), serving.Limits(body_timeout=0.5)) as address:
        connection = connect(address)
        connection.settimeout(0.5)
        with contextlib.suppress(TimeoutError):  # the service does not read on either
            connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 10_000)
        until(lambda: connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET)


def test_a_refused_body_is_not_read_to_its_end(run_service):
    with run_service(standins.model(), api_key="sesame") as address:
        connection = connect(address)
        connection.sendall(request(["a"], length=10**9))
        answer = connection.recv(65536)
        assert b"401 Unauthorized" in answer
        assert b"connection: close" in answer.lower()
        short = connect(address)
        short.sendall(request(["a"]))
        answer = short.recv(65536)
        assert b"401 Unauthorized" in answer
        assert b"connection: close" not in answer.lower()  # the body was complete, so the connection is kept


def test_what_is_not_http_gets_a_refusal_like_all_others(service):
    connection = connect(service)
    connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
    head, _, content = read_all(connection).partition(b"\r\n\r\n")
    assert b"400 Bad Request" in head
    assert set(json.loads(content)) == {"error", "request_id"}


@pytest.mark.alone
def test_a_batch_is_chosen_quickly_from_a_long_queue():
    async def scene():
        batcher = serving.Batcher(standins.answers, serving.Limits(max_queued_tokens=1_000_000))
        waiting = [asyncio.ensure_future(batcher([{"input_ids": [1] * (1 + i % 7)}])) for i in range(20_000)]
        await asyncio.sleep(0)
        start = time.perf_counter()
        for _ in range(50):
            assert len(batcher.take()) == 32
        seconds = (time.perf_counter() - start) / 50
        for task in waiting:
            task.cancel()
        return seconds

    assert asyncio.run(scene()) < 0.005


def test_a_probe_does_not_take_the_room_of_a_request(run_service, gate):
    with run_service(standins.model(gate), serving.Limits(max_concurrent_requests=1)) as address:
        probes = [connect(address) for _ in range(3)]
        for connection in probes:
            connection.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: gate.asked)
        gate.open.set()
        assert httpx.post(f"{address}/classify", json={"texts": ["a"]}).status_code == 200
        for connection in probes:
            connection.close()


def test_work_for_a_client_that_hangs_up_is_cancelled(run_service, gate):
    with run_service(standins.model(gate)) as address:
        first, gone, last = connect(address), connect(address), connect(address)
        first.sendall(request(["first"]))
        until(lambda: gate.asked)
        gone.sendall(request(["gone"] * 8))
        until(lambda: metric(address, "nbhelpers_queued_tokens") == 32)
        gone.close()
        until(lambda: metric(address, 'http_requests_total{handler="/classify",method="POST",status="499"}') == 1)
        assert metric(address, "nbhelpers_queued_tokens") == 0  # although the model is still busy with "first"
        last.sendall(request(["last one"]))
        until(lambda: metric(address, "nbhelpers_queued_tokens") >= 8)
        gate.open.set()
        for connection in (first, last):
            assert b"200 OK" in connection.recv(65536)
            connection.close()
    assert gate.asked == ["first", "last one"]


def test_a_failing_text_does_not_fail_others_in_its_batch(run_service):
    def predict(examples):
        if "bad!" in standins.texts_of(examples):
            raise RuntimeError("no")
        return standins.answers(examples)

    async def together(address):
        async with httpx.AsyncClient(base_url=address) as client:
            return await asyncio.gather(*(post(client, [text]) for text in ("good", "bad!", "fine")))

    with run_service(standins.model(predict), serving.Limits(batching_delay=0.3)) as address:
        answered = asyncio.run(together(address))
    assert [answer.status_code for answer, _ in answered] == [200, 500, 200]
    assert standins.right(answered[2][0].json()["results"][0], "fine")


@pytest.mark.alone
def test_slow_and_broken_clients_do_not_block_others(run_service, caplog):
    with run_service(standins.model(), serving.Limits(body_timeout=0.5)) as address:
        head, half, left, slow = (connect(address) for _ in range(4))
        head.sendall(b"POST /classify HTTP/1.1\r\nHost:")  # half of a head
        half.sendall(request(["half"])[:-4])  # half of a body
        left.sendall(request(["left"], length=10_000))  # half of a body, then gone
        left.close()
        for byte in request(["slow"]):  # a byte at a time, but in time
            slow.sendall(bytes([byte]))
        assert b"200 OK" in slow.recv(65536)
        began = time.monotonic()
        assert httpx.post(f"{address}/classify", json={"texts": ["quick"]}).status_code == 200
        assert time.monotonic() - began < 0.4
        answer = read_all(half)  # to its end: the service hangs up
        assert b"408 Request Timeout" in answer
        assert b"not complete after 0.5 s" in answer
        assert metric(address, 'http_requests_total{handler="/classify",method="POST",status="499"}') == 1
    assert not [record for record in caplog.records if record.exc_info]
