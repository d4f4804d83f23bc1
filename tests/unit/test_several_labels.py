"""Texts that can have several labels, from a file to the service."""

import json

import numpy as np
import pytest
from fastapi.testclient import TestClient
from sklearn.metrics import f1_score

from nbhelpers import classifier, serving
from nbhelpers.classifier import several_labels
from nbhelpers.classifier.served import load
from nbhelpers.course import deploy

TOPICS = {
    "price": ["cheap", "dear", "price", "money"],
    "taste": ["tasty", "bland", "fresh", "salty"],
    "service": ["waiter", "rude", "kind", "slow"],
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A csv of reviews that name any number of three topics, a word each."""
    draw = np.random.default_rng(0)
    lines = ["review,topics"]
    for i in range(240):
        chosen = [topic for topic in TOPICS if draw.random() < 0.45]
        words = [str(draw.choice(TOPICS[topic])) for topic in chosen]
        lines.append(f"We were here on day {i} and it was {' and '.join(words) or 'as usual'}.,{';'.join(chosen)}")
    path = tmp_path_factory.mktemp("several") / "visits.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def folder(source, shallow_encoder):
    options = {"label_separator": ";", "num_epochs": 6, "max_length": 32, "lr": 3e-4}
    return classifier.train(source, source.parent / "model", encoder=shallow_encoder, **options)


@pytest.mark.slow
def test_the_classifier_gives_each_text_its_labels(folder, source, tmp_path):
    content = json.loads((folder / "scores.json").read_text())
    scores = content["scores"]["this classifier"]
    assert scores["micro F1"] > 0.8
    assert {"micro F1", "macro F1", "weighted F1", "all labels right", "mean average precision"} <= set(scores)
    assert "TF-IDF" in content["scores"]
    assert set(json.loads((folder / "config.json").read_text())["settings"]["thresholds"]) == set(TOPICS)
    report = classifier.evaluate(folder, source, text="review", label="topics")
    assert report.num_rows == 240
    out = classifier.predict(folder, source, tmp_path / "out.csv")
    assert out.read_text().splitlines()[0] == "review,topics,predicted,probability"
    with pytest.raises(classifier.ClassifierError, match="r_drop is for one label per text"):
        classifier.train(source, tmp_path / "model", label_separator=";", r_drop=1.0, num_epochs=1)


@pytest.mark.slow
def test_the_service_returns_all_labels_over_their_threshold(folder):
    with TestClient(serving.create_app(load(folder, 1))) as client:
        results = client.post(
            "/classify", json={"texts": ["We were here on day 7 and it was cheap and kind.", "As usual."]}
        ).json()["results"]
    assert set(results[0]["labels"]) == {"price", "service"}
    assert results[1]["labels"] == []
    assert results[0]["label"] in results[0]["labels"]
    assert sum(entry["score"] for entry in results[0]["scores"]) > 1.2


@pytest.mark.slow
def test_an_export_gives_the_same_labels(folder, source, tmp_path):
    table = deploy.export_folder(folder, tmp_path / "onnx")
    assert table.loc["onnx", "same labels"] == 1
    original, exported = (
        classifier.predict(x, source, tmp_path / f"{x.name}.csv").read_text() for x in (folder, tmp_path / "onnx")
    )
    labels = [[line.rsplit(",", 1)[0] for line in text.splitlines()] for text in (original, exported)]
    assert labels[0] == labels[1]
    saved = json.loads((folder / "scores.json").read_text())
    assert saved["split"] == "test"
    report = classifier.evaluate(tmp_path / "onnx", source)
    assert table.loc["torch", "score"] == pytest.approx(report.scores.loc["this classifier", "weighted F1"], abs=0.1)


def test_f1_scores_are_those_of_scikit_learn():
    draw = np.random.default_rng(0)
    gold, predicted = (draw.integers(0, 2, (50, 4)) for _ in range(2))
    found = several_labels.all_scores(gold, predicted)
    for average in ("micro", "macro", "weighted"):
        assert found[f"{average} F1"] == pytest.approx(f1_score(gold, predicted, average=average))
    for name, (low, high) in several_labels.intervals(gold, predicted).items():
        assert low < found[name] < high


def test_thresholds_have_the_best_f1():
    gold = np.array([[1, 0], [1, 0], [0, 1], [0, 0]])
    probabilities = np.array([[0.4, 0.1], [0.3, 0.2], [0.2, 0.9], [0.1, 0.6]])
    thresholds = several_labels.best_thresholds(gold, probabilities)
    assert thresholds == [0.3, 0.9]
    assert several_labels.best_thresholds(np.zeros((2, 1), int), np.array([[0.1], [0.2]])) == [0.5]


def test_a_model_with_thresholds():
    model = serving.Model(("a", "b", "c"), list, list, list, thresholds=[0.5, 0.2, 0.9])
    row = model.probabilities([np.array([[0.0, -1.0, 2.0]])], 1)[0]
    assert row.round(3).tolist() == [0.5, 0.269, 0.881]
    assert model.chosen(row.tolist()) == [0, 1]
    assert serving.Model(("a", "b"), list, list, list).chosen([0.3, 0.7]) == [1]
    with pytest.raises(ValueError, match="2 thresholds for 1 labels"):
        serving.Model(("a",), list, list, list, thresholds=[0.5, 0.5])
