"""A local server that answers as Amazon S3 does, and PostgreSQL.

They are no part of the suite, since they need more packages: pip install s3fs "moto[server]" "psycopg[binary]". Set
NBHELPERS_POSTGRES to the address of a database in which a table may be made, such as
postgresql+psycopg://ann@localhost/test. Then: pytest tests/scale/test_storages.py
"""

import os
import socket
import subprocess
import sys
import time
import tracemalloc
import urllib.request

import pandas as pd
import pytest

from nbhelpers import classifier, corpora
from nbhelpers.classifier import outputs, predicting
from nbhelpers.corpora import transfer

SECRET = "hunter2hunter2"
TEXTS = [f"Train {i} is late{'!' * (i % 5)}" for i in range(100)]
FRAME = pd.DataFrame({"id": range(100), "text": TEXTS, "label": ["joy" if i % 2 else "anger" for i in range(100)]})


def message_of(function, *arguments, **options):
    with pytest.raises((corpora.CorpusError, classifier.ClassifierError)) as caught:
        function(*arguments, **options)
    assert SECRET not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def server():
    """The address of a server, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def tell(server, action, content=b""):
    """Ask the server for something that a real storage does not do."""
    headers = {"Content-Type": "text/plain"}
    urllib.request.urlopen(urllib.request.Request(f"{server}/moto-api/{action}", content, headers)).close()


@pytest.fixture
def storage(server, tmp_path, monkeypatch):
    """An empty bucket, with credentials in the environment, and an empty cache."""
    import s3fs

    tell(server, "reset")
    tell(server, "reset-auth", b"inf")  # the first so many requests need no permission
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ann")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("NBHELPERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transfer, "PAUSE", 0)
    monkeypatch.setattr(predicting, "CHUNK_ROWS", 30)
    s3fs.S3FileSystem.clear_instance_cache()
    storage = s3fs.S3FileSystem()
    storage.mkdir("bucket")
    return storage


def test_what_reads_a_path_reads_an_address(storage):
    storage.pipe("bucket/r.csv", FRAME.to_csv(index=False).encode())
    data = corpora.load("s3://bucket/r.csv", text="text", label="label")
    assert data["train"]["text"][:] == TEXTS
    storage.pipe("bucket/r.csv", FRAME[:50].to_csv(index=False).encode())
    assert sum(1 for _ in corpora.stream("s3://bucket/r.csv").rows) == 50


# Predicts to an address, and is killed when half of the rows are done.
SCRIPT = """
import os, sys
from nbhelpers import classifier
from nbhelpers.classifier import predicting

predicting.CHUNK_ROWS = 30
classifier.predict(*sys.argv[1:], progress=lambda rows: rows < 60 or os._exit(9))
"""


def test_a_prediction_from_and_to_addresses_that_is_killed_goes_on(storage, folder, tmp_path):
    FRAME.to_parquet(tmp_path / "r.parquet", index=False)
    local = classifier.predict(folder, tmp_path / "r.parquet", tmp_path / "local.parquet")
    storage.put(str(tmp_path / "r.parquet"), "bucket/r.parquet")
    arguments = (str(folder), "s3://bucket/r.parquet", "s3://bucket/labels.parquet")
    assert subprocess.run([sys.executable, "-c", SCRIPT, *arguments]).returncode == 9
    assert storage.ls("bucket", refresh=True) == ["bucket/r.parquet"]
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert len([path for path in kept if path.parent.name == "labels.parquet.parts"]) == 3  # with run.json
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]
    done = []
    assert classifier.predict(*arguments, progress=done.append) == "s3://bucket/labels.parquet"
    assert done == [90, 100]
    with storage.open("bucket/labels.parquet") as file:
        pd.testing.assert_frame_equal(pd.read_parquet(file), pd.read_parquet(local))
    assert message_of(classifier.predict, *arguments).startswith("s3://bucket/labels.parquet exists already")


def test_a_copy_that_is_stopped_goes_on(storage, monkeypatch):
    monkeypatch.setattr(transfer, "BLOCK", 2**20)
    content = os.urandom(5 * 2**20)
    storage.pipe("bucket/big.csv", content)

    def stop(done, size):
        if done == 2 * 2**20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corpora.local_path("s3://bucket/big.csv", stop)
    done = []
    assert corpora.local_path("s3://bucket/big.csv", lambda *now: done.append(now)).read_bytes() == content
    assert done == [(i * 2**20, 5 * 2**20) for i in (3, 4, 5)]


def test_a_file_that_is_written_is_whole_or_not_there(storage, tmp_path, monkeypatch):
    (tmp_path / "big.csv").write_bytes(os.urandom(40 * 2**20))
    transfer.write_to("s3://bucket/big.csv", tmp_path / "big.csv")
    assert storage.cat("bucket/big.csv") == (tmp_path / "big.csv").read_bytes()

    def interrupted(source, target, length):
        target.write(source.read(20 * 2**20))
        raise KeyboardInterrupt

    monkeypatch.setattr(transfer.shutil, "copyfileobj", interrupted)
    with pytest.raises(KeyboardInterrupt):
        transfer.write_to("s3://bucket/half.csv", tmp_path / "big.csv")
    assert storage.ls("bucket", refresh=True) == ["bucket/big.csv"]
    assert storage.list_multipart_uploads("bucket") == []


def test_memory_does_not_grow_with_the_file(storage, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "BLOCK", 2**23)
    peaks = []
    for size in (2**25, 2**27):
        (tmp_path / "big.csv").write_bytes(bytes(size))
        tracemalloc.start()
        transfer.write_to("s3://bucket/big.csv", tmp_path / "big.csv")
        assert corpora.local_path("s3://bucket/big.csv").stat().st_size == size
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    print(f"peaks in MB: {[round(peak / 1e6) for peak in peaks]}")
    assert peaks[1] < 1.2 * peaks[0]


def test_mistakes(storage, server, folder, tmp_path, monkeypatch):
    storage.pipe("bucket/r.csv", FRAME.to_csv(index=False).encode())
    absent = "it does not exist; check the bucket and the path"
    assert message_of(corpora.load, "s3://bucket/a.csv") == f"s3://bucket/a.csv: {absent}"
    assert message_of(corpora.load, "s3://absent/a.csv") == f"s3://absent/a.csv: {absent}"
    assert message_of(corpora.load, "s3://bucket").startswith("s3://bucket is a folder, but a file is needed")
    FRAME.to_csv(tmp_path / "r.csv", index=False)
    message = message_of(classifier.predict, folder, tmp_path / "r.csv", "s3://absent/out.csv")
    assert message.startswith(f"s3://absent/out.csv: {absent}; all rows are done and in {tmp_path / 'cache'}")
    tell(server, "reset-auth", b"0")
    refused = "there is no permission; check the credentials in the environment"
    assert message_of(corpora.load, "s3://bucket/r.csv") == f"s3://bucket/r.csv: {refused}"
    assert (
        message_of(classifier.predict, folder, tmp_path / "r.csv", "s3://bucket/o.csv")
        == f"s3://bucket/o.csv: {refused}"
    )
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    type(storage).clear_instance_cache()
    assert message_of(corpora.load, "s3://bucket/r.csv") == (
        "s3://bucket/r.csv: cannot be reached (Could not connect to the endpoint URL: "
        '"http://127.0.0.1:9/bucket/r.csv"); check the address and the network'
    )


@pytest.fixture(scope="module")
def postgres():
    """The address of a database with a table of 100,000 rows."""
    import sqlalchemy

    address = os.environ.get("NBHELPERS_POSTGRES")
    if not address:
        pytest.fail("set NBHELPERS_POSTGRES to the address of a PostgreSQL database in which a table may be made")
    engine = sqlalchemy.create_engine(address)
    with engine.begin() as connection:
        connection.exec_driver_sql("drop table if exists nbhelpers_test")
        connection.exec_driver_sql(
            "create table nbhelpers_test as select id, 'Train ' || id || repeat(' is late', 20) as text, "
            "id * 1.5 as price, now() as day, gen_random_uuid() as code, json_build_object('id', id) as about, "
            "case when mod(id, 2) = 0 then 'joy' else 'anger' end as label from generate_series(1, 100000) as id"
        )
    yield address
    with engine.begin() as connection:
        connection.exec_driver_sql("drop table nbhelpers_test")


def test_rows_of_postgres_are_read_in_small_parts(postgres, tmp_path):
    peaks = []
    for limit in (5000, 100_000):
        tracemalloc.start()
        query = f"select * from nbhelpers_test order by id limit {limit}"
        kept = outputs.kept_rows(corpora.stream(postgres, query=query), tmp_path / "kept.parquet", 1000, print)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert [row[0] for row in kept.rows] == list(range(1, limit + 1))
    print(f"peaks in MB: {[round(peak / 1e6, 1) for peak in peaks]}")
    assert peaks[1] < 1.2 * peaks[0]


def test_postgres_as_a_corpus_and_its_mistakes(postgres, folder, tmp_path):
    query = "select text, label from nbhelpers_test where id % 2 = 0 or id < 10 order by id limit 8"
    data = corpora.load(postgres, query=query)
    assert data["train"]["text"][2].startswith("Train 3 is late")
    query = "select id, text, price, code, about from nbhelpers_test where id <= 50"
    found = pd.read_csv(classifier.predict(folder, postgres, tmp_path / "out.csv", query=query))
    assert sorted(found["id"]) == list(range(1, 51))
    assert found["predicted"].notna().all()
    assert message_of(corpora.load, postgres, table="nbhelpers_tst") == (
        "there is no table 'nbhelpers_tst'; did you mean nbhelpers_test?"
    )
    assert message_of(corpora.load, postgres, query="select txt from nbhelpers_test").endswith(
        'column "txt" does not exist; check the query'
    )
    query = "with x as (delete from nbhelpers_test returning id) select id from x"
    assert "data-modifying statements" in message_of(corpora.stream, postgres, query=query)
    assert next(corpora.stream(postgres, query="select count(*) from nbhelpers_test").rows) == [100_000]
