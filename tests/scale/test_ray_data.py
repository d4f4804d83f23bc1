"""Ray Data on two machines, which are both this one. How to run it: see "Run the tests" in CONTRIBUTING.md."""

import csv
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import psutil
import pyarrow.parquet
import pytest

from nbhelpers import classifier

ROWS, ROOT = 6_000, Path(__file__).parents[2]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A folder of two csv files, with ids that a number would change, and cells with commas and line breaks."""
    path = tmp_path_factory.mktemp("texts")
    for part in range(2):
        with (path / f"{part}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["id", "text", "stars", "note"])
            for i in range(part, ROWS, 2):
                text = "" if i % 100 == 99 else f"Train {i} is late, again{'!' * (i % 7)}\nSee you."
                writer.writerow([f"{i:07}", text, i % 5, "NA" if i % 3 else ""])
    return path


@pytest.fixture(scope="module")
def wanted(folder, source, tmp_path_factory):
    """What `nbhelpers predict` writes."""
    path = tmp_path_factory.mktemp("wanted")
    for part in range(2):
        classifier.predict(folder, source / f"{part}.csv", path / f"{part}.parquet", log=print)
    return read(path)


def read(folder):
    """The rows of a folder, ordered by their ids."""
    return pyarrow.parquet.read_table(folder).to_pandas().sort_values("id", ignore_index=True)


def require_equal(found, wanted):
    """Each row is there once, with all its cells, and with the same answer up to rounding."""
    assert list(found.columns) == list(wanted.columns)
    assert len(found) == ROWS
    given = [name for name in wanted.columns if name not in ("predicted", "probability")]
    pd.testing.assert_frame_equal(found[given], wanted[given])
    pd.testing.assert_series_equal(found["probability"], wanted["probability"], atol=1e-5)
    assert (found["predicted"] == wanted["predicted"])[wanted["text"] != ""].mean() > 0.999  # others are a tie
    assert found["predicted"].isna().equals(wanted["text"] == "")


def workers():
    """The processes that classify, on both machines."""
    for process in psutil.Process().children(recursive=True):
        try:
            if process.name().startswith("ray::MapWorker"):
                yield process
        except psutil.NoSuchProcess:
            continue


def once_some_rows_are_written(output, act):
    """Run `act` in a thread as soon as a part of the output is there; returns a function that tells how much was."""
    parts = output.with_name(f"{output.name}.parts")
    seen = []

    def watch():
        while not list(parts.glob("done/*.parquet")) or any("pending" in path.name for path in parts.glob("done/*")):
            time.sleep(0.02)
        seen.append(sum(len(pyarrow.parquet.read_table(path)) for path in parts.glob("done/*.parquet")))
        act()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()

    def rows_before():
        thread.join(timeout=10)
        return seen[0]

    return rows_before


def test_a_killed_worker_loses_no_row_and_doubles_none(cluster, folder, source, wanted, tmp_path):
    from deploy.ray_data import predict

    killed = []

    def kill():
        killed.append(next(workers()))
        killed[0].kill()

    rows_before = once_some_rows_are_written(tmp_path / "out", kill)
    assert predict(folder, str(source), tmp_path / "out", row_id="id", workers=2) == tmp_path / "out"
    assert 0 < rows_before() < ROWS
    assert not killed[0].is_running()
    require_equal(read(tmp_path / "out"), wanted)
    assert {path.name for path in tmp_path.iterdir()} == {"out"}


def test_a_machine_that_dies_loses_no_row_and_doubles_none(cluster, another_machine, folder, source, wanted, tmp_path):
    from deploy.ray_data import predict

    another_machine()
    machine = next(iter(cluster.worker_nodes))

    def fail():
        cluster.remove_node(machine, allow_graceful=False)

    rows_before = once_some_rows_are_written(tmp_path / "out", fail)
    predict(folder, str(source), tmp_path / "out", row_id="id", workers=2, all_probabilities=True)
    assert 0 < rows_before() < ROWS
    found = read(tmp_path / "out")
    shares = found.filter(like="probability of ")
    assert shares.sum(axis=1)[found["text"] != ""].between(0.999, 1.001).all()
    require_equal(found.drop(columns=shares.columns), wanted)


def test_a_stopped_run_goes_on(cluster, folder, source, wanted, tmp_path):
    """The command is killed, and the cluster with it keeps running; the same call writes what is missing."""
    from deploy.ray_data import predict

    table = pd.concat([pd.read_csv(path, dtype=str, keep_default_na=False) for path in sorted(source.glob("*.csv"))])
    (tmp_path / "parquet").mkdir()
    for part in range(6):
        table[part::6].to_parquet(tmp_path / "parquet" / f"{part}.parquet", index=False)
    command = [sys.executable, "-m", "deploy.ray_data", str(folder), str(tmp_path / "parquet"), str(tmp_path / "out")]
    env = {**os.environ, "RAY_ADDRESS": cluster.address}
    with subprocess.Popen([*command, "--id=id", "--workers=2"], cwd=ROOT, env=env) as running:
        once_some_rows_are_written(tmp_path / "out", running.kill)
    assert running.returncode < 0
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "out.parts" / "done").iterdir()}
    kept = {path.stem: when for path, when in kept.items() if "pending" not in path.name}
    with pytest.raises(classifier.ClassifierError, match="is of another call; remove it"):
        predict(folder, str(source), tmp_path / "out", row_id="id", workers=1)
    predict(folder, str(tmp_path / "parquet"), tmp_path / "out", row_id="id", workers=1)
    require_equal(read(tmp_path / "out"), wanted)
    for name in kept:
        assert list((tmp_path / "out").glob(f"{name}*")), "what was written stays"


def test_wrong_calls_end_with_a_sentence(cluster, folder, source, tmp_path):
    from deploy.ray_data import predict

    def refused(message, source=source, row_id="id", **options):
        with pytest.raises(classifier.ClassifierError, match=message):
            predict(folder, str(source), tmp_path / "out", row_id=row_id, **{"workers": 1, **options})
        assert not (tmp_path / "out").exists()

    refused("no column 'number'", row_id="number")
    refused("no column 'review'", text="review")
    refused("workers=3, threads=1: 4 cores have no room for this and two more", workers=3)
    refused("nothing.csv", source=tmp_path / "nothing.csv")
    refused("no files of one kind", source=folder)
    (tmp_path / "broken.csv").write_text("id,text\n1,Good.\n2\n")
    refused("broken.csv", source=tmp_path / "broken.csv")
    (tmp_path / "out").mkdir()
    with pytest.raises(classifier.ClassifierError, match="out exists already; remove it, or choose another name"):
        predict(folder, str(source), tmp_path / "out", row_id="id", workers=1)
