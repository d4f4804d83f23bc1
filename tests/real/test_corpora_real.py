"""The units corpora and cleaning on real data sets."""

import csv
import random
import shutil
import time

import pandas as pd
import pytest

from nbhelpers import corpora, encoders
from nbhelpers.cleaning import cost
from nbhelpers.corpora import CorpusError, describe, load, load_meld, load_table, loading_report

COUNTS = {  # the table in MELD's README
    "neutral": (4710, 470, 1256),
    "joy": (1743, 163, 402),
    "surprise": (1205, 150, 281),
    "anger": (1109, 153, 345),
    "sadness": (683, 111, 208),
    "disgust": (271, 22, 68),
    "fear": (268, 40, 50),
}


@pytest.fixture(scope="module")
def meld(real_data):
    return load_meld(real_data / "meld")


def test_counts_are_those_of_the_readme(meld):
    table = describe(meld)
    assert list(table.columns) == ["train", "dev", "test"]
    assert table.loc["rows"].tolist() == [9989, 1109, 2610]
    assert table.loc["dialogues"].tolist() == [1038, 114, 280]
    for emotion, counts in COUNTS.items():
        assert tuple(table.loc[f"emotion: {emotion}"]) == counts
    assert table.loc["normalized: curly quotes"].tolist() == [2618, 300, 731]
    assert table.loc["empty texts"].tolist() == [0, 0, 0]
    assert table.loc["notes"].unique().tolist() == ["official file"]


def test_every_row_agrees_with_the_file(meld, real_data):
    for split, part in meld.items():
        with open(real_data / "meld" / f"{split}_sent_emo.csv", encoding="utf-8", newline="") as file:
            rows = {(int(row["Dialogue_ID"]), int(row["Utterance_ID"])): row for row in csv.DictReader(file)}
        assert [(row["dialogue_id"], row["utterance_id"]) for row in part] == sorted(rows)
        emotion, sentiment = part.features["emotion"], part.features["sentiment"]
        for row in part:
            original = rows[row["dialogue_id"], row["utterance_id"]]
            assert row["text"] == corpora.normalize(original["Utterance"])
            assert emotion.int2str(row["emotion"]) == original["Emotion"]
            assert sentiment.int2str(row["sentiment"]) == original["Sentiment"]
            assert (row["season"], row["episode"]) == (int(original["Season"]), int(original["Episode"]))


def test_gaps_in_the_ids_of_meld_are_kept(meld):
    train = meld["train"]
    assert 60 not in train["dialogue_id"]
    turns: dict[int, list[int]] = {}
    for dialogue, utterance in zip(train["dialogue_id"], train["utterance_id"], strict=True):
        turns.setdefault(dialogue, []).append(utterance)
    assert sum(ids != list(range(len(ids))) for ids in turns.values()) == 72
    assert all(ids == sorted(ids) for ids in turns.values())


def test_texts_have_ascii_quotes_and_data_is_in_memory(meld):
    for part in meld.values():
        assert not set("".join(part["text"])) & set("\u2018\u2019\u201c\u201d\n\u00a0")
        assert part.cache_files == []


def test_shuffled_file_gives_the_same_data(meld, real_data, tmp_path):
    for path in (real_data / "meld").glob("*.csv"):
        header, *rows = path.read_text(encoding="utf-8").splitlines()
        random.Random(0).shuffle(rows)
        (tmp_path / path.name).write_text("\n".join([header, *rows]), encoding="utf-8")
    shuffled = load_meld(tmp_path)
    assert all(shuffled[split][:] == meld[split][:] for split in meld)
    assert loading_report(shuffled["test"])["notes"] == ["differs from the official file"]


def test_nbhelpers_data_names_the_folder_of_meld(real_data, monkeypatch):
    monkeypatch.setenv("NBHELPERS_DATA", str(real_data))
    assert len(load("meld")["dev"]) == 1109


def test_a_verified_cache_needs_no_download(real_data, tmp_path, monkeypatch):
    shutil.copytree(real_data / "meld", tmp_path / "meld")
    monkeypatch.delenv("NBHELPERS_DATA")
    monkeypatch.setenv("NBHELPERS_CACHE", str(tmp_path))
    monkeypatch.setattr(corpora.meld, "MELD_SOURCES", ("http://127.0.0.1:9/{file}",))  # nobody answers there
    assert len(load("meld")["dev"]) == 1109


@pytest.mark.alone
def test_loading_takes_a_second_at_most(real_data):
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        load_meld(real_data / "meld")
        seconds.append(time.perf_counter() - start)
    print(f"MELD read and checked in {min(seconds):.2f} s")
    assert min(seconds) <= 1.0


def test_cost_of_cleaning_on_meld(meld):
    train, test = meld["train"].select(range(3000)), meld["test"]
    table = cost(train["text"][:], train["emotion"][:], test["text"][:], test["emotion"][:])
    assert table.loc["as it is", "weighted_f1"] > 0.45
    assert table.loc["no punctuation", "weighted_change"] < -3  # "?" and "!" tell surprise and joy from neutral


def test_financial_phrasebank_names_its_encoding(real_data):
    path = real_data / "financial_phrasebank" / "all-data.csv"
    with pytest.raises(CorpusError, match=r"row \d+: byte 0x\w\w cannot be read as utf-8; .*pass encoding='cp1252'"):
        load_table(path, text="news")
    train = load_table(path, text="news", encoding="cp1252")["train"]
    assert len(train) == 4846
    assert train.features["label"].names == ["negative", "neutral", "positive"]
    assert load_table(path, text="news", encoding="latin-1")["train"]["text"][:] == train["text"][:]


def test_waimai_is_loaded_and_split(real_data):
    train = load_table(real_data / "waimai" / "waimai_10k.csv", text="review")["train"]
    assert len(train) == 11987
    assert train[0] == {"text": "\u5f88\u5feb\uff0c\u597d\u5403\uff0c\u5473\u9053\u8db3\uff0c\u91cf\u5927", "label": 1}
    parts = train.train_test_split(0.1, seed=0, stratify_by_column="label")
    assert abs(sum(parts["test"]["label"]) / len(parts["test"]) - sum(train["label"]) / len(train)) < 0.001


@pytest.mark.parametrize(
    ("folder", "options", "rows", "classes"),
    [
        ("sst2", {"columns": ["text", "label"], "labels": ["negative", "positive"]}, [6920, 872, 1821], 2),
        ("banking77", {"label": "category"}, [10003, 3080], 77),
    ],
)
def test_folders_of_public_data_sets(real_data, folder, options, rows, classes):
    data = load(real_data / folder, **options)
    assert [len(part) for part in data.values()] == rows
    assert data["train"].features["label"].num_classes == classes
    assert len(describe(data)) < 20
    assert set(describe(data).loc["notes"]) == {"-"}


def test_imdb_keeps_its_markup(real_data):
    files = {"train": real_data / "imdb" / "train_5k.csv", "test": real_data / "imdb" / "test_5k.csv"}
    data = load_table(files, labels=["neg", "pos"])
    assert [len(part) for part in data.values()] == [5000, 5000]
    assert any("<br />" in text for text in data["train"]["text"])


def test_labels_of_ag_news_start_at_1(real_data):
    train = real_data / "ag_news" / "train_5k.csv"
    with pytest.raises(CorpusError, match=r"label ids 1, 2, 3, 4 do not run from 0 to 3"):
        load_table(real_data / "ag_news" / "test.csv", columns=["label", "title", "text"])
    names = ["world", "sports", "business", "tech"]
    for labels in (names, dict(enumerate(names, start=1))):  # a name for each id, counted from 1
        test = load_table(real_data / "ag_news" / "test.csv", columns=["label", "title", "text"], labels=labels)[
            "train"
        ]
        assert (test.features["label"].names, test["label"][:4]) == (names, [2, 3, 3, 3])
    assert len(load_table(train, columns=["text", "label"], labels=names)["train"]) == 5000


def test_uci_sentences_are_read_without_quoting(real_data, tmp_path):
    for name in ("amazon_cells", "yelp", "imdb"):
        path = tmp_path / f"{name}.tsv"
        shutil.copy(real_data / "uci_sentences" / f"{name}_labelled.txt", path)
        assert len(load_table(path, columns=["text", "label"], quotes=False)["train"]) == 1000


def test_a_column_of_numbers_is_no_column_of_classes(real_data):
    path = real_data / "imdb" / "train_5k.csv"
    with pytest.raises(CorpusError, match="each of the 5000 rows has its own id"):
        load_table(path, label="id")
    with pytest.raises(CorpusError, match="rating ids 1, 2, 3, 4, 7, 8, 9, 10 do not run from 0 to 7"):
        load_table(path, label="rating")


def test_columns_for_a_file_with_a_header_are_refused(real_data):
    path = real_data / "banking77" / "test.csv"
    with pytest.raises(CorpusError, match="row 1: the row is a header, because it contains category and text"):
        load_table(path, columns=["text", "category"], label="category")
    # under other names, the header is noticed because it is the only row of its class
    notes = loading_report(load_table(path, columns=["text", "label"])["train"])["notes"]
    assert notes == ["label: only one row for 'category'"]


def test_meld_as_it_is_in_its_files_gets_the_tokens_of_the_normalized_text(real_data):
    """A service receives such texts: a third of them change in `load`."""
    raw = pd.read_csv(real_data / "meld" / "test_sent_emo.csv")["Utterance"].tolist()
    normalized = [corpora.normalize(text) for text in raw]
    assert sum(a != b for a, b in zip(raw, normalized, strict=True)) == 833
    tokenizer = encoders.load("embedded")[0]
    expected = tokenizer(normalized)["input_ids"]
    assert tokenizer(raw)["input_ids"] != expected
    assert corpora.normalizing_tokenizer(tokenizer)(raw)["input_ids"] == expected
