"""The dialogues and reviews written for this course are what their card says, and as varied as they claim."""

import csv
import re
from collections import Counter, defaultdict

import pytest

from nbhelpers import corpora
from nbhelpers.course.lessons import ROOT

SPLITS = ("train", "dev", "test")
TEXT = {"dialogues": "Utterance", "reviews": "text"}
POLARITY = {"joy": {"positive"}, "neutral": {"neutral"}, "surprise": {"positive", "negative"}}
each_corpus = pytest.mark.parametrize("name", corpora.OWN)


def rows(name):
    """Split -> rows of the csv file."""
    found = {}
    for split in SPLITS:
        with (corpora.DATA / name / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            found[split] = list(csv.DictReader(file))
    return found


def texts(name):
    return [row[TEXT[name]] for part in rows(name).values() for row in part]


def words(text):
    return re.findall(r"[a-z']+", text.lower())


def card():
    return " ".join((ROOT / "data" / "README.md").read_text(encoding="utf-8").split())


@pytest.fixture(scope="module")
def turns():
    return rows("dialogues")


# --- both -------------------------------------------------------------------------------------------------------------


@each_corpus
def test_no_longer_text_twice(name):
    counts = Counter(" ".join(words(text)) for text in texts(name) if len(text.split()) > 4)
    assert [text for text, count in counts.items() if count > 1] == []


@each_corpus
def test_near_duplicates_are_rare(name):
    """Character 5-grams, Jaccard above 0.7; texts of up to four words ("Oh my God!") may repeat."""
    longer = [text.lower() for text in texts(name) if len(text.split()) > 4]
    grams = [{text[i : i + 5] for i in range(len(text) - 4)} for text in longer]
    holders = defaultdict(list)
    for i, own in enumerate(grams):
        for gram in own:
            holders[gram].append(i)
    alike = set()
    for i, own in enumerate(grams):
        shared = Counter(j for gram in own for j in holders[gram] if j < i)
        alike |= {i for j, count in shared.items() if count / (len(own) + len(grams[j]) - count) > 0.7}
    assert len(alike) < 0.01 * len(longer), [longer[i] for i in alike]


@each_corpus
def test_sequences_of_four_words_seldom_repeat(name):
    fours = [four for text in texts(name) for w in [words(text)] for four in zip(w, w[1:], w[2:], w[3:], strict=False)]
    assert len(set(fours)) / len(fours) >= 0.9


@each_corpus
def test_openings_vary(name):
    everything = texts(name)
    opening, count = Counter(tuple(words(x)[:2]) for x in everything if len(x.split()) > 2).most_common(1)[0]
    assert count < 0.02 * len(everything), opening


def test_size_of_all_data():
    assert sum(path.stat().st_size for path in (ROOT / "data").rglob("*") if path.is_file()) < 3_000_000


def test_card_has_the_variety_that_is_there():
    """Different words among the first 10,000: the figures that stand beside MELD's."""
    for name in corpora.OWN:
        first = [word for text in texts(name) for word in words(text)][:10_000]
        assert f"| {name} | {len(set(first)):,} |" in card(), (name, len(set(first)))


# --- dialogues --------------------------------------------------------------------------------------------------------


def test_dialogues_size_and_split(turns):
    dialogues = {split: {row["Dialogue_ID"] for row in part} for split, part in turns.items()}
    total = sum(map(len, dialogues.values()))
    assert total == len(set.union(*dialogues.values()))  # no dialogue in two splits
    assert total >= 300
    assert sum(map(len, turns.values())) >= 3000
    assert 0.68 < len(dialogues["train"]) / total < 0.72
    assert 0.18 < len(dialogues["test"]) / total < 0.22
    assert len({row["Speaker"] for part in turns.values() for row in part}) >= 60


def test_each_dialogue_counts_its_turns_from_0(turns):
    for part in turns.values():
        by_dialogue = defaultdict(list)
        for row in part:
            by_dialogue[row["Dialogue_ID"]].append(row)
        for own in by_dialogue.values():
            assert [int(row["Utterance_ID"]) for row in own] == list(range(len(own)))
            assert 3 <= len(own) <= 18
            assert 2 <= len({row["Speaker"] for row in own}) <= 6


def test_emotions_are_as_unequal_as_in_meld(turns):
    everything = Counter(row["Emotion"] for part in turns.values() for row in part)
    shares = {emotion: everything[emotion] / everything.total() for emotion in corpora.EMOTIONS}
    assert 0.40 <= shares["neutral"] <= 0.50
    assert all(0.025 <= shares[emotion] <= 0.05 for emotion in ("disgust", "fear"))
    test = Counter(row["Emotion"] for row in turns["test"])
    assert min(test[emotion] for emotion in corpora.EMOTIONS) >= 20


def test_sentiments_agree_with_emotions(turns):
    for part in turns.values():
        for row in part:
            assert row["Sentiment"] in POLARITY.get(row["Emotion"], {"negative"}), row


def test_one_turn_in_six_says_little_by_itself(turns):
    """At most four words; the second reading in the card tells how many of these cannot be decided alone."""
    everything = [row for part in turns.values() for row in part]
    assert sum(len(row["Utterance"].split()) <= 4 for row in everything) >= len(everything) / 6


def test_the_card_has_the_counts(turns):
    for emotion in corpora.EMOTIONS:
        counts = [sum(row["Emotion"] == emotion for row in part) for part in turns.values()]
        assert f"| {emotion} | {counts[0]:,} | {counts[1]} | {counts[2]} |" in card(), (emotion, counts)
    for column in ("Dialogue_ID", None):
        counts = [len({row[column] for row in part}) if column else len(part) for part in turns.values()]
        name = "dialogues" if column else "turns"
        assert f"| {name} | {counts[0]:,} | {counts[1]} | {counts[2]:,} |" in card(), counts


# --- reviews ----------------------------------------------------------------------------------------------------------


def test_reviews_size_categories_and_labels():
    reviews = rows("reviews")
    everything = [row for part in reviews.values() for row in part]
    assert len(everything) >= 1000
    assert all(15 <= len(row["text"].split()) <= 120 for row in everything)
    assert len({row["category"] for row in everything}) >= 12
    for split, part in reviews.items():
        counts = Counter(row["label"] for row in part)
        assert f"| {split} | {counts['negative']} | {counts['neutral']} | {counts['positive']} |" in card(), counts
        assert min(counts.values()) >= 25
