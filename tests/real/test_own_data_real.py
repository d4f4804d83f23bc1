"""Public data sets are read as their publishers wrote them, with no more than the options in docs/own_data.md."""

import csv
import json
from collections import Counter

import pytest

from nbhelpers.corpora import load, read_names


def counts(part):
    """Class name -> rows, of a loaded split."""
    names = part.features["label"].names
    return {names[i]: count for i, count in Counter(part["label"]).items()}


def counts_of_csv(path, column, encoding="utf-8", header=True, **style):
    """The same, counted in the file itself."""
    with path.open(encoding=encoding, newline="") as file:
        rows = list(csv.reader(file, **style))
    position = rows[0].index(column) if header else column
    return dict(Counter(row[position].strip() for row in rows[header:]))


TABS = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}


def test_a_csv_in_chinese(real_data):
    path = real_data / "waimai" / "waimai_10k.csv"
    data = load(path)
    assert counts(data["train"]) == counts_of_csv(path, "label")
    assert data["train"]["text"][0] == "很快,好吃,味道足,量大".replace(",", "，")


def test_a_csv_in_another_encoding(real_data):
    path = real_data / "financial_phrasebank" / "all-data.csv"
    data = load(path, encoding="latin-1")
    assert counts(data["train"]) == counts_of_csv(path, "label", "latin-1")
    assert set(counts(data["train"])) == {"negative", "neutral", "positive"}


def test_two_files_with_names_of_their_own(real_data):
    files = {"train": real_data / "imdb" / "train_5k.csv", "test": real_data / "imdb" / "test_5k.csv"}
    data = load(files)
    for split, path in files.items():
        assert counts(data[split]) == counts_of_csv(path, "label") == {"neg": 2500, "pos": 2500}


def test_a_folder_with_splits(real_data):
    data = load(real_data / "banking77")
    for split in ("train", "test"):
        assert counts(data[split]) == counts_of_csv(real_data / "banking77" / f"{split}.csv", "category")
    assert len(data["train"].features["label"].names) == 77


def test_tabs_and_no_header(real_data):
    data = load(real_data / "sst2", quotes=False)
    for split in ("train", "dev", "test"):
        assert counts(data[split]) == counts_of_csv(real_data / "sst2" / f"{split}.tsv", 1, header=False, **TABS)
    assert [len(part) for part in data.values()] == [6920, 872, 1821]


@pytest.mark.parametrize("site", ["amazon_cells", "imdb", "yelp"])
def test_txt_with_a_tab_before_the_label(real_data, site):
    data = load(real_data / "uci_sentences" / f"{site}_labelled.txt", quotes=False)
    assert counts(data["train"]) == {"0": 500, "1": 500}


def test_ids_from_1_with_names_in_another_file(real_data):
    path = real_data / "ag_news" / "train_5k.csv"
    names = read_names(real_data / "ag_news" / "train_5k_classes.txt")
    data = load(path, labels=names)
    found = counts_of_csv(path, 1, header=False)
    first = min(map(int, found))
    assert counts(data["train"]) == {name: found[str(i + first)] for i, name in enumerate(names)}


def test_a_title_and_a_text_as_a_pair(real_data):
    names = read_names(real_data / "ag_news" / "classes.txt")
    columns = ["label", "title", "text"]
    data = load(
        real_data / "ag_news" / "test.csv", text=["title", "text"], label="label", labels=names, columns=columns
    )
    assert counts(data["train"]) == dict.fromkeys(names, 1900)
    assert data["train"][0]["text"].startswith("Fears for T N pension")
    assert data["train"][0]["text_pair"].startswith("Unions representing workers")


@pytest.mark.parametrize("name", ["data_full", "data_imbalanced"])
def test_json_with_all_splits(real_data, name):
    path = real_data / "clinc150" / f"{name}.json"
    content, data = json.loads(path.read_text()), load(path)
    for split, key in (("train", "train"), ("dev", "val"), ("test", "test")):
        assert counts(data[split]) == dict(Counter(label for _, label in content[key]))
    assert len(data["train"].features["label"].names) == 150
