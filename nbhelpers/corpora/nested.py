"""Dialogues that are one record each, with a list of turns, become a table with a row for each turn."""

from __future__ import annotations

from typing import Any

from .errors import CorpusError, place
from .readers import Table


def turns_as_rows(table: Table, dialogue: str | None) -> Table:
    """Return a table with a row for each turn.

    Two forms are known: a column with a list of objects, one for each turn; and several columns with lists of the same
    length, such as one of texts and one of labels. The other columns are repeated in each turn. A table without lists
    is returned as it is.

    Args:
        table: the records.
        dialogue: the column that names the dialogue; without one, the column "dialogue" gets the number of the record.
    """
    nested = [name for name, cells in table.columns.items() if cells and all(isinstance(x, list) for x in cells)]
    objects = [
        name for name in nested if all(isinstance(turn, dict) for turns in table.columns[name] for turn in turns)
    ]
    if not nested:
        return table
    rows: list[int | str] = []
    turns: list[dict[str, Any]] = []
    for position, row in enumerate(table.rows):
        record = {name: cells[position] for name, cells in table.columns.items()}
        of_dialogue = {name: cell for name, cell in record.items() if name not in nested}
        if dialogue is None:
            of_dialogue["dialogue"] = row
        if objects:
            found = record[objects[0]]
        else:
            lengths = {name: len(record[name]) for name in nested}
            if len(set(lengths.values())) > 1:
                counts = ", ".join(f"{name} has {length}" for name, length in lengths.items())
                raise CorpusError(
                    f"{place(table.file, row)}: the lists differ in length ({counts}); correct the record"
                )
            found = [
                dict(zip(nested, cells, strict=True)) for cells in zip(*(record[name] for name in nested), strict=True)
            ]
        turns += [{**of_dialogue, **turn} for turn in found]
        rows += [row] * len(found)
    names = dict.fromkeys(name for turn in turns for name in turn)
    columns = {name: [turn.get(name) for turn in turns] for name in names}
    if not columns:
        raise CorpusError(f"{table.file} has no dialogue with a turn; check the file")
    return Table(table.file, rows, columns, table.notes, table.dropped)
