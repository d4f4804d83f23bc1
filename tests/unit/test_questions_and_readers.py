"""What lesson 15 reads and simulates: questions have their pages, and readers read what is there, once, and in time."""

import doctest

import numpy as np
import pandas as pd
import pytest

from nbhelpers.course import questions, readers
from nbhelpers.course.errors import CourseError


@pytest.fixture
def folder(tmp_path):
    """A small folder of questions: two pages, and one question without a page in each split."""
    (tmp_path / "answers.csv").write_text("id,title,answer\na,Pool,Opens at 7.\nb,Dogs,On a lead.\n")
    for split in questions.SPLITS:
        (tmp_path / f"{split}.csv").write_text("text,answer\nwhen can I swim,a\nmay my dog run,b\nwho won,\n")
    return tmp_path


@pytest.fixture(scope="module")
def items():
    return questions.load_items("topics", 300)


@pytest.fixture(scope="module")
def reads(items):
    return readers.simulate_reads(items, 40, seed=1)


# --- questions -----------------------------------------------------------------------------------------------------


def test_each_question_has_the_row_of_its_page(folder):
    answers, splits = questions.load_questions(str(folder))
    assert answers["document"].tolist() == ["Pool. Opens at 7.", "Dogs. On a lead."]
    assert splits["dev"]["number"].tolist() == [0, 1, -1]
    assert splits["dev"]["kind"].tolist() == ["answered", "answered", "unanswerable"]


def test_the_questions_of_the_course():
    answers, splits = questions.load_questions("faq")
    assert len(answers) == 180
    assert {split: len(rows) for split, rows in splits.items()} == {"train": 540, "dev": 240, "test": 240}
    for rows in splits.values():
        assert ((rows["kind"] == "answered") == (rows["number"] >= 0)).all()
    assert splits["train"]["number"].value_counts().eq(3).all()


def test_fewer_questions_are_spread_over_the_file():
    _, all_questions = questions.load_questions("faq")
    _, some = questions.load_questions("faq", 40)
    assert all(len(rows) == 40 for rows in some.values())
    assert some["test"]["text"].iloc[-1] in all_questions["test"]["text"].tolist()[-12:]
    assert set(some["dev"]["kind"]) == {"answered", "near", "far"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("answers.csv", "id,title\na,Pool\n", "answers.csv has no answer"),
        ("answers.csv", "id,answer\na,x\na,y\n", "the id a twice"),
        ("train.csv", "text,answer\nhow,zzz\n", "train.csv has questions for zzz"),
        ("test.csv", "text,answer\n", "test.csv has no rows"),
    ],
)
def test_faults_in_the_files_are_said_in_a_sentence(folder, name, content, words):
    (folder / name).write_text(content)
    with pytest.raises(CourseError, match=words):
        questions.load_questions(str(folder))


def test_a_missing_folder_is_said_in_a_sentence(tmp_path):
    with pytest.raises(CourseError, match="does not exist"):
        questions.load_questions(str(tmp_path / "none"))
    with pytest.raises(CourseError, match="does not exist"):
        questions.load_items(str(tmp_path / "none"))


def test_items_are_in_the_order_of_time(items):
    assert items["date"].is_monotonic_increasing
    assert {"text", "label", "date"} <= set(items)


# --- readers -------------------------------------------------------------------------------------------------------


def test_nobody_reads_twice_or_before_an_item_is_there(items, reads):
    assert not reads.duplicated(["reader", "item"]).any()
    assert (reads["date"].to_numpy() >= pd.to_datetime(items["date"]).to_numpy()[reads["item"]]).all()
    assert reads["date"].is_monotonic_increasing
    assert reads["reader"].nunique() == 40


def test_the_seed_decides(items, reads):
    assert readers.simulate_reads(items, 40, seed=1).equals(reads)
    assert not readers.simulate_reads(items, 40, seed=2).equals(reads)


def test_readers_of_a_circle_read_the_same(items):
    def same(by_circle):
        made = readers.simulate_reads(items, 60, by_story=0, by_circle=by_circle, seed=0)
        read = np.zeros((60, len(items)))
        read[made["reader"], made["item"]] = 1
        both = read @ read.T / np.sqrt(np.outer(read.sum(1), read.sum(1)))
        circle = np.arange(60) // readers.CIRCLE_SIZE
        inside = (circle[:, None] == circle) & ~np.eye(60, dtype=bool)
        return both[inside].mean() / both[circle[:, None] != circle].mean()

    assert same(0.8) > 2 * same(0.0)


def test_readers_follow_stories(items):
    shared = readers.story_matrix(items["text"].tolist()) > 0

    def followed(by_story):
        made = readers.simulate_reads(items, 40, by_story=by_story, by_circle=0, seed=0)
        pairs = [shared[a, b] for _, rows in made.groupby("reader")["item"] for a in rows for b in rows if a != b]
        return np.mean(pairs)

    assert followed(0.8) > 1.5 * followed(0.0)


@pytest.mark.parametrize(
    ("rows", "shares", "words"),
    [
        ({"text": ["a"], "date": ["2041-01-01"]}, {}, "no label"),
        ({"text": [], "label": [], "date": []}, {}, "no rows"),
        ({"text": ["a"], "label": ["b"], "date": ["2041-01-01"]}, {"by_story": 0.8}, "together at most 1"),
    ],
)
def test_a_simulation_that_is_not_possible_is_said_in_a_sentence(rows, shares, words):
    with pytest.raises(CourseError, match=words):
        readers.simulate_reads(pd.DataFrame(rows), 2, **{"by_circle": 0.3, **shares})


def test_the_examples_in_the_docstrings_are_right():
    outcome = doctest.testmod(readers)
    assert outcome.attempted
    assert not outcome.failed
