"""The columns of dialogues: which they are, and what their cells mean."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from .columns import LABEL_NAMES, TEXT_NAMES, is_label_column, is_text_column, the_only
from .errors import CorpusError, listing, place
from .readers import Table
from .validation import convert_cells, label_of_cell, text_of_cell, whole_number

MELD_LAYOUT = {
    "text": "Utterance",
    "speaker": "Speaker",
    "label": "Emotion",
    "sentiment": "Sentiment",
    "dialogue": "Dialogue_ID",
    "turn": "Utterance_ID",
}
# What such columns are called elsewhere
DIALOGUE_NAMES = "dialogue_id dialog dialog_id conversation conversation_id conv_id scene scene_id session session_id"
TURN_NAMES = "turn_id turn_index utterance_id utterance_idx position"
SPEAKER_NAMES = "speakers speaker_id author role who from sender"


def meld_layout(table: Table) -> dict[str, str]:
    """Return role -> column in MELD's format. Not every corpus in this format has sentiments."""
    return {role: name for role, name in MELD_LAYOUT.items() if role != "sentiment" or name in table.columns}


def choose_columns(table: Table, given: Mapping[str, str | None]) -> dict[str, str]:
    """Return role -> column: what the user named, and what the others can only be; guesses are kept in `guessed`."""
    layout = {role: column for role, column in given.items() if column is not None}
    by_name = {"dialogue": DIALOGUE_NAMES, "turn": TURN_NAMES, "speaker": SPEAKER_NAMES}
    for role, usual in by_name.items():
        named = [name for name in table.columns if name.casefold() == role]
        named = named or [name for name in table.columns if name.casefold() in usual.split()]
        if role not in layout and len(named) == 1:
            layout[role] = named[0]
    if "dialogue" not in layout:
        raise CorpusError(
            f"{table.file}: no column tells the dialogues apart; the columns are {listing(table.columns)}; pass "
            "dialogue="
        )
    for role, usual, fits in (("text", TEXT_NAMES, is_text_column), ("label", LABEL_NAMES, is_label_column)):
        if role not in layout:
            layout[role] = the_only(role, table, usual, fits, besides=list(layout.values()))
    table.guessed.update({role: column for role, column in layout.items() if given[role] is None and role != column})
    return layout


def checks_of(layout: Mapping[str, str], max_chars: int) -> dict[str, Any]:
    """Return column -> the function that raises CellFault for a faulty cell."""
    text = partial(text_of_cell, max_chars=max_chars)
    by_role: dict[str, Callable[[Any], Any]] = {"text": text, "speaker": lambda cell: text(plain_name(cell))}
    by_role |= {"label": label_of_cell, "sentiment": label_of_cell, "dialogue": label_of_cell, "turn": whole_number}
    return {column: by_role[role] for role, column in layout.items()}


def dialogue_numbers(table: Table, column: str) -> list[int]:
    """Return the number of each row's dialogue: the one in the file, or, of names, numbers in the order of the file."""
    names = convert_cells(table, column, label_of_cell)
    if column == MELD_LAYOUT["dialogue"] or all(re.fullmatch("[0-9]{1,18}", name) for name in names):
        return convert_cells(table, column, whole_number)
    numbers = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]


def positions(dialogues: Sequence[int]) -> list[int]:
    """Return the position of each row in its dialogue, from 0.

    >>> positions([7, 7, 8, 7])
    [0, 1, 0, 2]
    """
    seen: Counter[int] = Counter()
    result = []
    for number in dialogues:
        result.append(seen[number])
        seen[number] += 1
    return result


def plain_name(cell: Any) -> Any:
    """Return the name in a list with one name, as some data sets write speakers; other cells as they are.

    >>> plain_name("['Ann Lee']"), plain_name(["Bo"]), plain_name("Cy")
    ('Ann Lee', 'Bo', 'Cy')
    """
    if isinstance(cell, str) and re.fullmatch(r"\[\s*(['\"]).*\1\s*\]", cell.strip()):
        try:
            cell = ast.literal_eval(cell.strip())
        except (ValueError, SyntaxError):
            return cell
    return ", ".join(map(str, cell)) if isinstance(cell, list) else cell


def order_of_turns(table: Table, dialogues: list[int], utterances: list[int]) -> list[int]:
    """Return the positions of the turns, sorted by dialogue and utterance; a pair that occurs twice is an error."""
    first: dict[tuple[int, int], int] = {}
    for i, turn in enumerate(zip(dialogues, utterances, strict=True)):
        if first.setdefault(turn, i) != i:
            fault = f"dialogue {turn[0]}, utterance {turn[1]} is also in row {table.rows[first[turn]]}"
            raise CorpusError(f"{place(table.file, table.rows[i])}: {fault}; renumber or delete one of them")
    return [first[turn] for turn in sorted(first)]
