"""Make a dev or a test split from the train split, so that nothing leaks from one into the other."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from .errors import CorpusError
from .readers import Table


class Splitting(NamedTuple):
    """Which splits are to be made. The fields are the arguments of `load_table`."""

    dev_share: float = 0.0
    test_share: float = 0.0
    group: str | None = None
    seed: int = 0

    @property
    def is_wanted(self) -> bool:
        return bool(self.dev_share or self.test_share)

    @property
    def group_columns(self) -> list[str]:
        return [self.group] if self.group else []


def make_splits(
    tables: dict[str, Table], splitting: Splitting, labels: Sequence[Hashable], groups: Sequence[Hashable]
) -> dict[str, Table]:
    """Return the tables with the missing splits, which are cut off from train. A split that is there stays as it is.

    Args:
        tables: split -> table, among them train.
        splitting: the share of train's rows that each new split gets, and the seed of the choice.
        labels: of each row of train. Each class gives the same share of its rows.
        groups: of each row of train. Rows of the same group stay together.
    """
    train = tables["train"]
    left, made = list(range(len(train.rows))), dict(tables)
    for split, share in (("dev", splitting.dev_share), ("test", splitting.test_share)):
        if not share or split in tables:
            continue
        wanted = share * len(train.rows) / len(left)  # the share is one of all rows, and some of them may be gone
        chosen = {
            left[i] for i in choose_rows([labels[i] for i in left], [groups[i] for i in left], wanted, splitting.seed)
        }
        left = [row for row in left if row not in chosen]
        if not chosen or not left:
            grouped = f" in {len(set(groups))} groups" if len(set(groups)) < len(groups) else ""
            fault = f"{len(train.rows)} rows{grouped} are too few for a {split} split of {share:.0%}"
            advice = f"add rows, pass a file with the {split} split, or another {split}_share="
            raise CorpusError(f"{train.file}: {fault}; {advice}")
        made[split] = train.take(sorted(chosen))
    made["train"] = train.take(left)
    return {split: made[split] for split in dict.fromkeys(("train", "dev", "test", *made)) if split in made}


def choose_rows(labels: Sequence[Hashable], groups: Sequence[Hashable], share: float, seed: int) -> list[int]:
    """Return the positions of a share of the rows: the same share of each class, and only whole groups.

    A group counts as a member of its most frequent class. Of a class with few rows, none may be chosen.

    >>> sorted(choose_rows("aaaabbbb", range(8), 0.5, seed=0)), choose_rows("ab", [0, 0], 0.4, seed=0)
    ([0, 2, 4, 5], [])
    """
    rows_of_group: dict[Hashable, list[int]] = defaultdict(list)
    for row, group in enumerate(groups):
        rows_of_group[group].append(row)
    by_class: dict[Hashable, list[list[int]]] = defaultdict(list)
    for rows in rows_of_group.values():
        by_class[Counter(labels[row] for row in rows).most_common(1)[0][0]].append(rows)
    draw, chosen = random.Random(seed), []
    for members in by_class.values():
        draw.shuffle(members)
        wanted, taken = share * sum(map(len, members)), 0
        for rows in members:
            if taken + len(rows) / 2 <= wanted:  # as near to the share as whole groups allow
                chosen += rows
                taken += len(rows)
    return chosen
