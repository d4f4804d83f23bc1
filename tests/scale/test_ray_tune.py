"""Ray Tune on two machines, which are both this one. How to run it: see "Run the tests" in CONTRIBUTING.md."""

import itertools
import os
import signal
import time

import pandas as pd
import pytest

from nbhelpers.search import SearchError

SPACE = {"lr": (1e-4, 1e-1, "log"), "batch_size": [16, 32], "layers": (1, 6), "dropout": (0.0, 0.5)}


@pytest.fixture(autouse=True)
def on_two_machines(cluster):
    """Each test runs on the cluster."""


def test_two_workers_share_the_trials(tmp_path):
    from deploy.ray_tune import search

    def train_and_score(config, report):
        (tmp_path / f"{os.getpid()} {time.time()}").touch()
        for epoch in (1, 2):
            time.sleep(0.5)
            report(epoch, 1 - abs(config["lr"] - 0.01) - 0.1 / epoch)
        (tmp_path / f"{os.getpid()} {time.time()}").touch()
        return 1 - abs(config["lr"] - 0.01)

    trials = search(train_and_score, SPACE, 6, seed=3, folder=tmp_path / "ray")
    assert len(trials) == 6
    assert trials["epochs"].tolist() == [2] * 6
    assert trials["error"].isna().all()
    for config, score in zip(trials["config"], trials["score"], strict=True):
        assert score == 1 - abs(config["lr"] - 0.01)
        assert 1e-4 <= config["lr"] <= 1e-1
        assert config["batch_size"] in (16, 32)
        assert config["layers"] in range(1, 7)
        assert config["seed"] == 3
    assert trials["config"].map(lambda config: config["lr"]).nunique() == 6
    seen = {}
    for path in tmp_path.iterdir():
        if path.is_file():
            worker, when = path.name.split()
            seen.setdefault(worker, []).append(float(when))
    spans = sorted((min(times), max(times)) for times in seen.values())
    assert any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans)), "two at a time"


def test_a_trial_that_fails_is_recorded_and_the_others_go_on():
    from deploy.ray_tune import search

    def train_and_score(config, report):
        if config["batch_size"] == 32:
            raise ValueError("too large")
        return 0.5

    trials = search(train_and_score, {"batch_size": [16, 32]}, 8)
    failed = trials["config"].map(lambda config: config["batch_size"]) == 32
    assert 0 < failed.sum() < 8
    assert trials["score"].isna().equals(failed)
    assert trials["error"][failed].str.contains("too large").all()


def test_a_killed_worker_changes_no_result(tmp_path):
    """The process of the fourth trial that begins is killed in its second epoch."""
    from deploy.ray_tune import search

    def train_and_score(config, report):
        score = 1 - abs(config["lr"] - 0.01)
        for epoch in (1, 2):
            report(epoch, score - 0.1 / epoch)
        (tmp_path / str(config["lr"])).touch()
        if len(list(tmp_path.iterdir())) == 4 and not (tmp_path / "killed").exists():
            (tmp_path / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return score

    trials = search(train_and_score, SPACE, 6, seed=3)
    assert (tmp_path / "killed").exists()
    undisturbed = search(train_and_score, SPACE, 6, seed=3)
    assert len(trials) == 6
    assert trials["error"].isna().all()
    by_lr = [table.sort_values("score", ignore_index=True) for table in (trials, undisturbed)]
    pd.testing.assert_frame_equal(*by_lr)


def test_hopeless_trials_are_stopped(tmp_path):
    """Poor trials wait for a better one, because the first to arrive always goes on."""
    from deploy.ray_tune import search

    def train_and_score(config, report):
        for epoch in range(1, 17):
            while epoch == 2 and config["quality"] < 0.5 and not list(tmp_path.iterdir()):
                time.sleep(0.02)
            report(epoch, config["quality"])
            if epoch == 3 and config["quality"] > 0.6:
                (tmp_path / str(config["quality"])).touch()
        return config["quality"]

    trials = search(train_and_score, {"quality": (0.0, 1.0)}, 8, min_epochs=2)
    assert trials["score"].max() > 0.6
    poor = trials["score"] < 0.5
    assert set(trials["epochs"][poor]) == {2}
    assert trials["epochs"][trials["score"].idxmax()] == 16


def test_a_space_without_a_point_and_a_search_without_a_result():
    from deploy.ray_tune import search

    with pytest.raises(SearchError, match="has no valid value"):
        search(lambda config, report: 1.0, {"lr": (1.0, 0.1)}, 2)

    def fail(config, report):
        raise ValueError("no data here")

    with pytest.raises(SearchError, match="all 2 trials failed"):
        search(fail, {"lr": (0.1, 1.0)}, 2)
