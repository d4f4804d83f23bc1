"""Ray Train on two machines, which are both this one. How to run it: see "Run the tests" in CONTRIBUTING.md."""

import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import psutil
import pytest
import ray
import safetensors.torch
import torch
import transformers

from nbhelpers import classifier, encoders

OPTIONS = {"num_epochs": 3, "batch_size": 8, "lr": 1e-3, "head_lr": 1e-2, "dev_share": 0.2, "test_share": 0.2}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A tiny encoder without dropout, so that one process and several can be compared."""
    path = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.BertConfig(**sizes, vocab_size=31000, hidden_dropout_prob=0.0, classifier_dropout=0.0)
    transformers.BertModel(config).save_pretrained(path)
    transformers.AutoTokenizer.from_pretrained(encoders.embedded_folder()).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    path = tmp_path_factory.mktemp("corpus") / "reviews.csv"
    words = {"good": "I liked it", "bad": "I hated it", "mixed": "It was so so"}
    rows = [
        {"text": f"{text}, number {i}{' really' * (i % 5)}", "label": x} for i in range(25) for x, text in words.items()
    ]
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def weights_of_one(cluster, corpus, encoder, tmp_path_factory):
    """The weights after training in one process, which is one of the cluster's, so that it computes in fp32 as well."""
    path = tmp_path_factory.mktemp("one") / "model"
    train = ray.remote(lambda: classifier.train(corpus, path, encoder=str(encoder), **OPTIONS))
    return weights(ray.get(train.remote()))


def weights(folder):
    return safetensors.torch.load_file(folder / "model.safetensors")


def require_equal(found, wanted):
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.allclose(found[name], tensor, atol=1e-5), (name, (found[name] - tensor).abs().max())


def kill_once(folder, victim, update):
    """A function for `progress`, called in the first process: it notes each update, and kills a process at one."""

    def progress(step):
        with (folder / "updates").open("a") as file:
            file.write(f"{step.update}\n")
        if step.update == update and not (folder / "machines").exists():
            both = {x.pid: x for x in psutil.process_iter() if x.name().startswith("ray::RayTrain")}
            (folder / "machines").write_text(str(len({x.ppid() for x in both.values()})))  # each has a raylet
            first = both.pop(os.getpid())
            [other] = both.values()
            (first if victim == "first" else other).kill()

    return progress


@pytest.mark.parametrize("victim", ["first", "other"])
def test_after_a_killed_process_the_weights_are_those_of_one(
    victim, cluster, corpus, encoder, weights_of_one, tmp_path
):
    from deploy.ray_train import train

    updates = math.ceil(45 / OPTIONS["batch_size"])  # of an epoch
    kill = kill_once(tmp_path, victim, 2 * updates + 2)
    folder = train(corpus, tmp_path / "two", processes=2, encoder=str(encoder), progress=kill, **OPTIONS)
    require_equal(weights(folder), weights_of_one)
    assert (tmp_path / "machines").read_text() == "2"
    done = list(map(int, (tmp_path / "updates").read_text().split()))
    assert done.count(1) == 1, "it went on from the checkpoint after the second epoch"
    assert done[-1] == 3 * updates
    assert {path.name for path in tmp_path.iterdir()} == {"two", "updates", "machines"}


def test_wrong_calls_end_with_a_sentence(cluster, corpus, encoder, tmp_path):
    from deploy.ray_train import train

    options = {"output": tmp_path / "two", "encoder": str(encoder), "processes": 2}
    with pytest.raises(classifier.ClassifierError, match="processes=5 with 1 cores each: there are 4"):
        train(corpus, **{**options, "processes": 5})
    with pytest.raises(classifier.ClassifierError, match="so nothing can be resumed"):
        train(corpus, resume=True, **options)
    with pytest.raises(classifier.ClassifierError, match="adversarial trains in one process"):
        train(corpus, adversarial="fgm", **options)
    assert not list(tmp_path.iterdir())


def test_the_command_has_the_options_of_train(cluster, corpus, encoder, weights_of_one, tmp_path):
    """It is run in another folder, with relative paths."""
    shutil.copy(corpus, tmp_path)
    words = ["reviews.csv", "--processes=2", "-o", "model", "--dev-share=0.2", "--test-share=0.2", "--epochs=3"]
    words += ["--batch-size=8", "--lr=1e-3", "--head-lr=1e-2", f"--encoder={encoder}"]
    env = {**os.environ, "RAY_ADDRESS": cluster.address, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-m", "deploy.ray_train", *words]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    require_equal(weights(tmp_path / "model"), weights_of_one)
    assert "nbhelpers serve" in done.stdout
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "exists already; remove it, or choose another folder as output" in done.stderr
