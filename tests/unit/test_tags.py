"""Tags of words, from a file to the service."""

import json

import pandas as pd
import pytest
from fastapi.testclient import TestClient

from nbhelpers import classifier, corpora, serving, tagging
from nbhelpers.classifier import tags
from nbhelpers.classifier.served import load
from nbhelpers.course import deploy

TEXT = "👩‍🚀 Zoë Lobo left São Paulo on Monday."
PLACES = {"Zoë Lobo": "PER", "São Paulo": "LOC", "Monday": "DATE"}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A file with sentences in IOB1, in which a few people and places come again and again."""
    people, places = ["Zoë Lobo", "Ann Lee", "Bo Kim"], ["São Paulo", "Rome", "New York"]
    days = ["Monday", "May", "2031"]
    sentences = []
    for i in range(180):
        person, place, day = people[i % 3].split(), places[i // 3 % 3].split(), days[i // 9 % 3]
        opening = ["👩‍🚀"] if i % 2 else []
        words = [*opening, *person, "left" if i % 4 < 2 else "saw", *place, "on", day, "."]
        first, second = len(opening), len(opening) + len(person) + 1
        found = [
            tagging.Entity(first, first + len(person), "PER"),
            tagging.Entity(second, second + len(place), "LOC"),
            tagging.Entity(len(words) - 2, len(words) - 1, "DATE"),
        ]
        sentences.append(tagging.Sentence(words, tagging.from_iob2(tagging.tags_of(len(words), found), "iob1")))
    path = tmp_path_factory.mktemp("tags") / "talks.conll"
    tagging.write_conll(sentences, path)
    return path


@pytest.fixture(scope="module")
def folder(source, shallow_encoder):
    options = {"num_epochs": 12, "lr": 3e-4, "head_lr": 1e-2}
    return classifier.train(source, source.parent / "tagger", encoder=shallow_encoder, **options)


@pytest.fixture(scope="module")
def model(folder):
    return load(folder, 1)


@pytest.mark.slow
def test_the_folder_tells_how_well_entities_are_found(folder):
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["scores"]["this classifier"]["entity F1"] > 0.9
    assert {"entity F1", "precision", "recall", "token accuracy"} <= set(scores["scores"]["names seen in train"])
    assert set(scores["per class"]) == {"PER", "LOC", "DATE"}
    card = (folder / "README.md").read_text()
    assert "pipeline_tag: token-classification" in card
    assert "An entity is right only if its first word" in card
    assert not (folder / "confusion.png").exists()


@pytest.mark.slow
def test_a_text_gets_entities_at_exact_places(model):
    examples = model.encode([TEXT])
    probabilities = model.probabilities(model.predict(examples), serving.num_rows(examples))
    (mentions,) = model.mentions([TEXT], probabilities)
    assert {TEXT[m.start : m.stop]: m.label for m in mentions} == PLACES
    assert all(0.3 < m.score <= 1 for m in mentions)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_predict_adds_the_entities(folder, tmp_path, suffix):
    pd.DataFrame({"id": [1, 2, 3], "text": [TEXT, None, "..."]}).to_csv(tmp_path / "texts.csv", index=False)
    out = classifier.predict(folder, tmp_path / "texts.csv", tmp_path / f"out{suffix}")
    if suffix == ".jsonl":
        cells = [json.loads(line)["entities"] for line in out.read_text().splitlines()]
    else:
        frame = pd.read_csv(out) if suffix == ".csv" else pd.read_parquet(out)
        assert list(frame) == ["id", "text", "entities"]
        cells = [None if pd.isna(cell) else json.loads(cell) for cell in frame["entities"]]
    assert {entity["text"]: entity["label"] for entity in cells[0]} == PLACES
    assert [cells[0][0][name] for name in ("start", "end")] == [4, 12]
    assert cells[1] is None
    assert cells[2] == []


@pytest.mark.slow
def test_evaluate_reads_any_scheme_and_says_what_was_trained_on(folder, source):
    report = classifier.evaluate(folder, source)
    assert report.num_rows == 180
    assert report.scores.loc["this classifier", "entity F1"] > 0.9
    assert "so the scores are too good" in report.verdict


@pytest.mark.slow
def test_the_service_returns_entities(model):
    with TestClient(serving.create_app(model)) as client:
        assert client.get("/ready").json()["reads"] == "tags"
        answer = client.post("/entities", json={"texts": [TEXT, "."]}).json()
        found = answer["results"][0]["entities"]
        assert {entity["text"]: entity["label"] for entity in found} == PLACES
        assert answer["results"][1]["entities"] == []
        assert client.post("/classify", json={"texts": [TEXT]}).status_code == 404
        assert client.post("/entities", json={"texts": [" "]}).status_code == 422
        assert "/entities" in client.get("/docs").text


@pytest.mark.slow
def test_a_long_text_is_read_as_a_whole(model):
    text = " ".join([TEXT] * 120)
    examples = model.encode([text])
    assert len(examples) > 1
    probabilities = model.probabilities(model.predict(examples), serving.num_rows(examples))
    (mentions,) = model.mentions([text], probabilities)
    assert {m.label for m in mentions if m.stop > len(text) - 15} == {"LOC", "DATE"}
    assert sum(m.label == "LOC" for m in mentions) > 100


@pytest.mark.slow
def test_an_export_finds_the_same_entities(folder, source, model):
    table = deploy.export_folder(folder, source.parent / "onnx")
    assert table.loc["onnx", "same labels"] == 1.0
    exported = load(source.parent / "onnx", 1)
    assert exported.reads == "tags"
    results = []
    for each in (model, exported):
        examples = each.encode([TEXT])
        probabilities = each.probabilities(each.predict(examples), serving.num_rows(examples))
        results.append([m[:3] for m in each.mentions([TEXT], probabilities)[0]])
    assert results[0] == results[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "review"}, "text is not for tagged words"),
        ({"search": 3}, "search is for classes of texts"),
        ({"augment": "typos"}, "augment is for texts that stand alone"),
        ({"context": "none"}, "context='none' is for dialogues"),
        ({"task": "spans"}, "task 'spans' is not one of classes, tags"),
    ],
)
def test_options_that_do_not_fit_are_refused_before_anything_is_written(source, tmp_path, options, message):
    with pytest.raises(classifier.ClassifierError, match=message):
        classifier.train(source, tmp_path / "model", log=lambda _: None, **options)
    assert not list(tmp_path.iterdir())


def test_a_tag_that_the_model_does_not_know_is_told(source, tmp_path):
    other = tmp_path / "other.conll"
    other.write_text("Acme B-ORG\n")
    with pytest.raises(classifier.ClassifierError, match="train has the tag B-ORG, which the model does not know"):
        tags.load_tags(other, {}, ["O", "B-PER", "I-PER"])


def test_the_list_of_names_takes_the_longest_one_with_its_most_frequent_type():
    train = tags.load_tags(io_file("New B-LOC\nYork I-LOC\n\nYork B-PER\n\nYork B-PER\n\nYork B-LOC\n"), {})
    rows = train.splits["train"]
    (found,) = tags.find_names(rows, rows._replace(texts=[["In", "New", "York", "with", "York"]]), train.names)
    assert found == ["O", "B-LOC", "I-LOC", "O", "B-PER"]


def io_file(text):
    """A path of a temporary file with this text."""
    import tempfile
    from pathlib import Path

    path = Path(tempfile.mkdtemp()) / "file.conll"
    path.write_text(text)
    return path


def test_the_corpus_entities_is_known_by_its_name():
    task = tags.load_tags("entities", {})
    assert {split: len(rows.texts) for split, rows in task.splits.items()} == {"train": 1050, "dev": 150, "test": 300}
    assert task.names[0] == "O"
    assert len(task.names) == 11
    assert tags.is_tagged("entities", None)
    assert not tags.is_tagged("reviews", None)
    assert (corpora.DATA / "entities" / "train.conll").is_file()
