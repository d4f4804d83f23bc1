"""Files at an address: a server that breaks off, one that lies, storages of fsspec, and no secret in any file."""

import gzip
import io
import multiprocessing
import re
import shutil
import sys
import threading
import tracemalloc
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import pandas as pd
import pytest
import requests
from corpus_files import GOOD, error_message, write

from nbhelpers import corpora
from nbhelpers.corpora import addresses, load, local_path, stream, transfer

BIG = bytes(range(256)) * 40  # 10,240 bytes
SECRET = "hunter2"


class Handler(BaseHTTPRequestHandler):
    """Serves `files` of the server, by path. What it does wrong is set on the server as well."""

    def do_GET(self):
        server, path = self.server, self.path.partition("?")[0]
        server.asked.append((path, self.headers.get("Range")))
        server.before_answer(len(server.asked))
        if path in server.codes:
            return self.send_error(server.codes[path])
        body, start = server.files[path], 0
        if server.has_ranges and "Range" in self.headers:
            start = int(re.fullmatch(r"bytes=(\d+)-", self.headers["Range"])[1])
        self.send_response(206 if start else 200)
        for name, value in server.headers.items():
            self.send_header(name, value)
        if server.tells_size:
            self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start : start + server.breaks_after])
        return server.after_answer()

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.codes, self.asked, self.headers = {"/data/r.csv": GOOD.encode()}, {}, [], {"ETag": '"1"'}
        self.has_ranges, self.tells_size, self.breaks_after, self.after_answer = True, True, 2**30, lambda: None
        self.before_answer = lambda number: None  # called with the number of the request

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):  # the client hung up, because it only wanted to know the size
        pass


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    """An empty cache, and no pauses between attempts."""
    monkeypatch.setenv("NBHELPERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transfer, "PAUSE", 0)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "cache"


@pytest.fixture
def server():
    server = Server()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def memory():
    """fsspec's storage in memory, empty."""
    storage = fsspec.filesystem("memory")
    storage.rm("/", recursive=True) if storage.ls("/") else None
    yield storage
    storage.store.clear()


def files_of(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.name != "lock")


# --- reading ----------------------------------------------------------------------------------------------------------


def test_what_reads_a_path_reads_an_address(server, memory):
    memory.pipe("/bucket/r.csv", GOOD.encode())
    for address in (f"{server.address}/data/r.csv", "memory://bucket/r.csv"):
        assert load(address)["train"]["text"][:] == ["fine", "bad"]
        assert load({"train": address, "test": address})["test"]["label"][:] == [1, 0]
        assert list(stream(address).rows) == [["fine", "pos"], ["bad", "neg"]]
    memory.pipe("/bucket/texts.txt", b"fine\nbad\n")
    memory.pipe("/bucket/labels.txt", b"pos\nneg\n")
    assert load("memory://bucket/texts.txt", label_file="memory://bucket/labels.txt")["train"]["label"][:] == [1, 0]
    assert corpora.read_names("memory://bucket/labels.txt") == ["pos", "neg"]


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "jsonl", "json", "parquet", "xlsx"])
def test_all_formats(memory, suffix):
    frame, target = pd.read_csv(io.StringIO(GOOD)), io.BytesIO()
    if suffix in ("parquet", "xlsx"):
        (frame.to_parquet if suffix == "parquet" else frame.to_excel)(target, index=False)
        content = target.getvalue()
    elif suffix in ("json", "jsonl"):
        content = frame.to_json(orient="records", lines=suffix == "jsonl").encode()
    else:
        content = gzip.compress(GOOD.encode()) if suffix == "csv.gz" else GOOD.encode()
    memory.pipe(f"/r.{suffix}", content)
    data = load(f"memory://r.{suffix}")
    assert data["train"]["text"][:] == ["fine", "bad"]
    assert corpora.loading_report(data["train"])["file"] == f"r.{suffix}"


def test_a_file_is_copied_once_and_again_when_it_has_changed(server, memory, cache):
    address = f"{server.address}/data/r.csv"
    seen = []
    first = local_path(address, lambda done, size: seen.append((done, size)))
    assert first.read_text() == GOOD
    assert seen == [(len(GOOD), len(GOOD))]
    assert local_path(address, lambda done, size: seen.append("again")) == first
    assert len(seen) == 1
    write(first, GOOD[:-3])  # somebody damaged it
    assert local_path(address).read_text() == GOOD
    server.files["/data/r.csv"], server.headers["ETag"] = GOOD.replace("bad", "sad").encode(), '"2"'
    assert local_path(address).read_text() == GOOD.replace("bad", "sad")
    assert files_of(cache) == ["r.csv"], "the earlier version is gone"
    memory.pipe("/r.csv", b"one")
    assert local_path("memory://r.csv").read_bytes() == b"one"
    memory.pipe("/r.csv", b"two")
    assert local_path("memory://r.csv").read_bytes() == b"two"


def test_without_a_version_a_file_is_copied_each_time(server):
    server.headers = {}
    address = f"{server.address}/data/r.csv"
    local_path(address)
    server.files["/data/r.csv"] = GOOD.replace("bad", "sad").encode()  # of the same size
    assert local_path(address).read_text() == GOOD.replace("bad", "sad")
    server.headers = {"Last-Modified": "Tue, 01 Jan 2041 00:00:00 GMT"}
    local_path(address)
    count = len(server.asked)
    local_path(address)
    assert len(server.asked) == count + 1, "only the headers are asked for"


def test_the_query_chooses_the_file(server):
    server.headers = {}
    files = {split: f"{server.address}/data/r.csv?part={split}" for split in ("train", "dev")}
    assert len({local_path(address) for address in files.values()}) == 2
    assert set(load(files)) == {"train", "dev"}


# --- a network that breaks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_ranges", [True, False], ids=["ranges", "no ranges"])
def test_a_copy_goes_on_where_the_connection_broke(server, monkeypatch, cache, has_ranges):
    monkeypatch.setattr(transfer, "PIECE", 1000)
    server.files["/big.csv"], server.breaks_after, server.has_ranges = BIG, 6000, has_ranges
    address = f"{server.address}/big.csv"
    if has_ranges:
        assert local_path(address).read_bytes() == BIG
        assert [asked for _, asked in server.asked] == [None, None, "bytes=6000-", None]
        return
    message = error_message(local_path, address)
    assert message == f"{address}: the copy broke after 0.0 MB (Connection broken); the same call goes on there"
    assert files_of(cache) == ["part"]
    server.breaks_after = 2**30
    assert local_path(address).read_bytes() == BIG
    assert files_of(cache) == ["big.csv"]


def test_a_copy_that_broke_goes_on_at_the_next_call_and_no_half_file_is_used(server, monkeypatch, cache):
    monkeypatch.setattr(transfer, "PIECE", 1000)
    server.files["/big.csv"], server.breaks_after = BIG, 6000
    address = f"{server.address}/big.csv"
    server.before_answer = lambda number: setattr(server, "breaks_after", 6000 if number <= 2 else 0)
    assert "the copy broke after" in error_message(local_path, address)
    assert files_of(cache) == ["part"]
    (part,) = cache.rglob("part")
    there = part.stat().st_size
    assert there == 6000
    server.before_answer = lambda number: setattr(server, "breaks_after", 2**30)
    server.asked.clear()
    assert local_path(address).read_bytes() == BIG
    assert [asked for _, asked in server.asked] == [None, "bytes=6000-", None]
    assert files_of(cache) == ["big.csv"]


def test_a_copy_that_was_stopped_goes_on(memory, monkeypatch, cache):
    monkeypatch.setattr(transfer, "BLOCK", 1000)
    memory.pipe("/big.csv", BIG)
    seen = []

    def stop(done, size):
        seen.append((done, size))
        if done == 3000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        local_path("memory://big.csv", stop)
    assert files_of(cache) == ["part"]
    assert local_path("memory://big.csv", stop).read_bytes() == BIG
    assert seen == [(min(i * 1000, 10_240), 10_240) for i in (1, 2, 3, *range(4, 12))]


def test_a_part_of_an_earlier_version_is_not_continued(server, monkeypatch, cache):
    server.files["/big.csv"], server.breaks_after, server.has_ranges = BIG, 6000, False
    error_message(local_path, f"{server.address}/big.csv")
    assert files_of(cache) == ["part"]
    server.files["/big.csv"], server.headers["ETag"] = BIG[::-1], '"2"'
    server.breaks_after, server.has_ranges = 2**30, True
    assert local_path(f"{server.address}/big.csv").read_bytes() == BIG[::-1]
    assert files_of(cache) == ["big.csv"]


def test_a_file_that_changes_while_it_is_copied_is_refused(server, cache):
    server.files["/big.csv"] = BIG
    server.before_answer = lambda number: server.headers.update(ETag='"1"' if number <= 2 else '"2"')
    message = error_message(local_path, f"{server.address}/big.csv")
    assert message == f"{server.address}/big.csv changed while it was copied; copy it again"
    assert files_of(cache) == []


def test_a_server_that_tells_no_size(server):
    server.files["/big.csv"], server.tells_size = BIG, False
    assert local_path(f"{server.address}/big.csv").read_bytes() == BIG


def test_a_silent_server_is_given_up(server, monkeypatch):
    monkeypatch.setattr(transfer, "PAUSE_LIMIT", 0.2)
    ended = threading.Event()
    server.files["/big.csv"], server.breaks_after, server.after_answer = BIG, 0, ended.wait
    message = error_message(local_path, f"{server.address}/big.csv")
    ended.set()
    assert "the copy broke after 0.0 MB (Read timed out" in message


def test_memory_does_not_grow_with_the_file(server, monkeypatch):
    monkeypatch.setattr(transfer, "PIECE", 2**16)
    peaks = []
    for size in (2**20, 2**24):
        server.files["/big.csv"] = bytes(size)
        tracemalloc.start()
        assert local_path(f"{server.address}/big.csv").stat().st_size == size
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2**20


def copy_in_another_process(address, queue):
    queue.put(corpora.local_path(address).read_bytes() == BIG)


def test_two_processes_can_copy_at_the_same_time(server, cache):
    server.files["/big.csv"] = BIG
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    workers = [
        context.Process(target=copy_in_another_process, args=(f"{server.address}/big.csv", queue)) for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    assert [queue.get() for _ in workers] == [True, True]
    for worker in workers:
        worker.join(60)
    assert files_of(cache) == ["big.csv"]


# --- what is wrong is said in a sentence ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (404, "it does not exist; check the bucket and the path"),
        (403, "there is no permission; check the credentials in the environment"),
        (401, "there is no permission; check the credentials in the environment"),
        (500, "cannot be reached (500 Server Error: Internal Server Error); check the address and the network"),
    ],
)
def test_answers_of_a_server(server, code, message, cache):
    server.codes["/data/r.csv"] = code
    found = error_message(load, f"{server.address}/data/r.csv?signature={SECRET}")
    assert found == f"{server.address}/data/r.csv: {message}"
    assert not cache.exists()


def test_addresses_that_lead_nowhere(memory):
    message = error_message(load, f"http://ann:{SECRET}@127.0.0.1:9/r.csv?key={SECRET}")
    assert message.startswith("http://127.0.0.1:9/r.csv: cannot be reached ([")
    assert message.endswith("); check the address and the network")
    assert SECRET not in message
    assert error_message(load, "memory://absent/r.csv") == (
        "memory://absent/r.csv: it does not exist; check the bucket and the path"
    )
    assert error_message(stream, "postgresql://localhost/shop") == (
        "postgresql://localhost/shop begins with no storage that fsspec knows; check the address, and of a database "
        "pass query= or table= as well"
    )
    memory.pipe("/bucket/r.csv", b"")
    assert error_message(load, "memory://bucket") == (
        "memory://bucket is a folder, but a file is needed; pass a file in it"
    )
    assert error_message(load, "memory://bucket/r.csv") == (
        "r.csv is empty; check that it was saved and copied completely"
    )


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert error_message(load, "s3://bucket/r.csv") == "s3://bucket/r.csv: s3fs is missing; run pip install s3fs"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError("Forbidden"), "there is no permission; check the credentials in the environment"),
        (type("NoCredentialsError", (Exception,), {})(), "there is no permission; check the credentials in the"),
        (RuntimeError(f"no answer from s3://ann:{SECRET}@host/?key={SECRET}"), "no answer from s3://host/)"),
    ],
)
def test_errors_of_storages(memory, monkeypatch, error, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(type(memory), "info", fail)
    found = error_message(load, "memory://r.csv")
    assert message in found
    assert SECRET not in found


def test_a_full_disk_and_a_cache_that_cannot_be_written(server, monkeypatch, cache):
    usage = shutil.disk_usage(cache.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=3))
    message = error_message(load, f"{server.address}/data/r.csv")
    assert message.endswith("; make room, or set NBHELPERS_CACHE to another folder")
    monkeypatch.setenv("NBHELPERS_CACHE", str(write(cache.parent / "file", "")))
    message = error_message(load, f"{server.address}/data/r.csv")
    assert message.startswith(f"cannot write to {cache.parent / 'file'}")
    assert message.endswith("; set NBHELPERS_CACHE to a folder on a disk with more room")


def test_no_name_leads_out_of_the_cache():
    names = [
        "https://h/..",
        "https://h/a/%2e%2e",
        "s3://b/a\\..\\c.csv",
        "https://h/x%2F..%2Fr.csv",
        f"s3://b/{'x' * 300}.csv",
    ]
    found = [addresses.name_of(name) for name in names]
    assert found[:4] == ["file", "file", "a_.._c.csv", "r.csv"]
    assert len(found[4]) == 100
    assert found[4].endswith(".csv")


def test_a_windows_path_is_no_address():
    assert not corpora.is_address(r"C:\data\r.csv")
    assert not corpora.is_address("C:/data/r.csv")
    assert corpora.is_address("zip://r.csv::s3://bucket/all.zip")


def test_the_message_of_requests_is_shortened():
    error = requests.ConnectionError(
        f"HTTPSConnectionPool(host='h', port=443): Max retries with url: /a?key={SECRET} (x)"
    )
    assert SECRET not in transfer.reason(error)
