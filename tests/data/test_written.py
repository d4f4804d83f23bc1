"""The corpora written for this course are what their card says, and as varied as they claim."""

import csv
import re
from collections import Counter, defaultdict

import pytest
from sklearn.metrics import cohen_kappa_score

from nbhelpers import corpora, tagging
from nbhelpers.course.lessons import ROOT

SPLITS = ("train", "dev", "test")
TEXT = {"dialogues": "Utterance"}  # of the others: "text"
POLARITY = {"joy": {"positive"}, "neutral": {"neutral"}, "surprise": {"positive", "negative"}}
each_corpus = pytest.mark.parametrize("name", corpora.OWN)


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def rows(name):
    """Split -> rows of the csv file."""
    return {split: table(corpora.DATA / name / f"{split}.csv") for split in SPLITS}


def texts(name):
    return [row[TEXT.get(name, "text")] for part in rows(name).values() for row in part]


def words(text):
    return re.findall(r"[a-z']+", text.lower())


@pytest.fixture(scope="module")
def turns():
    return rows("dialogues")


# --- all --------------------------------------------------------------------------------------------------------------


@each_corpus
def test_no_text_of_more_than_four_words_occurs_twice(name):
    counts = Counter(" ".join(words(text)) for text in texts(name) if len(text.split()) > 4)
    assert [text for text, count in counts.items() if count > 1] == []


@each_corpus
@pytest.mark.slow
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
def test_first_words_of_texts_vary(name):
    everything = texts(name)
    opening, count = Counter(tuple(words(x)[:2]) for x in everything if len(x.split()) > 2).most_common(1)[0]
    assert count < 0.02 * len(everything), opening


def test_size_of_all_data():
    """What everybody downloads stays small: each corpus, and the measured rows."""
    for folder in (ROOT / "data").iterdir():
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert size < (3_000_000 if folder.name == "results" else 1_000_000), folder


def test_data_card_states_the_number_of_different_words(card):
    """Different words among the first 10,000: the figures that stand beside MELD's."""
    for name in corpora.OWN:
        first = [word for text in texts(name) for word in words(text)][:10_000]
        assert f"| {name} | {len(set(first)):,} |" in card, (name, len(set(first)))


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


def test_one_turn_in_six_has_at_most_four_words(turns):
    """At most four words; the second reading in the card tells how many of these cannot be decided alone."""
    everything = [row for part in turns.values() for row in part]
    assert sum(len(row["Utterance"].split()) <= 4 for row in everything) >= len(everything) / 6


def test_data_card_states_the_counts(turns, card):
    for emotion in corpora.EMOTIONS:
        counts = [sum(row["Emotion"] == emotion for row in part) for part in turns.values()]
        assert f"| {emotion} | {counts[0]:,} | {counts[1]} | {counts[2]} |" in card, (emotion, counts)
    for column in ("Dialogue_ID", None):
        counts = [len({row[column] for row in part}) if column else len(part) for part in turns.values()]
        name = "dialogues" if column else "turns"
        assert f"| {name} | {counts[0]:,} | {counts[1]:,} | {counts[2]:,} |" in card, counts


def test_data_card_states_the_lengths_of_the_turns(turns, card):
    everything = [row for part in turns.values() for row in part]
    sizes = [len(row["Utterance"].split()) for row in everything]
    assert f"has {sum(sizes) / len(sizes):.1f} words on average" in card
    assert f"{100 * sum(size <= 4 for size in sizes) / len(sizes):.0f} % have at most four" in card
    assert f"{len({row['Speaker'] for row in everything})} speaker names" in card
    later = [len(row["Utterance"].split()) <= 4 for row in everything if int(row["Dialogue_ID"]) >= 632]
    assert f"{100 * sum(later) / len(later):.0f} % of its turns have at most four words" in card
    emotions = Counter(row["Emotion"] for row in everything)
    loud = sum(emotions[name] for name in ("surprise", "anger", "fear")) / emotions.total()
    assert f"Surprise, anger and fear make up {100 * loud:.0f} % of the turns" in card


def test_data_card_states_the_figures_of_meld(real_data, card):
    said = [text for part in corpora.load(real_data / "meld").values() for text in part["text"]]
    sizes = [len(text.split()) for text in said]
    assert f"(MELD: {sum(sizes) / len(sizes):.1f})" in card
    assert f"(MELD: {100 * sum(size <= 4 for size in sizes) / len(sizes):.0f} %)" in card
    assert f"| MELD | {len(set([word for text in said for word in words(text)][:10_000])):,} |" in card


def test_a_second_reading_without_the_labels_agrees(turns, card):
    readings = table(corpora.DATA / "dialogues" / "second_reading.csv")
    said = {(row["Dialogue_ID"], row["Utterance_ID"]): row for part in turns.values() for row in part}
    pairs = [(row, said.pop((row["Dialogue_ID"], row["Utterance_ID"]))) for row in readings]  # each turn once
    assert {row["Dialogue_ID"] for row in said.values()}.isdisjoint(row["Dialogue_ID"] for row in readings)
    alone = [row for row in readings if row["Alone"]]
    for name, part, column in (("3,303 (all)", readings, "Read"), ("198", alone, "Read"), ("198", alone, "Alone")):
        written, read = [row["Written"] for row in part], [row[column] for row in part]
        agreement = sum(a == b for a, b in zip(written, read, strict=True)) / len(part)
        kappa = cohen_kappa_score(written, read)
        assert f"| {name} | {100 * agreement:.1f} % | {kappa:.2f} |" in card
        assert kappa >= 0.7 or column == "Alone"
    sizes = [len(turn["Utterance"].split()) for row, turn in pairs if row["Decidable"] == "0"]
    short = sum(size <= 4 for size in sizes)
    assert short >= len(alone) / 6
    assert f"could not decide {len(sizes)} of the {len(alone)} turns; {short} of them have at most four words" in card
    changed = sum(row["Written"] != turn["Emotion"] for row, turn in pairs)
    assert f"({changed} labels changed)" in card


# --- reviews ----------------------------------------------------------------------------------------------------------


def test_reviews_size_categories_and_labels(card):
    reviews = rows("reviews")
    everything = [row for part in reviews.values() for row in part]
    assert len(everything) >= 1000
    assert all(15 <= len(row["text"].split()) <= 120 for row in everything)
    assert len({row["category"] for row in everything}) >= 12
    for split, part in reviews.items():
        counts = Counter(row["label"] for row in part)
        assert f"| {split} | {counts['negative']} | {counts['neutral']} | {counts['positive']} |" in card, counts
        assert min(counts.values()) >= 25


# --- intents, topics and finance ------------------------------------------------------------------------------------

each_new = pytest.mark.parametrize("name", ["intents", "topics", "finance"])


@each_new
def test_the_card_states_the_counts_of_each_class(name, card):
    counts = {split: Counter(row["label"] for row in part) for split, part in rows(name).items()}
    for label in counts["train"]:
        assert f"| {label} | " + " | ".join(f"{counts[split][label]:,}" for split in SPLITS) + " |" in card


@each_new
def test_the_card_states_the_lengths(name, card):
    sizes = [len(text.split()) for text in texts(name)]
    assert f"has {min(sizes)} to {max(sizes)} words, {sum(sizes) / len(sizes):.0f} on average" in card


@each_new
def test_two_readers_agree_with_the_labels(name, card):
    readings = table(corpora.DATA / name / "second_reading.csv")
    assert len(readings) == 200
    for first, second in (("written", "reader 1"), ("written", "reader 2"), ("reader 1", "reader 2")):
        one, other = ([row[column] for row in readings] for column in (first, second))
        agreement = sum(a == b for a, b in zip(one, other, strict=True)) / 200
        line = f"{first.replace('written', 'writer')} and {second} | {100 * agreement:.1f} %"
        assert f"| {name}: {line} | {cohen_kappa_score(one, other):.2f} |" in card


def test_intents_are_unequal_and_their_second_wish_is_another(card):
    everything = [row for part in rows("intents").values() for row in part]
    counts = Counter(row["label"] for row in everything)
    assert 0.35 < counts["order status"] / counts.total() < 0.4
    assert 0.015 < counts["privacy"] / counts.total() < 0.025
    second = [row for row in everything if row["also"]]
    assert all(row["also"] in counts and row["also"] != row["label"] for row in second)
    assert f"({100 * len(second) / counts.total():.0f} % have)" in card
    assert f"the largest has {max(counts.values()) / min(counts.values()):.0f} times as many" in " ".join(card.split())


def test_messages_outside_the_intents_are_for_dev_and_test_only(card):
    outside = table(corpora.DATA / "intents" / "outside.csv")
    splits = Counter(row["split"] for row in outside)
    assert set(splits) == {"dev", "test"}
    assert f"contains {len(outside)} more messages" in card
    assert f"{splits['dev']} are for dev and {splits['test']} for test" in card
    inside = {text.lower() for text in texts("intents")}
    assert not [row["text"] for row in outside if row["text"].lower() in inside]


def test_topics_are_split_by_date():
    months = {split: [row["date"][5:7] for row in part] for split, part in rows("topics").items()}
    assert max(months["train"]) <= "08"
    assert set(months["dev"]) == {"09"}
    assert min(months["test"]) >= "10"


# --- finance, entities and faq ----------------------------------------------------------------------------------------


def test_finance_is_split_by_date_and_stories_stay_together(card):
    parts = rows("finance")
    first = {}
    for row in sorted((row for part in parts.values() for row in part), key=lambda row: row["date"]):
        first.setdefault(row["story"], row["date"])
    for split, part in parts.items():
        for row in part:
            start = first[row["story"]]
            assert split == ("train" if start < "2041-11" else "dev" if start < "2042" else "test")
    counts = Counter(row["story"] for part in parts.values() for row in part)
    told = sum(count > 1 for count in counts.values())
    assert f"{told} of the {len(counts):,} stories are told by two or three sources" in " ".join(card.split())
    assert max(counts.values()) <= 3


def test_the_phases_of_finance_have_more_sentences_of_their_kind():
    everything = [row for part in rows("finance").values() for row in part]
    events = table(corpora.DATA / "finance" / "events.csv")
    assert Counter(event["kind"] for event in events) == {"negative": 6, "positive": 3}
    for event in events:
        own = [row for row in everything if row["company"] == event["company"]]
        inside = [row for row in own if event["start"] <= row["date"] <= event["end"]]
        assert sum(row["label"] == event["kind"] for row in inside) > 0.6 * len(inside)
        # 60 days of 545 have at least a quarter of the company's sentences
        assert len(inside) > len(own) / 4


@pytest.fixture(scope="module")
def entities():
    return tagging.load(corpora.DATA / "entities")


def test_the_card_states_the_counts_of_entities(entities, card):
    for name, counts in tagging.describe(entities).iterrows():
        assert f"| {name} | {counts['train']:,} | {counts['dev']:,} | {counts['test']:,} |" in card
    everything = [sentence for part in entities.values() for sentence in part]
    sizes = [len(sentence.words) for sentence in everything]
    text = " ".join(card.split())
    assert f"has {min(sizes)} to {max(sizes)} words and signs, {sum(sizes) / len(sizes):.0f} on average" in text
    whole = [" ".join(sentence.words) for sentence in everything]
    without = sum(not tagging.entities(sentence.tags) for sentence in everything)
    shouted, quiet = sum(x.upper() == x for x in whole), sum(x.lower() == x for x in whole)
    assert f"{without} have no entity, {shouted} are in capitals and {quiet} in lower case throughout" in text
    assert len(set(whole)) == len(whole)
    names = {
        split: [tuple(x.words[a:b]) for x in part for a, b, _ in tagging.entities(x.tags)]
        for split, part in entities.items()
    }
    seen = sum(name in set(names["train"]) for name in names["test"])
    assert f"Only {seen} of the {len(names['test'])} entities of test also occur in train" in text


def test_two_readers_mark_the_same_entities(card):
    blocks = (corpora.DATA / "entities" / "second_reading.txt").read_text(encoding="utf-8").strip().split("\n\n")
    columns = [list(zip(*(line.split() for line in block.splitlines()), strict=True)) for block in blocks]
    assert len(columns) == 200
    tags = {"writer": 1, "reader 1": 2, "reader 2": 3}
    for first, second in (("writer", "reader 1"), ("writer", "reader 2"), ("reader 1", "reader 2")):
        f1 = tagging.entity_f1([x[tags[first]] for x in columns], [x[tags[second]] for x in columns])
        assert f"| entities: {first} and {second} | {100 * f1:.1f} % |" in card


def test_faq_has_five_questions_for_each_page(card):
    pages = {row["id"]: row for row in table(corpora.DATA / "faq" / "answers.csv")}
    parts = rows("faq")
    for kind in ("answered", "near", "far"):
        counts = [sum(row["kind"] == kind for row in parts[split]) for split in SPLITS]
        assert f"| {kind} | {counts[0]} | {counts[1]} | {counts[2]} |" in card
    for split, number in (("train", 3), ("dev", 1), ("test", 1)):
        asked = Counter(row["answer"] for row in parts[split] if row["kind"] == "answered")
        assert asked == dict.fromkeys(pages, number)
        assert all(bool(row["answer"]) == (row["kind"] == "answered") for row in parts[split])
    sizes = [len(page["answer"].split()) for page in pages.values()]
    assert f"An answer has {min(sizes)} to {max(sizes)} words" in card
    questions = [row["text"].lower() for part in parts.values() for row in part]
    assert len(set(questions)) == len(questions)
    readings = table(corpora.DATA / "faq" / "second_reading.csv")
    assert len(readings) == 200
    assert all(row["written"] == row["reader 1"] == row["reader 2"] for row in readings)
