"""Real data sets from the folder in $NBHELPERS_DATA, with splits that are the same in every run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from nbhelpers import corpora

SHARES = {"dev_share": 0.1, "test_share": 0.2}


def real_file(*parts: str) -> Path:
    """A file of the real data sets.

    Raises:
        CorpusError: NBHELPERS_DATA does not lead to it.
    """
    path = Path(os.environ.get("NBHELPERS_DATA", ""), *parts)
    if not path.is_file():
        raise corpora.CorpusError(f"there is no {path}; set NBHELPERS_DATA to the folder that holds {parts[0]}/")
    return path


def ag_news() -> Any:
    """News of four topics: about 3,500 items in train, 500 in dev, 1,000 in test."""
    names = corpora.read_names(real_file("ag_news", "train_5k_classes.txt"))
    return corpora.load(real_file("ag_news", "train_5k.csv"), labels=names, **SHARES)


def sst_2() -> Any:
    """Sentences from reviews of films: 6,920 in train, 872 in dev, 1,821 in test."""
    return corpora.load(real_file("sst2", "train.tsv").parent, quotes=False)


def imdb_train_and_test() -> Any:
    """10,000 film reviews: about 4,500 in train, 500 in dev, 5,000 in test."""
    files = {"train": real_file("imdb", "train_5k.csv"), "test": real_file("imdb", "test_5k.csv")}
    return corpora.load(files, text="text", label="label", dev_share=0.1)


def waimai() -> Any:
    """Chinese reviews of food deliveries, two classes: about 8,400 in train, 1,200 in dev, 2,400 in test."""
    return corpora.load(real_file("waimai", "waimai_10k.csv"), text="review", label="label", **SHARES)


def banking77() -> Any:
    """Questions to a bank, 77 intents: 9,000 in train, 1,000 in dev, 3,080 in test."""
    files = {"train": real_file("banking77", "train.csv"), "test": real_file("banking77", "test.csv")}
    return corpora.load(files, text="text", label="category", dev_share=0.1)


def financial_phrasebank() -> Any:
    """Sentences from financial news, three classes: about 3,400 in train, 500 in dev, 1,000 in test."""
    path = real_file("financial_phrasebank", "all-data.csv")
    return corpora.load(path, text="news", label="label", encoding="latin-1", **SHARES)


def clinc150() -> Any:
    """Requests to an assistant, 150 intents: 15,000 in train, 3,000 in dev, 4,500 in test, none out of scope."""
    content = json.loads(real_file("clinc150", "data_full.json").read_text(encoding="utf-8"))
    names = sorted({label for _, label in content["train"]})
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    splits = {}
    for split, key in (("train", "train"), ("dev", "val"), ("test", "test")):
        columns = {"text": [text for text, _ in content[key]], "label": [names.index(x) for _, x in content[key]]}
        splits[split] = Dataset.from_dict(columns, features=features)
    return DatasetDict(splits)


def amazon_and_yelp() -> Any:
    """Sentences from reviews of products and of restaurants, two classes: 1,440 in train, 160 in dev, 400 in test."""
    rows = []
    for site in ("amazon_cells", "yelp"):
        content = real_file("uci_sentences", f"{site}_labelled.txt").read_text(encoding="utf-8")
        rows += [line.rsplit("\t", 1) for line in content.splitlines()]
    names = ["negative", "positive"]
    features = Features({"text": Value("string"), "label": ClassLabel(names=names)})
    columns = {"text": [text.strip() for text, _ in rows], "label": [int(label) for _, label in rows]}
    data = Dataset.from_dict(columns, features=features)
    first = data.train_test_split(400, seed=0, stratify_by_column="label")
    second = first["train"].train_test_split(160, seed=0, stratify_by_column="label")
    return DatasetDict({"train": second["train"], "dev": second["test"], "test": first["test"]})


REAL = {
    "ag news": ag_news,
    "amazon and yelp, split": amazon_and_yelp,
    "banking77": banking77,
    "clinc150": clinc150,
    "financial phrasebank": financial_phrasebank,
    "imdb, train and test": imdb_train_and_test,
    "sst-2": sst_2,
    "waimai": waimai,
}
