"""Ray Serve on this machine, with two replicas of a small exported model.

It is no part of the suite, since Ray is large: pip install -e ".[deploy,scale,test,embedded]"; pytest tests/scale
"""

import asyncio
import socket
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest
import ray
import torch
from ray import serve
from ray.util import list_named_actors

from nbhelpers import encoders, export

LABELS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
TEXTS = [f"Train {i} is late{'!' * (i % 5)}" for i in range(40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The embedded encoder's first two layers, which are exported in a third of the time, with a fresh head."""
    torch.manual_seed(0)
    tokenizer, classifier = encoders.load("embedded", LABELS)
    classifier.base_model.encoder.layer = classifier.base_model.encoder.layer[:2]
    classifier.config.num_hidden_layers = 2
    return export.export(classifier, tokenizer, tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="module")
def address(folder):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NBHELPERS_MODEL", str(folder))
        patch.syspath_prepend(Path(__file__).parents[2])  # Ray's workers get the path of this process
        from deploy.ray_serve import app

        ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 2**20)
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        serve.run(app)
        yield f"http://127.0.0.1:{port}"
        serve.shutdown()
        ray.shutdown()


def wanted(folder):
    """The probabilities of each text, computed without the service."""
    tokenizer, model = export.load_exported(folder, threads=1)
    return [model(tokenizer(text, return_tensors="pt")).softmax(-1).numpy()[0] for text in TEXTS]


async def ask_all(address):
    """The answers to all texts, asked at once on connections of their own."""
    async with httpx.AsyncClient(
        base_url=address, timeout=60, limits=httpx.Limits(max_keepalive_connections=0)
    ) as client:
        return await asyncio.gather(*(client.post("/classify", json={"texts": [text]}) for text in TEXTS))


def probabilities(answer):
    found = {entry["label"]: entry["score"] for entry in answer.json()["results"][0]["scores"]}
    return np.array([found[label] for label in LABELS])


def replicas():
    """The name of each replica's actor (a process), by the replica's id."""
    actors = list_named_actors(all_namespaces=True)
    return {actor["name"].rpartition("#")[2]: actor for actor in actors if "#nbhelpers#" in actor["name"]}


def test_both_replicas_answer_and_each_answer_is_right(address, folder):
    answers = asyncio.run(ask_all(address))
    for answer, right in zip(answers, wanted(folder), strict=True):
        assert answer.status_code == 200
        assert np.abs(probabilities(answer) - right).max() < 1e-5
    shares = Counter(answer.headers["x-replica"] for answer in answers)
    assert set(shares) == set(replicas())
    assert len(shares) == 2


def test_the_contract_is_that_of_the_service(address):
    ready = httpx.get(f"{address}/ready").json()
    assert (ready["model"], ready["labels"]) == ("small", list(LABELS))
    turns = [{"speaker": "Mara", "text": "No ferry."}, {"speaker": "Jonas", "text": "What? No!"}]
    assert len(httpx.post(f"{address}/classify/dialogue", json={"turns": turns}).json()["results"]) == 2
    for body, status in (({"texts": []}, 422), ({"texts": ["a"], "more": 1}, 422), ({"texts": ["a" * 600_000]}, 413)):
        answer = httpx.post(f"{address}/classify", json=body)
        assert (answer.status_code, set(answer.json())) == (status, {"error", "request_id"})
    assert "script-src 'sha256-" in httpx.get(address).headers["content-security-policy"]


def test_a_killed_replica_is_replaced_and_the_other_goes_on(address, folder):
    """What the killed one was working on fails; nothing does that is asked once Ray has noticed."""
    before = replicas()
    dead, actor = before.popitem()
    ray.kill(ray.get_actor(**actor))
    began, failed, asked, by_the_other = time.monotonic(), 0, 0, 0
    while len(now := replicas()) < 2 or dead in now:
        answers = asyncio.run(ask_all(address))
        asked += len(answers)
        failed += sum(answer.status_code != 200 for answer in answers)
        by_the_other += sum(answer.headers.get("x-replica") in before for answer in answers)
        assert time.monotonic() - began < 120
    shares: Counter[str] = Counter()
    while set(shares) != set(now):  # it is listed before its model is loaded
        answers = asyncio.run(ask_all(address))
        assert {answer.status_code for answer in answers} == {200}
        shares.update(answer.headers["x-replica"] for answer in answers)
        assert time.monotonic() - began < 120
    print(f"{time.monotonic() - began:.1f} s, {failed} of {asked} failed, {by_the_other} by the other, {shares}")
    assert set(before) < set(now)
    assert failed <= len(TEXTS)
