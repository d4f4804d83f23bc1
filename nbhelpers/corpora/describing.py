"""Look at what was loaded: the facts of a corpus as a table, and what loading changed."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, List

from .arguments import shown
from .errors import CorpusError
from .normalizing import RULES

MAX_CLASSES = 12  # more would make the table of `describe` too long to read
REPORT = {
    "file",
    "notes",
    "normalized",
    "dropped",
    "guessed",
}  # what `building.to_dataset` notes; other descriptions may be JSON as well


def loading_report(dataset: Dataset) -> dict[str, Any]:
    """Return a dict about a split: "file", "notes", texts that rules "normalized", rows "dropped", columns "guessed".

    The report is stored as JSON in `dataset.info.description`, so `map`, `select` and `save_to_disk` keep it. A data
    set that was not loaded by this unit has no report, and the result is {}.

    >>> loading_report(Dataset.from_dict({"text": ["made by hand"]}))
    {}
    """
    try:
        report = json.loads(dataset.info.description)
    except (TypeError, ValueError, RecursionError):  # a data set of other people may have any description, or None
        return {}
    return report if isinstance(report, dict) and set(report) == REPORT else {}


def loading_notes(report: Mapping[str, Any]) -> list[str]:
    """Return the notes in what `loading_report` gives, and a note about the columns that were guessed.

    >>> loading_notes({"notes": ["no header"], "guessed": {"text": "column 1"}})
    ['no header', "read with text='column 1'"]
    """
    guessed = ", ".join(f"{argument}={column!r}" for argument, column in report.get("guessed", {}).items())
    return [*report.get("notes", []), *([f"read with {guessed}"] if guessed else [])]


def describe(data: DatasetDict) -> pd.DataFrame:
    """Return a table of facts about a corpus, with one column for each split.

    The rows are the number of rows, dialogues, speakers, rows of each class, empty and repeated texts, and so on. With
    more than 12 classes, only the largest and the smallest are listed. "also in train" counts the rows whose text is
    also in the train split. "normalized" counts the texts that a rule changed, and "dropped" the faulty rows that were
    left out; `loading_report` has examples. "notes" names what was guessed and what may be a mistake, such as labels
    that differ only in case, and files of the folder that were not read.

    >>> from datasets import Features, Value
    >>> labels = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    >>> train = Dataset.from_dict({"text": ["a", "b", "b"], "label": [0, 1, 1]}, features=labels)
    >>> describe(DatasetDict(train=train)).loc[["rows", "label: pos", "repeated texts"], "train"].tolist()
    [3, 2, 1]
    """
    require_texts(data)
    facts: dict[str, dict[str, Any]] = {}
    reports = {split: loading_report(part) for split, part in data.items()}
    # A rule that changed nothing in any split would only make the table longer
    changed = [rule for rule in RULES if any(rule in report.get("normalized", {}) for report in reports.values())]
    kinds = dict.fromkeys(kind for report in reports.values() for kind in report.get("dropped", {}))
    known = set(data["train"]["text"]) if "train" in data else set()
    for split, part in data.items():
        texts, report = part["text"][:], reports[split]
        facts[split] = {"rows": len(part), **counts_of_columns(part)}
        facts[split]["empty texts"] = sum(not (text or "").strip() for text in texts)
        facts[split]["repeated texts"] = len(texts) - len(set(texts))
        facts[split]["also in train"] = "-" if split == "train" else sum(text in known for text in texts)
        for rule in changed:
            facts[split][f"normalized: {rule}"] = report.get("normalized", {}).get(rule, {"texts": 0})["texts"]
        for kind in kinds:
            facts[split][f"dropped: {kind}"] = report.get("dropped", {}).get(kind, {"rows": 0})["rows"]
        facts[split] |= {"file": report.get("file", "-"), "notes": "; ".join(loading_notes(report)) or "-"}
    return pd.DataFrame(facts, dtype=object)


def require_texts(data: Any) -> None:
    """Raise CorpusError unless `data` consists of splits with a column text."""
    if not isinstance(data, Mapping):
        advice = "pass what `load` returns, or DatasetDict(train=...) for one split"
        raise CorpusError(f"describe needs a DatasetDict, not {shown(data)}; {advice}")
    for split, part in data.items():
        if "text" not in part.features:
            fault = f"the split {split} has no column 'text'; its columns are {', '.join(part.features)}"
            raise CorpusError(f"{fault}; rename the column with the texts")


def counts_of_columns(part: Dataset) -> dict[str, Any]:
    """Return the number of dialogues and speakers, and the number of rows of each class."""
    counts: dict[str, Any] = {}
    for column, name in (("dialogue_id", "dialogues"), ("speaker", "speakers")):
        if column in part.features:
            counts[name] = len(set(part[column]))
    for column, feature in part.features.items():
        several = isinstance(feature, List) and isinstance(feature.feature, ClassLabel)
        if several or isinstance(feature, ClassLabel):
            feature = feature.feature if several else feature
            found = Counter(itertools.chain(*part[column][:]) if several else part[column][:])
            counts |= counts_of_classes(column, {name: found[i] for i, name in enumerate(feature.names)})
    return counts


def counts_of_classes(column: str, counts: dict[str, int]) -> dict[str, Any]:
    """Return the number of rows of each class, or only the largest and the smallest class if there are many.

    >>> counts_of_classes("label", {"neg": 1, "pos": 2})
    {'label: neg': 1, 'label: pos': 2}
    """
    if len(counts) <= MAX_CLASSES:
        return {f"{column}: {name}": count for name, count in counts.items()}
    (largest, most), *_, (smallest, least) = sorted(counts.items(), key=lambda item: -item[1])
    return {
        f"{column}: classes": len(counts),
        f"{column}: largest": f"{largest} ({most})",
        f"{column}: smallest": f"{smallest} ({least})",
    }
