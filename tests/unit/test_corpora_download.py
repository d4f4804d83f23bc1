"""MELD is downloaded once and verified; a file that is incomplete or wrong never gets the final name."""

import hashlib
import multiprocessing
import resource
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pooch
import pytest
from corpus_files import TURNS, error_message, write

from nbhelpers import corpora
from nbhelpers.corpora import load, load_meld, loading_report

FILES = {name: (TURNS + f"{name},Cy,anger,negative,1,0\n").encode() for name in corpora.MELD_SHA256}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        _, behaviour, name = self.path.split("/")
        body = FILES[name]
        if behaviour == "missing":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if behaviour == "silent":
            time.sleep(1.5)
        return self.wfile.write({"wrong": body[::-1], "short": body[:50]}.get(behaviour, body))

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):  # the client hung up, as it should
        pass


@pytest.fixture
def sources(monkeypatch, tmp_path):
    """Set the two sources to behaviours of a local server; returns the cache folder."""
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("NBHELPERS_DATA", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NBHELPERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        corpora.meld, "MELD_SHA256", {name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}
    )
    monkeypatch.setattr(corpora.meld, "PAUSE_LIMIT", 0.5)

    def choose(*behaviours):
        templates = tuple(f"http://127.0.0.1:{server.server_port}/{behaviour}/{{file}}" for behaviour in behaviours)
        monkeypatch.setattr(corpora.meld, "MELD_SOURCES", templates)
        return tmp_path / "cache" / "meld"

    yield choose
    server.shutdown()
    server.server_close()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("first", ["good", "missing", "wrong", "short"])
def test_download(sources, first):
    cache = sources(first, "good")
    data = load("meld")
    assert {split: len(part) for split, part in data.items()} == {"train": 3, "dev": 3, "test": 3}
    assert contents(cache) == FILES
    assert loading_report(data["dev"])["notes"] == ["official file"]
    sources("missing", "missing")  # the second time nothing is fetched
    assert len(load_meld()["train"]) == 3


def test_a_silent_mirror_is_given_up(sources):
    cache, start = sources("silent", "good"), time.monotonic()
    corpora.meld.download("dev_sent_emo.csv", cache)
    assert contents(cache) == {"dev_sent_emo.csv": FILES["dev_sent_emo.csv"]}
    assert time.monotonic() - start < 3


def test_the_download_prints_nothing_and_leaves_the_log_level_of_pooch(sources, capfd):
    cache, level = sources("missing", "good"), pooch.get_logger().level
    corpora.meld.download("dev_sent_emo.csv", cache)
    assert capfd.readouterr() == ("", "")
    assert pooch.get_logger().level == level


def test_other_users_can_read_a_downloaded_file(sources):
    cache = sources("good", "missing")
    corpora.meld.download("dev_sent_emo.csv", cache)
    assert (cache / "dev_sent_emo.csv").stat().st_mode & 0o777 == 0o644


def test_error_message_when_both_mirrors_fail(sources):
    cache = sources("missing", "wrong")
    message = error_message(load, "meld")
    assert message.startswith("train_sent_emo.csv cannot be downloaded: http://127.0.0.1:")
    assert "/missing/train_sent_emo.csv (404 Client Error: Not Found); " in message
    assert "/wrong/train_sent_emo.csv (not the published file); put train_sent_emo.csv, dev_sent_emo.csv, " in message
    assert "call load_meld(folder), or name that folder meld and set NBHELPERS_DATA" in message
    assert list(cache.iterdir()) == []


def test_error_message_without_a_connection(sources, monkeypatch):
    sources("good")
    monkeypatch.setattr(
        corpora.meld, "MELD_SOURCES", ("http://127.0.0.1:9/{file}", "http://no.such.host.invalid/{file}")
    )
    message = error_message(load_meld)
    assert "http://127.0.0.1:9/train_sent_emo.csv (" in message
    assert "no.such.host.invalid" in message


def test_a_damaged_file_in_the_cache_is_downloaded_again(sources):
    cache = sources("good", "missing")
    cache.mkdir(parents=True)
    write(cache / "train_sent_emo.csv", FILES["train_sent_emo.csv"][:30])
    load_meld()
    assert contents(cache) == FILES
    write(cache / "train_sent_emo.csv", TURNS)
    sources("missing", "missing")
    assert "cannot be downloaded" in error_message(load_meld)


def test_error_message_when_the_cache_cannot_be_written(sources, tmp_path, monkeypatch):
    sources("good")
    monkeypatch.setenv("NBHELPERS_CACHE", str(write(tmp_path / "file", "")))
    assert "set NBHELPERS_CACHE to a folder of your own" in error_message(load_meld)


def download_with_little_room(cache, queue):
    """Download in a process of its own, whose files may have 100 bytes at most, as if the disk were full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing raises OSError instead of ending the process
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    try:
        corpora.meld.download("dev_sent_emo.csv", cache)
    except corpora.CorpusError as error:
        queue.put(str(error))


@pytest.mark.parametrize("before", [None, b"damaged"])
def test_a_full_disk_leaves_no_part_of_a_file(sources, before):
    cache = sources("good", "good")
    cache.mkdir(parents=True)
    if before:
        write(cache / "dev_sent_emo.csv", before)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    worker = context.Process(target=download_with_little_room, args=(cache, queue))
    worker.start()
    worker.join(60)
    assert worker.exitcode == 0
    assert not queue.empty()
    message = queue.get()
    assert message.startswith(f"cannot write to {cache}: [Errno 27] File too large")
    assert message.endswith("; set NBHELPERS_CACHE to a folder on a disk with more room")
    assert contents(cache) == ({"dev_sent_emo.csv": before} if before else {})


def test_an_interrupted_download_leaves_no_part_of_a_file(sources, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    cache = sources("good", "good")
    monkeypatch.setattr(pooch.core, "hash_matches", interrupt)  # the part is on the disk then
    with pytest.raises(KeyboardInterrupt):
        corpora.meld.download("dev_sent_emo.csv", cache)
    assert contents(cache) == {}


def test_two_processes_can_download_at_the_same_time(sources):
    cache = sources("good", "good")
    workers = [multiprocessing.get_context("fork").Process(target=load_meld) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert contents(cache) == FILES


def test_meld_is_looked_for_in_the_argument_then_the_variable_then_the_cache(sources, tmp_path, monkeypatch):
    cache = sources("missing", "missing")
    own, data = tmp_path / "own", tmp_path / "data"
    for folder in (own, data / "meld"):
        folder.mkdir(parents=True)
        write(folder / "train_sent_emo.csv", TURNS + f"{folder.name},Cy,anger,negative,1,0\n")
    monkeypatch.setenv("NBHELPERS_DATA", str(data))
    assert load("meld")["train"]["text"][2] == "meld"
    train = load_meld(own)["train"]
    assert train["text"][2] == "own"
    assert loading_report(train)["notes"] == ["differs from the official file"]
    monkeypatch.setenv("NBHELPERS_DATA", str(own))
    assert "NBHELPERS_DATA is set, but there is no folder" in error_message(load_meld)
    assert not cache.exists()


def test_mirrors_name_one_commit():
    assert all("2d2011b409d3ca2d7e94460cd007d434b1d0a102" in source for source in corpora.MELD_SOURCES)
    assert [source.split("/")[2] for source in corpora.MELD_SOURCES] == [
        "raw.githubusercontent.com",
        "cdn.jsdelivr.net",
    ]
    assert {len(digest) for digest in corpora.MELD_SHA256.values()} == {64}
