"""From a file, a folder or a dict of files to splits."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from .errors import TagError
from .files import CONLL, JSON_LINES, Sentence, read
from .schemes import entities

Splits = dict[str, list[Sentence]]
# CoNLL-2003 calls its dev split testa and its test split testb
NAMES = {
    "train": r"train(ing)?", "dev": r"dev(elopment)?|valid(ation)?|testa", "test": r"test(b)?"
}  # fmt: skip


def load(
    source: str | Path | Mapping[str, str | Path],
    *,
    dev_share: float = 0.0,
    test_share: float = 0.0,
    seed: int = 0,
    **options: Any,
) -> Splits:
    """Load a corpus of tagged sentences: split -> sentences, with their tags in IOB2.

    Args:
        source: a file, which becomes the train split; a folder with files such as train.conll, dev.conll and
            test.conll (or eng.train, eng.testa and eng.testb); or a dict from split to file.
        dev_share, test_share: the share of train that becomes a missing dev or test split. Equal sentences stay
            together.
        seed: of this choice.
        options: of `read`.

    Raises:
        TagError: there is no train split, or a file cannot be used.
    """
    if isinstance(source, Mapping):
        files = {split: Path(path) for split, path in source.items()}
    elif Path(source).is_dir():
        files = find_splits(Path(source))
    else:
        files = {"train": Path(source)}
    if "train" not in files:
        raise TagError(f"{source} has no train split; name a file train.conll or train.jsonl")
    splits = {split: read(path, **options) for split, path in files.items()}
    shares = {"dev": dev_share, "test": test_share}
    total, draw = len(splits["train"]), random.Random(seed)
    for split, share in shares.items():
        if share and split not in splits:
            splits["train"], splits[split] = divide(splits["train"], round(share * total), draw)
            if not splits[split] or not splits["train"]:
                raise TagError(f"{source}: {total} sentences are too few for a {split} split of {share:.0%}; add some")
    return {split: splits[split] for split in ("train", "dev", "test") if split in splits}


def find_splits(folder: Path) -> dict[str, Path]:
    """Return split -> file of a folder. Two files for one split raise TagError."""
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() not in (*CONLL, *JSON_LINES):
            continue
        words = re.split(r"[._-]", path.name.lower())
        for split, pattern in NAMES.items():
            if any(re.fullmatch(pattern, word) for word in words):
                if split in found:
                    raise TagError(f"{folder} has two files for {split}: {found[split].name} and {path.name}; move one")
                found[split] = path
                break
    return found


def divide(sentences: Sequence[Sentence], number: int, draw: random.Random) -> tuple[list[Sentence], list[Sentence]]:
    """Return the sentences that stay, and about `number` drawn ones. Equal sentences are in the same part."""
    different = list(dict.fromkeys(tuple(sentence.words) for sentence in sentences))
    count = Counter(tuple(sentence.words) for sentence in sentences)
    draw.shuffle(different)
    chosen: set[tuple[str, ...]] = set()
    left = number
    for words in different:
        if count[words] <= left:
            chosen.add(words)
            left -= count[words]
    parts = [[x for x in sentences if (tuple(x.words) in chosen) == wanted] for wanted in (False, True)]
    return parts[0], parts[1]


def entity_types(splits: Mapping[str, Sequence[Sentence]]) -> list[str]:
    """Return the entity types of a corpus, the most frequent in train first.

    Raises:
        TagError: there is none, or another split has a type that train lacks.
    """
    counts = {
        split: Counter(entity.type for sentence in sentences for entity in entities(sentence.tags))
        for split, sentences in splits.items()
    }
    types = [entity_type for entity_type, _ in counts["train"].most_common()]
    if not types:
        raise TagError("no entity is marked in train; check the tags")
    for split, found in counts.items():
        if unknown := sorted(set(found) - set(types)):
            raise TagError(f"{split} has entities of type {unknown[0]}, which train lacks; add some to train")
    return types


def describe(splits: Mapping[str, Sequence[Sentence]]) -> pd.DataFrame:
    """Return a table with a column per split: sentences, words, and the number of entities of each type."""
    columns = {}
    for split, sentences in splits.items():
        found = Counter(entity.type for sentence in sentences for entity in entities(sentence.tags))
        words = sum(len(sentence.words) for sentence in sentences)
        columns[split] = {"sentences": len(sentences), "words": words, **dict(found.most_common())}
    return pd.DataFrame(columns).fillna(0).astype(int)
