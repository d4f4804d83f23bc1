"""The corpora of the results tables: texts and labels as lists, and examples for a model."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nbhelpers import batching, corpora, dialogue

# What a model must remember of its configuration, so that its inputs can be made again in the same way.
INPUT_SETTINGS = ("corpus", "context", "speaker_format", "past", "future", "max_length")


class Split(NamedTuple):
    """One split of a corpus. Columns that the corpus does not have are empty lists."""

    texts: list[str]
    labels: list[int]
    speakers: list[str]
    dialogue_ids: list[int]
    sentiments: list[int]


def read(name: str, labels: Sequence[str] | None = None) -> tuple[dict[str, Split], list[str]]:
    """Read a corpus.

    Args:
        name: what `corpora.load` knows, or one of these: "reviews, binary" (the reviews without the neutral ones);
            "ag news" and "sst-2" (news items and sentences about films, from the folder in $NBHELPERS_DATA);
            "imdb" and "amazon and yelp" (real reviews, only a test split, from there as well).
        labels: the names of the classes, for a file or folder of texts. Default: those that occur in it.

    Returns:
        The splits by name, and the names of the classes in the order of their ids.

    Raises:
        CorpusError: there is no such corpus, or a file has a fault.
    """
    special = {"imdb": imdb, "amazon and yelp": amazon_and_yelp, "reviews, binary": binary_reviews}
    if name in special:
        return special[name](), ["negative", "positive"]
    options = {"labels": labels} if labels else {}
    real = {"ag news": ag_news, "sst-2": sst_2}
    data = real[name]() if name in real else corpora.load(name, **options)
    features = data["train"].features
    target = "emotion" if "emotion" in features else "label"
    columns = ("text", target, "speaker", "dialogue_id", "sentiment")
    splits = {
        split: Split(*(part[column][:] if column in features else [] for column in columns))
        for split, part in data.items()
    }
    return splits, features[target].names


def read_for(config: Mapping[str, Any]) -> tuple[dict[str, Split], list[str]]:
    """What `read` gives for a configuration's corpus. With "test", the test split is that of another corpus."""
    data, names = read(config["corpus"])
    if "test" in config:
        data = data | {"test": read(config["test"])[0]["test"]}
    return data, names


def ag_news() -> Any:
    """News of four topics: about 3,500 items in train, 500 in dev, 1,000 in test."""
    names = corpora.read_names(real_file("ag_news", "train_5k_classes.txt"))
    return corpora.load(real_file("ag_news", "train_5k.csv"), labels=names, dev_share=0.1, test_share=0.2)


def sst_2() -> Any:
    """Sentences from reviews of films: 6,920 in train, 872 in dev, 1,821 in test."""
    return corpora.load(real_file("sst2", "train.tsv").parent, quotes=False)


def imdb() -> dict[str, Split]:
    """5,000 film reviews."""
    data = corpora.load_table(real_file("imdb", "test_5k.csv"), labels=["neg", "pos"])
    # A single file becomes the split "train", whatever it holds.
    return {"test": Split(data["train"]["text"][:], data["train"]["label"][:], [], [], [])}


def amazon_and_yelp() -> dict[str, Split]:
    """2,000 sentences from reviews of products and of restaurants, each with a tab and 0 or 1 after it."""
    texts, labels = [], []
    for site in ("amazon_cells", "yelp"):
        content = real_file("uci_sentences", f"{site}_labelled.txt").read_text(encoding="utf-8")
        for line in content.splitlines():
            text, label = line.rsplit("\t", 1)
            texts.append(text.strip())
            labels.append(int(label))
    return {"test": Split(texts, labels, [], [], [])}


def binary_reviews() -> dict[str, Split]:
    """The written reviews without the neutral ones: these have the class id 1 of 0, 1 and 2."""
    splits = {}
    for name, part in corpora.load("reviews").items():
        rows = part.to_pandas().query("label != 1")
        splits[name] = Split(list(rows["text"]), list(rows["label"] // 2), [], [], [])
    return splits


def real_file(*parts: str) -> Path:
    """A file of the real data sets.

    Raises:
        CorpusError: NBHELPERS_DATA does not lead to it.
    """
    path = Path(os.environ.get("NBHELPERS_DATA", ""), *parts)
    if not path.is_file():
        raise corpora.CorpusError(f"there is no {path}; set NBHELPERS_DATA to the folder that holds {parts[0]}/")
    return path


def first_dialogues(split: Split, count: int) -> Split:
    """The turns of the first `count` dialogues of a split, or all turns when it has fewer dialogues."""
    stop = dialogue.spans(split.dialogue_ids)[:count][-1].stop
    texts, labels, speakers, dialogue_ids, sentiments = split
    return Split(texts[:stop], labels[:stop], speakers[:stop], dialogue_ids[:stop], sentiments[:stop])


def inputs(split: Split, tokenizer: Any, config: Mapping[str, Any], sentiments: bool = False) -> list[dict[str, Any]]:
    """Examples of the kind that a configuration asks for: single turns, windows, or whole dialogues.

    Args:
        split: the texts and labels.
        tokenizer: the model's.
        config: its "context", "speaker_format", "past", "future" and "max_length" count.
        sentiments: whether examples are to have "sentiments" beside "labels". They need a context.
    """
    options = dialogue.input_options(config)
    if options.get("context", "none") == "none":
        return batching.tokenize(split.texts, tokenizer, labels=split.labels, max_length=options.get("max_length"))
    rows = range(len(split.texts))  # as labels, they tell which turns an example classifies
    examples = dialogue.make_examples(
        split.texts, tokenizer, labels=rows, dialogue_ids=split.dialogue_ids, speakers=split.speakers, **options
    )
    for example in examples:
        classified = example["labels"]
        example["labels"] = [split.labels[i] for i in classified]
        if sentiments:
            example["sentiments"] = [split.sentiments[i] for i in classified]
    return examples
