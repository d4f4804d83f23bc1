"""Pairs of texts, from a file to the service."""

import json

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from nbhelpers import batching, classifier, encoders, serving
from nbhelpers.classifier.served import load
from nbhelpers.course import deploy

pytestmark = pytest.mark.slow

COLORS = ("red", "blue", "green", "black", "white")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A csv of questions and answers: the answer names the color that was asked for, or another one."""
    rows = []
    for i in range(200):
        asked, told = COLORS[i % 5], COLORS[(i + i // 5) % 5]
        rows.append((f"Is door number {i} {asked}?", f"It is {told}.", "yes" if asked == told else "no"))
    path = tmp_path_factory.mktemp("pairs") / "doors.csv"
    pd.DataFrame(rows, columns=["question", "answer", "label"]).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def folder(source, shallow_encoder):
    options = {"text": ["question", "answer"], "num_epochs": 2, "max_length": 32, "lr": 3e-4}
    return classifier.train(source, source.parent / "model", encoder=shallow_encoder, **options)


def test_both_texts_are_read(folder, source, tmp_path):
    assert json.loads((folder / "config.json").read_text())["settings"]["pairs"] is True
    out = classifier.predict(folder, source, tmp_path / "out.csv")
    found, report = pd.read_csv(out), classifier.evaluate(folder, source)
    assert list(found.columns) == ["question", "answer", "label", "predicted", "probability"]
    assert (found["predicted"] == found["label"]).mean() == pytest.approx(report.scores["accuracy"].iloc[0])
    swapped = pd.read_csv(source).assign(answer="Who knows.")
    swapped.to_csv(tmp_path / "swapped.csv", index=False)
    other = pd.read_csv(classifier.predict(folder, tmp_path / "swapped.csv", tmp_path / "other.csv"))
    assert (other["probability"] != found["probability"]).mean() > 0.9


def test_an_export_gives_the_same_answers(folder, source, tmp_path):
    deploy.export_folder(folder, tmp_path / "onnx", force=True)
    original, exported = load(folder, 1), load(tmp_path / "onnx", 1)
    assert original.reads == exported.reads == "pairs"
    pairs = [["Is it red?", "It is blue."], ["Is it " + "very " * 60 + "red?", "It is red."]]
    first, second = original.encode(pairs), exported.encode(pairs)
    assert first == second
    assert max(len(example["input_ids"]) for example in first) == 32
    tokenizer, _ = encoders.load_trained(folder)
    assert first == batching.tokenize([x for x, _ in pairs], tokenizer, pairs=[y for _, y in pairs], max_length=32)
    ours, theirs = (model.probabilities(model.predict(first), 2) for model in (original, exported))
    assert abs(ours - theirs).max() < 1e-4


def test_the_service_takes_pairs(folder):
    with TestClient(serving.create_app(load(folder, 1))) as client:
        assert client.get("/ready").json()["reads"] == "pairs"
        results = client.post("/classify", json={"texts": [["Is it red?", "It is red."]]}).json()["results"]
        assert {entry["label"] for entry in results[0]["scores"]} == {"yes", "no"}
        for texts in (["Is it red?"], [["Is it red?"]], [["a", "b", "c"]], [["a", ""]]):
            assert client.post("/classify", json={"texts": texts}).status_code == 422
        turns = [{"speaker": "Ann", "text": "Hi"}]
        answer = client.post("/classify/dialogue", json={"turns": turns})
        assert answer.status_code == 422
        assert "send them to /classify" in answer.json()["error"]
