"""The corpora that lessons take: missing splits are held out, and dialogues are required where a lesson needs them."""

import doctest
import shutil

import jupytext
import pytest
import yaml

from nbhelpers import corpora
from nbhelpers.course import build, lessons, runner, splits
from nbhelpers.course.errors import CourseError


def write_table(path, num_rows):
    rows = [f"Text number {i} is {('bad', 'good')[i % 2]}.,{('neg', 'pos')[i % 2]}" for i in range(num_rows)]
    path.write_text("\n".join(["text,label", *rows]))
    return path


@pytest.fixture
def dialogues_without_dev(tmp_path):
    """A folder with the written dialogues in MELD's format, but without dev."""
    shutil.copytree(corpora.DATA / "dialogues", tmp_path / "dialogues")
    for file in (tmp_path / "dialogues").glob("dev*"):
        file.unlink()
    return tmp_path / "dialogues"


def test_a_corpus_with_all_splits_is_given_as_it_is():
    data = splits.load_splits("reviews")
    assert {split: part["text"][:] for split, part in data.items()} == {
        split: part["text"][:] for split, part in corpora.load("reviews").items()
    }


def test_of_a_single_file_dev_and_test_are_held_out(tmp_path):
    data = splits.load_splits(write_table(tmp_path / "mine.csv", 50))
    assert {split: len(part) for split, part in data.items()} == {"train": 30, "dev": 10, "test": 10}
    texts = [text for part in data.values() for text in part["text"]]
    assert len(set(texts)) == 50
    again, other = (splits.load_splits(tmp_path / "mine.csv", seed=seed) for seed in (0, 1))
    assert again["dev"]["text"][:] == data["dev"]["text"][:] != other["dev"]["text"][:]


def test_a_sample_has_rows_from_all_over_a_sorted_file(tmp_path):
    path = tmp_path / "sorted.csv"
    path.write_text("\n".join(["text,label", *(f"Text {i}.,{'ab'[i // 100]}" for i in range(200))]))
    data = splits.load_splits(path, 30)
    assert {split: len(part) for split, part in data.items()} == {"train": 30, "dev": 30, "test": 30}
    assert all(10 <= sum(part["label"]) <= 20 for part in data.values())
    assert doctest.testmod(splits) == (0, 1)


def test_the_columns_can_have_any_names(tmp_path):
    path = tmp_path / "mine.csv"
    rows = [f"{i},Text number {i}.,{i % 3},{('good', 'bad')[i % 2]}" for i in range(50)]
    path.write_text("\n".join(["id,said,stars,mood", *rows]))
    data = splits.load_splits(path, text="said", label="mood", dialogue="")
    assert data["train"].features["label"].names == ["bad", "good"]
    path.write_text("\n".join(["scene,who,said,mood", *(f"{i // 5},Ann,Text {i}.,{'ab'[i % 2]}" for i in range(50))]))
    data = splits.load_splits(path, text="said", label="mood", dialogue="scene", speaker="who", needs_dialogues=True)
    assert set(data["test"].column_names) >= {"text", "label", "speaker", "dialogue_id"}
    assert len(set(data["test"]["dialogue_id"])) == 2


def test_a_dialogue_is_never_divided_between_splits(dialogues_without_dev):
    data = splits.load_splits(dialogues_without_dev, needs_dialogues=True)
    assert data["dev"].features["label"].names == list(corpora.EMOTIONS)
    train, dev = (set(data[split]["dialogue_id"]) for split in ("train", "dev"))
    assert dev
    assert not train & dev
    assert len(data["train"]) + len(data["dev"]) == len(corpora.load(dialogues_without_dev)["train"])
    assert len(data["test"]) == len(corpora.load("dialogues")["test"])


def test_a_corpus_that_does_not_fit_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(CourseError, match=r"^this lesson .* and reviews has no dialogues with speakers"):
        splits.load_splits("reviews", needs_dialogues=True)
    with pytest.raises(corpora.CorpusError, match=r"2 rows are too few for a dev split of 20%"):
        splits.load_splits(write_table(tmp_path / "tiny.csv", 2))
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("\n".join(["text,label", *(f"Text {i}.,a;{'bc'[i % 2]}" for i in range(20))]))
    with pytest.raises(CourseError, match=r"the lessons take texts with one label each, and .*pairs.csv has"):
        splits.load_splits(pairs, label_separator=";")


def run_source(name, corpus, encoder, folder, **columns):
    """The result of a lesson's source at the smoke profile with another corpus and encoder."""
    notebook = folder / f"{name}.ipynb"
    jupytext.write(build.unexecuted(build.SOURCE / f"{name}.py"), notebook)
    (folder / "out").mkdir()
    lesson = lessons.read_lesson(notebook)
    smoke = yaml.safe_load((lessons.NOTEBOOKS / "profiles.yml").read_text(encoding="utf-8"))["smoke"]
    parameters = {**smoke.get(lesson.number, {}), "corpus": str(corpus), "encoder": encoder, **columns}
    return runner.run_lesson(lesson, parameters, folder / "out")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["02_eda", "03_baseline"])  # lesson 5 reads reviews by default
def test_lessons_take_a_single_file_of_texts(tmp_path, name, shallow_encoder):
    assert run_source(name, write_table(tmp_path / "mine.csv", 200), shallow_encoder, tmp_path).failure is None


@pytest.mark.slow
def test_lesson_6_says_why_it_refuses_a_corpus_without_dialogues(tmp_path, shallow_encoder):
    failure = run_source("06_meld_context", "reviews", shallow_encoder, tmp_path).failure
    assert failure.error.splitlines()[-1].startswith(
        "this lesson reads each turn with the turns around it, and reviews has no dialogues with speakers;"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["02_eda", "06_meld_context"])
def test_lessons_take_dialogues_with_columns_and_labels_of_their_own(tmp_path, name, shallow_encoder):
    rows = corpora.load("dialogues")["train"].to_pandas().query("dialogue_id < 40")
    rows["mood"] = rows["emotion"].map(lambda i: "calm" if i == 0 else "upset")
    columns = {"dialogue_id": "scene", "speaker": "who", "text": "said", "mood": "mood"}
    rows[[*columns]].rename(columns=columns).to_csv(tmp_path / "talks.csv", index=False)
    named = {"text": "said", "label": "mood", "dialogue": "scene", "speaker": "who"}
    assert run_source(name, tmp_path / "talks.csv", shallow_encoder, tmp_path, **named).failure is None
