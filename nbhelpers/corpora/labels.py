"""From the labels of the train split to classes: their names and ids, what no classifier can learn, and what looks odd.

Labels that cannot be classes raise CorpusError. Labels that may be intended only get a note, which `describe` shows.
Who passes `labels` has looked at the classes, so neither is done then.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .arguments import names_of
from .errors import CorpusError, place, require_distinct
from .normalizing import normalize
from .readers import Table

NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
FRACTION = re.compile(r"\.[0-9]*[1-9]|e-", re.IGNORECASE)
MISSING = {"nan", "na", "n/a", "#n/a", "null", "none", "nil", "missing"}  # how programs write a missing value
# Marks that people write in one row and leave out in another; not those that tell "C" from "C++", or "-1" from "1"
MARKS = re.compile(r"""[\s_"'`!?:;()\[\]{}*/\\|~]|(?<![0-9])[.,]|[.,](?![0-9])|(?<=[^\W\d_])-(?=[^\W\d_])""")
FEW_ROWS = 5  # with fewer, a file is an example, in which each row may have a class of its own
MAX_EXAMPLES = 3  # a note about every odd label would make the table of `describe` unreadable
MAX_TYPOS = 3  # rows; of a label with more, somebody meant it
MAX_CLASSES = 12  # more need not be a mistake, if there are enough rows for them

Labels = Sequence[str | int] | Mapping[Any, str]


def require_no_header_label(table: Table, column: str, found: Sequence[str]) -> None:
    """Raise CorpusError if only the first row of a file without a header has a label that is not a number."""
    # In a file with a header, the first record is row 2 or later; an object of JSON Lines has no header
    if table.rows[0] != 1 or table.file.lower().endswith(".jsonl") or len(found) < 2:
        return
    numbers = [NUMBER.fullmatch(label) is not None for label in found]
    if not numbers[0] and all(numbers[1:]):
        fault = f"{column} {found[0]!r:.60} is the only one that is not a number, so the row is probably a header"
        raise CorpusError(f"{place(table.file, table.rows[0])}: {fault}; leave out columns=, or delete the row")


def require_classes(table: Table, column: str, found: Sequence[str]) -> None:
    """Raise CorpusError if the labels are measurements or ids of the rows, from which no classifier can be trained."""
    if all(NUMBER.fullmatch(label) for label in found):
        for row, label in zip(table.rows, found, strict=True):
            if FRACTION.search(label):
                fault = f"{column} {label!r:.60} is a measurement and not a class"
                advice = "turn the numbers into a few classes, or pass labels=[...] if each number is a class"
                raise CorpusError(f"{place(table.file, row)}: {fault}; {advice}")
    if len(set(found)) == len(found) >= FEW_ROWS:
        fault = f"each of the {len(found)} rows has its own {column}"
        advice = "pass label= with the column of the classes, or labels=[...] if this is intended"
        raise CorpusError(f"{table.file}: {fault}; {advice}")


def label_notes(column: str, found: Sequence[str]) -> list[str]:
    """Return notes about labels that are perhaps a mistake.

    >>> label_notes("label", ["pos", "Pos", "neg", "nan", "neg"])
    ["label: 'Pos', 'pos' differ only in case or punctuation", "label: 'nan' may stand for a missing value"]
    """
    counts = Counter(found)
    distinct, same = sorted(counts), alike(counts)
    notes = [f"{examples(sorted(group))} differ only in case or punctuation" for group in same[:MAX_EXAMPLES]]
    rare = [label for label in distinct if counts[label] <= MAX_TYPOS and not any(label in group for group in same)]
    typos = {label: meant for label in rare if (meant := probable_label(label, counts))}
    notes += [f"{label!r:.40} may be a typo of {meant!r:.40}" for label, meant in list(typos.items())[:MAX_EXAMPLES]]
    if missing := [label for label in distinct if label.casefold() in MISSING]:
        notes.append(f"{examples(missing)} may stand for a missing value")
    if several := lists_of_labels(distinct):
        notes.append(f"{examples(several)} may be several labels in one cell")
    if any("." in label for label in distinct) and all(map(NUMBER.fullmatch, distinct)):
        notes.append(f"{examples(distinct)} are written as decimal numbers")
    many = len(counts) > MAX_CLASSES and len(found) < 10 * len(counts)
    if many or len(counts) == len(found) > 2:
        notes.append(f"{len(counts)} classes in {len(found)} rows")
    elif len(found) >= 10 and (single := [label for label in rare if counts[label] == 1 and label not in typos]):
        notes.append(f"only one row for {examples(single)}")
    return [f"{column}: {note}" for note in notes]


def probable_label(label: str, counts: Mapping[str, int]) -> str | None:
    """Return the frequent label of which a rare one is probably a typo; None if there is none.

    >>> counts = {"Billing": 90, "biling": 1, "level 1": 60, "level 2": 3}
    >>> probable_label("biling", counts), probable_label("level 2", counts)
    ('Billing', None)
    """
    usual = {other.casefold(): other for other, count in counts.items() if count >= 10 * counts[label]}
    digits = re.sub("[^0-9]", "", label)
    near = difflib.get_close_matches(label.casefold(), usual, n=1, cutoff=0.85)
    # Names of classes that differ in their numbers are no typos
    return usual[near[0]] if near and digits == re.sub("[^0-9]", "", near[0]) else None


def examples(labels: Sequence[str]) -> str:
    """Return the first labels in quotation marks, and how many more there are.

    >>> examples(["a", "b", "c", "d"])
    "'a', 'b', 'c' and 1 more"
    """
    listing = ", ".join(f"{label!r:.40}" for label in labels[:MAX_EXAMPLES])
    return listing if len(labels) <= MAX_EXAMPLES else f"{listing} and {len(labels) - MAX_EXAMPLES} more"


def alike(labels: Iterable[str]) -> list[list[str]]:
    """Return the groups of labels that are the same but for case, punctuation and characters that nobody sees.

    >>> alike(["C", "C++", "not happy", "Not_happy"])
    [['not happy', 'Not_happy']]
    """
    groups: dict[str, list[str]] = {}
    for label in labels:
        plain = MARKS.sub("", unicodedata.normalize("NFKC", normalize(label)).casefold())
        groups.setdefault(plain or label, []).append(label)
    return [group for group in groups.values() if len(group) > 1]


def lists_of_labels(labels: Iterable[str]) -> list[str]:
    """Return the labels that look like a list of labels: without a space, or a part of them is also in another label.

    >>> lists_of_labels(["joy", "anger", "joy, anger", "1,2,5", "Paris, Texas"])
    ['1,2,5', 'joy, anger']
    """
    parts = {label: [part.strip(" '\"[](){}") for part in re.split("[,;|]", label)] for label in labels}
    counts = Counter(part for found in parts.values() for part in set(found))
    shared = {label for label, found in parts.items() if any(part and counts[part] > 1 for part in found)}
    return sorted(label for label, found in parts.items() if len(found) > 1 and (label in shared or " " not in label))


def class_names(
    table: Table, column: str, found: Sequence[str], labels: Labels | None
) -> tuple[list[str], dict[str, int]]:
    """Return the names of the classes, and the id of each label, as the labels are written in the file."""
    if isinstance(labels, Mapping):
        names, ids = mapped_names(labels)
        # A dict from ids to names, such as id2label of transformers, also fits a file that has the names
        fits = not set(found) & set(ids) and set(found) <= set(names)
        return names, {name: i for i, name in enumerate(names)} if fits else ids
    distinct = sorted(set(found))
    numbers = all(re.fullmatch("[0-9]{1,9}", label) for label in distinct)
    if labels is None:
        names = names_in_file(table.file, column, distinct) if numbers else distinct
    else:
        names = names_of("labels", labels)
    require_distinct(names, "labels")
    # Numbers in the file that are not among `labels` are ids, and `labels` gives their names
    positions = numbers and not set(distinct) <= set(names)
    if positions and {int(label) for label in distinct} == set(range(1, len(names) + 1)):
        table.notes.append(f"{column}: ids run from 1, so {distinct[0]} is {names[0]!r:.40}")
        return names, {str(i): number for number, i in enumerate(range(1, len(names) + 1))}
    if positions and "0" not in distinct:
        first = min(distinct, key=int)
        fault = f"no {column} is 0, so {names[0]!r:.40} may be the name of {column} {first}"
        advice = f"pass the name of each id, as in labels={{{first}: {names[0]!r:.40}, ...}}"
        raise CorpusError(f"{table.file}: {fault}; {advice}")
    return names, {str(i) if positions else name: i for i, name in enumerate(names)}


def mapped_names(labels: Mapping[Any, str]) -> tuple[list[str], dict[str, int]]:
    """Return the names of the classes, and the id of each label, from a dict of labels in the file and their classes.

    >>> mapped_names({2: "good", 1: "bad", 3: "good"})
    (['bad', 'good'], {'1': 0, '2': 1, '3': 1})
    """
    keys, values = names_of("labels", list(labels)), names_of("labels", list(labels.values()))
    require_distinct(keys, "labels")
    pairs = list(zip(keys, values, strict=True))
    if all(re.fullmatch("[0-9]{1,9}", key) for key in keys):
        pairs.sort(key=lambda pair: int(pair[0]))  # so that ids which run from 0 stay as they are
    names = list(dict.fromkeys(name for _, name in pairs))
    return names, {key: names.index(name) for key, name in pairs}


def names_in_file(file: str, column: str, distinct: Sequence[str]) -> list[str]:
    """Return the names of classes that are numbers. They must run from 0, because names are counted from there."""
    names = [str(i) for i in range(len(distinct))]  # "10" comes after "9", not after "1" as in `distinct`
    if set(distinct) != set(names):
        listing = ", ".join(sorted(distinct, key=int))
        advice = "pass labels=[...] with a name for each id from 0 on, or with these numbers in the order you want"
        if "0" not in distinct:
            first = min(distinct, key=int)
            advice = (
                f"pass labels={{{first}: ...}} with a name for each id, or labels=[...] with these numbers in order"
            )
        raise CorpusError(f"{file}: {column} ids {listing:.100} do not run from 0 to {len(distinct) - 1}; {advice}")
    return names
