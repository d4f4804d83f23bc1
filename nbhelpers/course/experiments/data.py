"""The corpora of the results tables: texts and labels as lists, and examples for a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nbhelpers import batching, corpora, dialogue

from .lengths import long_inputs
from .real import REAL, real_file

# What a model must remember of its configuration, so that its inputs can be made again in the same way.
INPUT_SETTINGS = (
    "corpus",
    "context",
    "speaker_format",
    "past",
    "future",
    "max_length",
    "long_texts",
    "prefix",
)


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
            "imdb" and "amazon and yelp" (real reviews, only a test split, from the folder in $NBHELPERS_DATA); and the
            names in `real.REAL`, from there as well.
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
    data = REAL[name]() if name in REAL else corpora.load(name, **options)
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
        if "long_texts" in config:
            return long_inputs(split.texts, split.labels, tokenizer, config)[0]
        texts = [config.get("prefix", "") + text for text in split.texts]
        return batching.tokenize(texts, tokenizer, labels=split.labels, max_length=options.get("max_length"))
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
