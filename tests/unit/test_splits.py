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
    data, label = splits.load_splits("reviews")
    assert label == "label"
    assert {split: len(part) for split, part in data.items()} == {
        split: len(part) for split, part in corpora.load("reviews").items()
    }


def test_of_a_single_file_dev_and_test_are_held_out(tmp_path):
    data, label = splits.load_splits(write_table(tmp_path / "mine.csv", 50))
    assert label == "label"
    assert {split: len(part) for split, part in data.items()} == {"train": 32, "dev": 8, "test": 10}
    texts = [text for part in data.values() for text in part["text"]]
    assert len(set(texts)) == 50
    again, other = (splits.load_splits(tmp_path / "mine.csv", seed=seed)[0] for seed in (0, 1))
    assert again["dev"]["text"][:] == data["dev"]["text"][:] != other["dev"]["text"][:]


def test_a_dialogue_is_never_divided_between_splits(dialogues_without_dev):
    data, label = splits.load_splits(dialogues_without_dev, needs_dialogues=True)
    assert label == "emotion"
    train, dev = (set(data[split]["dialogue_id"]) for split in ("train", "dev"))
    assert dev
    assert not train & dev
    assert len(data["train"]) + len(data["dev"]) == len(corpora.load(dialogues_without_dev)["train"])
    assert len(data["test"]) == len(corpora.load("dialogues")["test"])


def test_a_corpus_that_does_not_fit_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(CourseError, match=r"^this lesson is about dialogues, and reviews has none; set corpus to"):
        splits.load_splits("reviews", needs_dialogues=True)
    with pytest.raises(CourseError, match="has no test split and too few rows to hold some out; add a test file"):
        splits.load_splits(write_table(tmp_path / "tiny.csv", 2))


def test_the_example_in_the_docstring_is_right():
    outcome = doctest.testmod(splits)
    assert outcome.attempted
    assert not outcome.failed


def run_source(name, corpus, folder):
    """The result of a lesson's source at the smoke profile with another corpus."""
    notebook = folder / f"{name}.ipynb"
    jupytext.write(build.unexecuted(build.SOURCE / f"{name}.py"), notebook)
    (folder / "out").mkdir()
    lesson = lessons.read_lesson(notebook)
    smoke = yaml.safe_load((lessons.NOTEBOOKS / "profiles.yml").read_text(encoding="utf-8"))["smoke"]
    parameters = {**smoke.get(lesson.number, {}), "corpus": str(corpus)}
    return runner.run_lesson(lesson, parameters, folder / "out")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["03_baseline", "04_lora"])  # lesson 5 runs on texts without dialogues by default
def test_lessons_without_dialogues_take_a_single_file(tmp_path, name):
    assert run_source(name, write_table(tmp_path / "mine.csv", 200), tmp_path).failure is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["02_eda", "06_meld_context"])
def test_lessons_about_dialogues_refuse_a_corpus_without_them(tmp_path, name):
    failure = run_source(name, "reviews", tmp_path).failure
    assert failure.error.splitlines()[-1].startswith(
        "CourseError: this lesson is about dialogues, and reviews has none;"
    )


@pytest.mark.slow
def test_lesson_2_takes_dialogues_without_dev(tmp_path, dialogues_without_dev):
    assert run_source("02_eda", dialogues_without_dev, tmp_path).failure is None
