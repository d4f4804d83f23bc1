"""From the labels of the train split to classes: their names and ids, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .errors import CorpusError, place, require_distinct
from .readers import Table


def require_no_header_label(table: Table, column: str, found: Sequence[str]) -> None:
    """Raise CorpusError if only the first row of a file without a header has a label that is not a number."""
    # In a file with a header, the first record is row 2 or later; an object of JSON Lines has no header
    if table.rows[0] != 1 or table.file.lower().endswith(".jsonl") or len(found) < 2:
        return
    numbers = [re.fullmatch(r"[+-]?[0-9.]+", label) is not None for label in found]
    if not numbers[0] and all(numbers[1:]):
        fault = f"{column} {found[0]!r:.60} is the only one that is not a number, so the row is probably a header"
        raise CorpusError(f"{place(table.file, table.rows[0])}: {fault}; leave out columns=, or delete the row")


def class_names(
    table: Table, column: str, found: Sequence[str], labels: Sequence[str | int] | None
) -> tuple[list[str], dict[str, int]]:
    """Return the names of the classes, and the id of each label, as the labels are written in the file."""
    distinct = sorted(set(found))
    numbers = all(re.fullmatch("[0-9]{1,9}", label) for label in distinct)
    names = distinct if labels is None else [str(label) for label in labels]
    if labels is None and numbers:
        names = [str(i) for i in range(len(distinct))]  # "10" comes after "9", not after "1" as in `distinct`
        if set(distinct) != set(names):
            listing = ", ".join(sorted(distinct, key=int))
            advice = "pass labels=[...] with a name for each id from 0 on, or with these numbers in the order you want"
            raise CorpusError(
                f"{table.file}: {column} ids {listing:.100} do not run from 0 to {len(distinct) - 1}; {advice}"
            )
    require_distinct(names, "labels")
    # Numbers in the file that are not among `labels` are ids, and `labels` gives their names
    positions = numbers and not set(distinct) <= set(names)
    return names, {str(i) if positions else name: i for i, name in enumerate(names)}
