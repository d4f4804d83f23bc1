"""Tracking: what is recorded of a run, where it goes, and that no tracker ever stops the training."""

import hashlib
import http.server
import json
import socket
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch
import transformers
from training_runs import tiny_model, train, train_by_trainer

from nbhelpers import tracking
from nbhelpers.tracking import Tracker, send

pytestmark = pytest.mark.filterwarnings("error::UserWarning:nbhelpers")


def read(file):
    """The facts and the rows in the file of a run."""
    facts, *rows = map(json.loads, file.read_text().splitlines())
    return facts, rows


@pytest.fixture
def mlflow_client(tmp_path):
    from mlflow import MlflowClient

    return MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


# ---- what is recorded ----


def test_the_facts_of_a_run(tmp_path, monkeypatch):
    (tmp_path / "train.csv").write_text("text,label\nhello,joy\n")
    facts = tracking.describe({"lr": 1e-4, "layers": [1, 2]}, [tmp_path / "train.csv"])
    assert facts["config"] == {"lr": 1e-4, "layers": [1, 2]}
    assert facts["data"] == {str(tmp_path / "train.csv"): hashlib.sha256(b"text,label\nhello,joy\n").hexdigest()}
    assert facts["environment"]["torch"] == torch.__version__
    assert facts["environment"]["transformers"] == transformers.__version__
    assert facts["environment"]["python"] == ".".join(map(str, sys.version_info[:3]))


def test_the_commit_and_whether_the_code_was_changed_since(tmp_path, monkeypatch):
    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        done = subprocess.run(["git", *identity, *arguments], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert tracking.commit() is None
    git("init")
    assert tracking.commit() is None  # a repository without a commit
    (tmp_path / "train.py").write_text("lr = 1e-4")
    git("add", "train.py")
    git("commit", "-m", "first")
    head = git("rev-parse", "HEAD")
    assert len(head) == 40
    assert tracking.commit() == head
    (tmp_path / "notes.txt").write_text("not code")
    assert tracking.commit() == head
    (tmp_path / "train.py").write_text("lr = 1e-3")
    assert tracking.commit() == f"{head}-dirty"
    monkeypatch.setenv("PATH", "")
    assert tracking.commit() is None  # no git


def test_wrong_calls_fail_before_the_training_in_a_sentence(tmp_path, monkeypatch):
    with pytest.raises(
        ValueError, match="tracker='tensorbord' is unknown; use one of jsonl, mlflow, tensorboard, wandb"
    ):
        Tracker("run", "tensorbord", folder=tmp_path)
    with pytest.raises(ValueError, match=r"there is no data file train.csv; pass the files"):
        Tracker("run", folder=tmp_path, data_files=["train.csv"])
    assert not list(tmp_path.iterdir())
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match=r"wandb is not installed .*; install it, or use 'jsonl'"):
        Tracker("run", "wandb", folder=tmp_path)


@pytest.mark.slow
def test_mlflow_refuses_its_old_folders(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"mlflow cannot store runs in \./mlruns: MlflowException: The filesystem"):
        Tracker("run", "mlflow", folder=tmp_path, uri="./mlruns")


def test_a_run_never_writes_to_the_file_of_another(tmp_path):
    files = []
    for _ in range(3):
        with Tracker("run", folder=tmp_path / "new") as tracker:
            tracker({"step": 1, "loss": 1.0})
        files.append(tracker.file.name)
    assert files == ["run.jsonl", "run-2.jsonl", "run-3.jsonl"]


def test_rows_keep_their_numbers_and_scores_without_a_step_follow_the_last(tmp_path):
    with Tracker("run", folder=tmp_path) as tracker:
        tracker({"step": 7, "epoch": 1, "dev_score": np.float32(0.5), "loss": torch.tensor(2.0)})
        tracker({"test_f1": 0.25, "note": "good", "confusion": np.zeros((2, 2)), "nothing": None})
    assert read(tracker.file)[1] == [
        {"step": 7, "epoch": 1.0, "dev_score": 0.5, "loss": 2.0},
        {"step": 7, "test_f1": 0.25},
        {"succeeded": True},
    ]


def test_the_rows_before_a_crash_are_there(tmp_path):
    def run():
        with Tracker("run", folder=tmp_path) as tracker:
            tracker({"step": 1, "loss": 1.0})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run()
    assert read(tmp_path / "run.jsonl")[1] == [{"step": 1, "loss": 1.0}, {"succeeded": False}]
    killed = Tracker("killed", folder=tmp_path)
    killed({"step": 1, "loss": 1.0})
    assert read(killed.file)[1] == [{"step": 1, "loss": 1.0}]  # also if nothing is left to close it


# ---- the loop and the Trainer ----


def test_the_loop_writes_its_history(tmp_path):
    scores = iter([0.5, 0.75])
    with Tracker("run", folder=tmp_path) as tracker:
        history = train(tiny_model(), evaluate=lambda model: next(scores), log=tracker)
    assert read(tracker.file)[1][:-1] == history
    assert [row["dev_score"] for row in history if "dev_score" in row] == [0.5, 0.75]


def test_trainer_writes_its_history(tmp_path):
    with Tracker("run", folder=tmp_path) as tracker:
        trainer = train_by_trainer(tiny_model(), tmp_path / "checkpoints", callbacks=[tracker], logging_steps=5)
    expected = trainer.state.log_history
    assert {"loss", "learning_rate", "epoch", "step"} <= expected[0].keys()
    assert read(tracker.file)[1][:-1] == expected


def test_only_one_of_several_processes_writes(tmp_path):
    tracker = Tracker("run", folder=tmp_path)
    for is_first in (False, True):
        state = transformers.TrainerState(global_step=3, is_world_process_zero=is_first)
        tracker.on_log(None, state, None, {"loss": 1.0})
    assert read(tracker.file)[1] == [{"step": 3, "loss": 1.0}]


# ---- each tracker ----


def record(tracker, folder, **options):
    """A short run with two scores."""
    (folder / "train (1).csv").write_text("text,label\n")
    options = {"config": {"lr": 1e-4, "head": {"dropout": 0.1}}, "data_files": [folder / "train (1).csv"], **options}
    with Tracker("baseline", tracker, folder=folder, **options) as run:
        for step in range(1, 21):
            run({"step": step, "epoch": step / 20, "train_loss": 1 / step, "lr": 1e-4})
        run({"step": 20, "epoch": 1, "dev_score": 0.5})
        run({"test_f1": 0.25})
    return run


@pytest.mark.slow
def test_mlflow(tmp_path, mlflow_client):
    run = record("mlflow", tmp_path)
    [stored] = mlflow_client.search_runs([mlflow_client.get_experiment_by_name("nbhelpers").experiment_id])
    facts, rows = read(run.file)
    assert (stored.info.run_name, stored.info.status) == ("baseline", "FINISHED")
    assert stored.data.params == {"lr": "0.0001", "head/dropout": "0.1"}
    assert stored.data.tags["mlflow.source.git.commit"] == str(facts["commit"])
    assert stored.data.tags["environment/torch"] == torch.__version__
    [digest] = [value for name, value in stored.data.tags.items() if name.endswith("train _1_.csv")]
    assert digest == hashlib.sha256(b"text,label\n").hexdigest()
    losses = mlflow_client.get_metric_history(stored.info.run_id, "train_loss")
    assert [(loss.step, loss.value) for loss in losses] == [(10, 1 / 10), (20, 1 / 20)]  # one row in ten
    assert stored.data.metrics["dev_score"] == 0.5
    assert stored.data.metrics["test_f1"] == 0.25
    assert len(rows) == 20 + 2 + 1  # the file has them all

    send(run.file, "mlflow", project="sent")
    [sent] = mlflow_client.search_runs([mlflow_client.get_experiment_by_name("sent").experiment_id])
    assert (sent.info.status, sent.data.params) == ("FINISHED", stored.data.params)
    assert sent.data.metrics == stored.data.metrics
    assert len(mlflow_client.get_metric_history(sent.info.run_id, "train_loss")) == 20

    with pytest.raises(ZeroDivisionError), Tracker("crash", "mlflow", folder=tmp_path, project="crash"):
        1 / 0  # noqa: B018
    [crashed] = mlflow_client.search_runs([mlflow_client.get_experiment_by_name("crash").experiment_id])
    assert crashed.info.status == "FAILED"


@pytest.mark.slow
def test_tensorboard(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = record("tensorboard", tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard" / "baseline"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("dev_score")] == [(20, 0.5)]
    assert [event.step for event in events.Scalars("train_loss")] == [10, 20]
    [text] = events.Tensors("facts/text_summary")
    assert json.loads(text.tensor_proto.string_val[0].strip(b"`\n")) == read(run.file)[0]


@pytest.mark.slow
def test_wandb_offline(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")  # would ask for a key, and for a server
    record("wandb", tmp_path)
    [log] = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    digest = hashlib.sha256(b"text,label\n").hexdigest()
    texts = [b"dev_score", b"test_f1", b"dropout", b"environment", digest.encode()]
    deadline = time.monotonic() + 60
    # Another process writes the file, and `finish` does not wait for it when W&B is offline.
    while not all(text in log.read_bytes() for text in texts) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [text for text in texts if text not in log.read_bytes()] == []


# ---- a server that is down ----


@pytest.fixture
def closed_port():
    """A port where nobody listens: each connection is refused."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def silent_port():
    """A port that accepts connections and never answers."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen(8)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("port", ["closed_port", "silent_port"])
def test_a_server_that_is_down_costs_a_warning_and_nothing_else(tmp_path, request, monkeypatch, port):
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    uri = request.getfixturevalue(port)
    import mlflow  # noqa: F401 - its import is not part of the time

    plain = train(tiny_model(), evaluate=lambda model: 0.5)
    start = time.monotonic()
    with pytest.warns(UserWarning, match=r"mlflow failed .*; the training goes on, and its rows are in") as caught:
        tracker = Tracker("run", "mlflow", folder=tmp_path, uri=uri)
    assert time.monotonic() - start < 25  # one request of 5 seconds, on a machine that is busy
    assert str(tracker.file) in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        with tracker:
            history = train(tiny_model(), evaluate=lambda model: 0.5, log=tracker)
    assert history == plain
    assert read(tracker.file)[1] == [*history, {"succeeded": True}]


@pytest.mark.slow
def test_trainer_also_goes_on_when_the_server_is_down(tmp_path, closed_port):
    with pytest.warns(UserWarning, match="mlflow failed"):
        tracker = Tracker("run", "mlflow", folder=tmp_path, uri=closed_port)
    trainer = train_by_trainer(tiny_model(), tmp_path / "checkpoints", callbacks=[tracker])
    assert read(tracker.file)[1] == trainer.state.log_history


@pytest.mark.slow
def test_with_the_callback_of_transformers_the_training_does_not_start(tmp_path, closed_port, monkeypatch):
    from mlflow.exceptions import MlflowException

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # without this, it takes minutes until it fails
    monkeypatch.setenv("MLFLOW_TRACKING_URI", closed_port)
    callback = transformers.integrations.MLflowCallback()
    with pytest.raises(MlflowException, match="Connection refused"):
        train_by_trainer(tiny_model(), tmp_path / "checkpoints", callbacks=[callback])


class FakeServer(http.server.BaseHTTPRequestHandler):
    """The four calls of MLflow's REST interface that a run needs. After `good` rows it answers with an error."""

    rows, good = [], 2

    def do_GET(self):
        self.answer({"experiment": {"experiment_id": "1", "name": "nbhelpers"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.endswith("log-batch") and body.get("metrics"):
            self.rows.append({metric["key"]: metric["value"] for metric in body["metrics"]})
        info = {"run_id": "a", "run_uuid": "a", "experiment_id": "1", "status": "RUNNING"}
        self.answer({"run": {"info": info, "data": {}}}, 200 if len(self.rows) <= self.good else 503)

    def answer(self, content, status=200):
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.mark.slow
def test_a_server_that_fails_during_the_run_is_asked_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(FakeServer, "rows", [])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    uri = f"http://127.0.0.1:{server.server_port}"
    try:
        with Tracker("run", "mlflow", folder=tmp_path, uri=uri) as tracker:
            tracker({"step": 1, "dev_score": 0.1})
            tracker({"step": 2, "dev_score": 0.2})
            with pytest.warns(UserWarning, match=r"mlflow failed .*503"):
                tracker({"step": 3, "dev_score": 0.3})
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                tracker({"step": 4, "dev_score": 0.4})
        assert [row["dev_score"] for row in FakeServer.rows] == [0.1, 0.2, 0.3]
        assert [row.get("dev_score") for row in read(tracker.file)[1]] == [0.1, 0.2, 0.3, 0.4, None]
        FakeServer.rows.clear()
        monkeypatch.setattr(FakeServer, "good", 99)  # the server is back
        send(tracker.file, "mlflow", uri=uri)
        assert [row["dev_score"] for row in FakeServer.rows] == [0.1, 0.2, 0.3, 0.4]
    finally:
        server.shutdown()
        server.server_close()


def test_a_full_disk_does_not_stop_the_training_either(tmp_path, monkeypatch):
    tracker = Tracker("run", folder=tmp_path)
    tracker.file.unlink()
    tracker.file.mkdir()  # writing fails from now on
    with pytest.warns(UserWarning, match="jsonl failed .IsADirectoryError.*goes on, but is no longer recorded"):
        history = train(tiny_model(), log=tracker)
    assert history
    tracker.close()


def test_transformers_reports_to_nothing_unless_asked():
    assert transformers.TrainingArguments("folder", use_cpu=True).report_to == []
