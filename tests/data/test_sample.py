"""The bundled dialogues are what their card says."""

import csv
import re
from collections import Counter

import pytest

from nbhelpers import corpora
from nbhelpers.course.lessons import ROOT

POLARITY = {"joy": {"positive"}, "neutral": {"neutral"}, "surprise": {"positive", "negative"}}


@pytest.fixture(scope="module")
def turns():
    rows = {}
    for split in ("train", "dev", "test"):
        with (corpora.SAMPLE / f"{split}.csv").open(encoding="utf-8", newline="") as file:
            rows[split] = list(csv.DictReader(file))
    return rows


def test_size_and_all_emotions_in_every_split(turns):
    everything = [row for rows in turns.values() for row in rows]
    assert len({row["Dialogue_ID"] for row in everything}) >= 40
    assert len(everything) >= 350
    for rows in turns.values():
        assert {row["Emotion"] for row in rows} == set(corpora.EMOTIONS)


def test_dialogues_belong_to_one_split_and_count_their_turns_from_0(turns):
    splits = {split: {row["Dialogue_ID"] for row in rows} for split, rows in turns.items()}
    assert sum(map(len, splits.values())) == len(set.union(*splits.values()))
    for rows in turns.values():
        for dialogue in {row["Dialogue_ID"] for row in rows}:
            own = [row for row in rows if row["Dialogue_ID"] == dialogue]
            assert [int(row["Utterance_ID"]) for row in own] == list(range(len(own)))
            assert 3 <= len(own) <= 18
            assert 2 <= len({row["Speaker"] for row in own}) <= 6


def test_sentiments_agree_with_emotions(turns):
    for rows in turns.values():
        for row in rows:
            assert row["Sentiment"] in POLARITY.get(row["Emotion"], {"negative"}), row


def test_no_longer_text_twice(turns):
    texts = Counter(row["Utterance"] for rows in turns.values() for row in rows if len(row["Utterance"].split()) > 4)
    assert max(texts.values()) == 1


def test_the_card_has_the_counts(turns):
    card = " ".join((ROOT / "data" / "README.md").read_text(encoding="utf-8").split())
    for emotion in corpora.EMOTIONS:
        counts = [sum(row["Emotion"] == emotion for row in rows) for rows in turns.values()]
        assert re.search(rf"{emotion} {counts[0]} / {counts[1]} / {counts[2]}\b", card), (emotion, counts)
    total = [f"{len({row['Dialogue_ID'] for row in rows})} / {len(rows)}" for rows in turns.values()]
    assert f"(train {total[0]}, dev {total[1]}, test {total[2]})" in card
