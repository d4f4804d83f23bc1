"""A classifier from a corpus that stays on disk: the same as from one in memory."""

import itertools
import json
import os
import subprocess
import sys

import datasets
import pandas as pd
import pytest
from datasets import Column
from safetensors.torch import load_file

from nbhelpers import classifier, corpora
from nbhelpers.classifier import data, reading, report, rows
from nbhelpers.corpora import in_parts, large

pytestmark = pytest.mark.slow

OPTIONS = {"num_epochs": 1, "max_length": 32, "lr": 2e-4, "text": "Review", "label": "stars"}


@pytest.fixture
def files(tmp_path):
    """The written reviews with columns that nobody named, in a file for each split."""
    (tmp_path / "reviews").mkdir()
    for split, part in corpora.load("reviews").items():
        names = part.features["label"].names
        table = [{"id": i, "Review": row["text"], "stars": names[row["label"]]} for i, row in enumerate(part)]
        pd.DataFrame(table[:120]).to_csv(tmp_path / "reviews" / f"{split}.csv", index=False)
    return tmp_path / "reviews"


@pytest.fixture
def on_disk(monkeypatch):
    """Called: from now on all files are large, and read in small parts."""

    def switch():
        monkeypatch.setattr(large, "LARGE", 1)
        monkeypatch.setattr(in_parts, "CHUNK", 50)
        monkeypatch.setattr(rows, "CHUNK", 50)

    return switch


def test_a_classifier_is_the_same_from_memory_and_from_disk(files, on_disk, monkeypatch, shallow_encoder, one_thread):
    small = classifier.train(files, files.parent / "small", **OPTIONS)
    expected = classifier.evaluate(small, files)
    on_disk()
    kept = []
    make = reading.make_task
    monkeypatch.setattr(reading, "make_task", lambda *args, **kw: kept.append(make(*args, **kw)) or kept[-1])
    model = classifier.train(files, files.parent / "large", **OPTIONS)
    assert all(isinstance(part.texts, Column) for part in kept[0].splits.values())
    weights = [load_file(folder / "model.safetensors") for folder in (small, model)]
    assert all(weights[0][name].equal(weights[1][name]) for name in weights[0])
    for name in ("scores.json", "mistakes.csv", "train_texts.npy"):
        assert (small / name).read_bytes() == (model / name).read_bytes()
    config = json.loads((model / "config.json").read_text())
    assert config == json.loads((small / "config.json").read_text())
    assert sorted(path.name for path in files.parent.iterdir()) == ["large", "reviews", "small"]
    found = classifier.evaluate(model, files)
    pd.testing.assert_frame_equal(found.scores, expected.scores)
    pd.testing.assert_frame_equal(found.mistakes, expected.mistakes)


def test_missing_splits_are_made_and_what_was_guessed_is_remembered(files, on_disk, shallow_encoder):
    on_disk()
    said = []
    options = {name: x for name, x in OPTIONS.items() if name not in ("text", "label")}
    folder = classifier.train(files / "train.csv", files.parent / "model", log=said.append, **options)
    assert any("texts in train" in line and "in dev" in line and "in test" in line for line in said)
    remembered = json.loads((folder / "config.json").read_text())["settings"]["corpus_options"]
    assert {"text": "Review", "label": "stars"}.items() <= remembered.items()
    assert json.loads((folder / "scores.json").read_text())["split"] == "test"
    assert classifier.evaluate(folder, files / "train.csv").num_rows == 120


def test_nothing_is_left_when_a_large_file_is_refused(files, on_disk):
    on_disk()
    path = files / "train.csv"
    path.write_text(path.read_text() + "1,,negative\n")
    with pytest.raises(corpora.CorpusError, match=r"train\.csv, row 122: Review is empty"):
        classifier.train(files, files.parent / "model", **OPTIONS)
    assert [path.name for path in files.parent.iterdir()] == ["reviews"]


def test_lists_of_labels_are_read_as_a_whole(tmp_path, on_disk):
    lines = [json.dumps({"text": f"text number {i}", "label": ["a", "b"][: 1 + i % 2]}) for i in range(40)]
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    on_disk()
    loaded = reading.load_corpus(tmp_path / "r.jsonl", {"label": "label"}, tmp_path / "place")
    assert not loaded["train"].cache_files
    assert data.make_task(loaded).several


def test_tf_idf_learns_from_some_rows_of_a_large_split(monkeypatch):
    monkeypatch.setattr(report, "BASELINE_ROWS", 10)
    texts = [f"text {i}" for i in range(35)]
    train = rows.Rows(texts, list(range(35)), [], [], [])
    learned = []
    monkeypatch.setattr(report.baselines, "tf_idf", lambda texts, labels: learned.append((texts, labels)))
    report.learn_tf_idf(train, train.labels)
    report.learn_tf_idf(train._replace(texts=texts[:9], labels=train.labels[:9]), train.labels[:9])
    (some, labels), (few, _) = learned
    assert len(some) == 10
    assert some == [f"text {i}" for i in labels]
    assert len({int(later) - int(i) for i, later in itertools.pairwise(labels)}) > 1  # no regular pattern
    assert few == texts[:9]


def test_notes_about_a_large_corpus_need_no_texts(files, on_disk, tmp_path, monkeypatch):
    on_disk()
    loaded = corpora.load_large(files, tmp_path / "made", text="Review", label="stars")
    small = corpora.load_table(files, text="Review", label="stars")
    monkeypatch.setattr(corpora, "describe", None)  # it reads all texts
    assert list(data.notes_of(loaded)) == list(data.notes_of(small))


def test_data_that_the_user_has_on_disk_stays_as_it_is(files, tmp_path, shallow_encoder):
    corpora.load_table(files, text="Review", label="stars").save_to_disk(tmp_path / "saved")
    before = sorted((tmp_path / "saved").rglob("*"))
    options = {name: x for name, x in OPTIONS.items() if name not in ("text", "label")}
    classifier.train(datasets.load_from_disk(tmp_path / "saved"), tmp_path / "model", **options)
    assert sorted((tmp_path / "saved").rglob("*")) == before


def test_a_place_that_a_killed_run_left_is_cleared(tmp_path):
    """That of a process that still runs is left alone."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getppid()):
        (tmp_path / f".model.data-{pid}").mkdir()
        (tmp_path / f".model.data-{pid}" / "old.arrow").write_text("")
    with reading.place_for_data(tmp_path / "model") as place:
        assert [path.name for path in tmp_path.iterdir()] == [f".model.data-{os.getppid()}"]
        place.mkdir()
    assert not place.exists()
    other = tmp_path / f".model.data-5.data-{dead.pid}"  # of a run that is called model.data-5
    other.mkdir()
    with reading.place_for_data(tmp_path / "model"):
        assert other.is_dir()
