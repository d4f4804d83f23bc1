"""Tags for words: load tagged sentences, and tell how good a model is at finding entities."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nbhelpers import corpora, tagging

from .data import Task
from .errors import ClassifierError
from .report import NUM_MISTAKES, Report
from .rows import Rows

OWN = "entities"  # the corpus of this course
# Suffixes that only files with tags have; the others need task="tags"
SUFFIXES = tuple(suffix for suffix in tagging.CONLL if suffix not in (".txt", ".tsv"))
LIST_OF_NAMES = "names seen in train"
TAG_WORDS = {
    "entity F1": "precision and recall of all entities in one number, their harmonic mean. An entity is right only if "
    "its first word, its last word and its type are right. Precision is the share of the entities found that are "
    "right; recall is the share of the entities in the data that are found",
    "F1": "the same for one type of entity",
    "support": "how many entities of this type the {unit} have",
    "token accuracy": "the share of the words with the right tag. Most words are in no entity, so it is high even if "
    "few entities are found",
    LIST_OF_NAMES: "what is reached without a model: each entity of the training data is found again where its words "
    "occur",
}


def is_tagged(corpus: Any, task: str | None) -> bool:
    """Whether a corpus has a tag for each word: because the user says so, or because of its name or suffix.

    >>> is_tagged("talks.conll", None), is_tagged("talks.txt", None), is_tagged("talks.txt", "tags")
    (True, False, True)
    """
    if task not in (None, "tags", "classes"):
        raise ClassifierError(f"task {task!r} is not one of classes, tags")
    if task is not None or corpus == OWN:
        return task != "classes"
    paths = list(corpus.values()) if isinstance(corpus, Mapping) else [corpus]
    for path in (Path(corpora.without_secrets(x)) for x in paths if isinstance(x, str | Path)):
        names = [path, *path.iterdir()] if path.is_dir() else [path]
        if any(name.suffix.lower() in SUFFIXES for name in names):
            return True
    return False


def load_tags(corpus: Any, options: Mapping[str, Any], names: Sequence[str] | None = None) -> Task:
    """Load tagged sentences as a task.

    Args:
        corpus: "entities", or what `tagging.load` reads.
        options: of `tagging.load`.
        names: the tags of a model, in its order; by default those of the corpus.

    Raises:
        ClassifierError: the corpus cannot be used, or has a type of entity that the model does not know.
    """
    known = {"dev_share", "test_share", "seed", "scheme", "word_column", "tag_column"}
    if unfit := sorted(set(options) - known):
        raise ClassifierError(f"{unfit[0]} is not for tagged words; leave it out")
    try:
        splits = tagging.load(corpora.DATA / OWN if corpus == OWN else local_paths(corpus), **options)
        names = names or tagging.tag_names(tagging.entity_types(splits))
    except tagging.TagError as error:
        raise ClassifierError(str(error)) from error
    ids = {name: i for i, name in enumerate(names)}
    for split, sentences in splits.items():
        if unknown := sorted({tag for sentence in sentences for tag in sentence.tags} - set(ids)):
            raise ClassifierError(f"{split} has the tag {unknown[0]}, which the model does not know; remove it")
    rows = {
        split: Rows([x.words for x in sentences], [[ids[tag] for tag in x.tags] for x in sentences], [], [], [])
        for split, sentences in splits.items()
    }
    return Task(rows, list(names), several=False, tags=True)


def local_paths(corpus: Any) -> Any:
    """The corpus as `tagging.load` reads it: with the paths of local copies of files that are given by address."""
    if isinstance(corpus, Mapping):
        return {split: corpora.local_path(path) for split, path in corpus.items()}
    return corpora.local_path(corpus)


def tag_facts(task: Task) -> Iterator[str]:
    """Yield sentences about the size of the splits."""
    sizes = ", ".join(f"{len(rows.texts):,} sentences in {split}" for split, rows in task.splits.items())
    types = ", ".join(name.removeprefix("B-") for name in task.names if name.startswith("B-"))
    yield f"{sizes}; entities: {types}"
    known = {tuple(words) for words in task.splits["train"].texts}
    for split, rows in task.splits.items():
        if split != "train" and (repeated := sum(tuple(words) in known for words in rows.texts)):
            yield f"{repeated:,} sentences of {split} are also in train, word for word"


def per_sentence(values: Any, rows: Rows) -> Iterator[Any]:
    """Divide what is known of all words, in order, among the sentences."""
    start = 0
    for words in rows.texts:
        yield values[start : start + len(words)]
        start += len(words)


def decoded(scores: Any, rows: Rows, names: Sequence[str]) -> list[list[str]]:
    """Return the tags of each sentence, from logits or logarithms of probabilities [words of all sentences, tags]."""
    return [tagging.decode(part, names) for part in per_sentence(scores, rows)]


def gold_tags(rows: Rows, names: Sequence[str]) -> list[list[str]]:
    """Return the tags of each sentence as in the data."""
    return [[names[i] for i in labels] for labels in rows.labels]


def tags_report(
    split: str, rows: Rows, probabilities: NDArray[Any], names: Sequence[str], train: Rows | None = None
) -> Report:
    """Return the report of a model that tags words. As `single_label_report`, with a list of names as the baseline."""
    gold = gold_tags(rows, names)
    found = {"this classifier": decoded(np.log(probabilities.clip(1e-12)), rows, names)}
    if train is not None:
        found[LIST_OF_NAMES] = find_names(train, rows, names)
    scores = pd.DataFrame({model: scores_of(gold, tags) for model, tags in found.items()}).T
    drawn = tagging.draw_entity_f1(gold, list(found.values()))  # [draws, models]
    low, high = np.quantile(drawn[:, 0], [0.025, 0.975])
    scores["entity F1, from"], scores["entity F1, to"] = None, None
    scores.loc["this classifier", ["entity F1, from", "entity F1, to"]] = low, high
    verdict = ""
    if train is not None:
        difference = scores["entity F1"]["this classifier"] - scores["entity F1"][LIST_OF_NAMES]
        verdict = compared(difference, *np.quantile(drawn[:, 0] - drawn[:, 1], [0.025, 0.975]))
    per_class = tagging.entity_scores(gold, found["this classifier"]).drop(index="all")
    listed = mistakes(rows, gold, found["this classifier"], probabilities, names)
    return Report(split, len(rows.texts), scores, per_class, None, listed, verdict)


def scores_of(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> dict[str, float]:
    """Return the scores of one model."""
    whole = tagging.entity_scores(gold, predicted).loc[["all"], ["f1", "precision", "recall"]]
    ((f1, precision, recall),) = whole.to_numpy().tolist()
    accuracy = tagging.token_scores(gold, predicted)["accuracy"]
    return {"entity F1": f1, "precision": precision, "recall": recall, "token accuracy": accuracy}


def find_names(train: Rows, rows: Rows, names: Sequence[str]) -> list[list[str]]:
    """Return the tags that a list of the entities in train gives: longest first, each with its most frequent type."""
    counts: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for words, tags in zip(train.texts, gold_tags(train, names), strict=True):
        for start, stop, entity_type in tagging.entities(tags):
            counts[tuple(words[start:stop])][entity_type] += 1
    longest = max(map(len, counts), default=0)
    tagged = []
    for words in rows.texts:
        found, position = [], 0
        while position < len(words):
            lengths = range(min(longest, len(words) - position), 0, -1)
            length = next((n for n in lengths if tuple(words[position : position + n]) in counts), 0)
            if length:
                entity_type = counts[tuple(words[position : position + length])].most_common(1)[0][0]
                found.append(tagging.Entity(position, position + length, entity_type))
            position += max(1, length)
        tagged.append(tagging.tags_of(len(words), found))
    return tagged


def compared(difference: float, low: float, high: float) -> str:
    """Say what the difference to a list of names means. As `report.compared`.

    >>> compared(0.3, 0.25, 0.34)
    'It has 30.0 points of entity F1 more than a list of the names in train (95 % interval 25.0 to 34.0).'
    """
    points, interval = 100 * difference, f"(95 % interval {100 * low:.1f} to {100 * high:.1f})"
    if low > 0:
        return f"It has {points:.1f} points of entity F1 more than a list of the names in train {interval}."
    advice = "Look for wrong tags, get more sentences, or use the list."
    return (
        f"It is not certain to be better than a list of the names in train: {points:+.1f} points {interval}. {advice}"
    )


def mistakes(
    rows: Rows, gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], probabilities: NDArray[Any],
    names: Sequence[str],
) -> pd.DataFrame:  # fmt: skip
    """Return the sentences with the most confident wrong tags."""
    ids = {name: i for i, name in enumerate(names)}
    wrong = []
    each = zip(rows.texts, gold, predicted, per_sentence(probabilities, rows), strict=True)
    for words, right, given, shares in each:
        sure = [float(shares[i, ids[tag]]) for i, tag in enumerate(given) if tag != right[i]]
        if sure:
            wrong.append((max(sure), " ".join(words), listed(words, right), listed(words, given)))
    wrong.sort(key=lambda row: -row[0])
    columns = ["probability", "text", "label", "predicted"]
    frame = pd.DataFrame(itertools.islice(wrong, NUM_MISTAKES), columns=columns)
    return frame[["text", "label", "predicted", "probability"]].round({"probability": 3})


def listed(words: Sequence[str], tags: Sequence[str]) -> str:
    """Return the entities of a sentence as text.

    >>> listed(["Ana", "Lobo", "left"], ["B-PER", "I-PER", "O"])
    'Ana Lobo (PER)'
    """
    return "; ".join(f"{' '.join(words[start:stop])} ({kind})" for start, stop, kind in tagging.entities(tags)) or "-"
