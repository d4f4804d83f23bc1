"""Find the columns with the texts and the labels where the user names none: only if there is one sensible reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .arguments import names_of
from .errors import CorpusError, listing
from .labels import FRACTION, NUMBER
from .readers import Table

# What such columns are called in public data sets
TEXT_NAMES = "text sentence review utterance comment content message tweet document body question news phrase query"
LABEL_NAMES = "label labels category class sentiment emotion intent topic stars target polarity tag"
MAX_CLASSES = 200  # a column with more different cells is none of classes, unless the user says so
SAMPLE = 2000  # rows that are looked at

Columns = str | Sequence[str]


def choose(table: Table, text: Columns | None, label: Columns | None) -> tuple[list[str], str | list[str]]:
    """Return the columns with the texts (one, or two for pairs) and the column or columns with the labels.

    Args:
        table: the train split. What is guessed is kept in its `guessed`.
        text: a column, or two for pairs of texts; None guesses one.
        label: a column, or several that contain 0 or 1 for a class each; None guesses one.
    """
    if text is None:
        text = the_only("text", table, TEXT_NAMES, is_text_column)
    texts = [text] if isinstance(text, str) else names_of("text", text)
    if len(texts) > 2:
        raise CorpusError(f"text={texts} are {len(texts)} columns; pass one, or two for pairs of texts")
    if label is None:
        label = the_only("label", table, LABEL_NAMES, is_label_column, besides=texts)
    labels = label if isinstance(label, str) else names_of("label", label)
    both = [name for name in texts if name in ([labels] if isinstance(labels, str) else labels)]
    if both or len(set(texts)) < len(texts):
        raise CorpusError(
            f"the column {(both or texts)[0]!r} is named twice; pass different columns as text= and label="
        )
    return texts, labels


def the_only(
    argument: str, table: Table, usual: str, fits: Callable[[Sequence[Any]], bool], besides: Sequence[str] = ()
) -> str:
    """Return the column of the argument's name, else the only one with a usual name, else the only one that fits."""
    names = [name for name in table.columns if name not in besides]
    if argument in names:
        return argument
    named = [name for name in names if name.casefold() in usual.split()]
    fitting = [name for name in names if fits(table.columns[name][:SAMPLE])]
    candidates = named or fitting
    if len(candidates) == 1:
        table.guessed[argument] = candidates[0]
        return candidates[0]
    found = f"{', '.join(map(repr, candidates))} could all be it" if candidates else "no other column looks like it"
    raise CorpusError(
        f"{table.file}: no column {argument!r}, and {found}; the columns are {listing(table.columns)}; pass "
        f"{argument}= with the name of one, and columns= if there is no header"
    )


def is_text_column(cells: Sequence[Any]) -> bool:
    """Return whether most cells are different texts: with spaces, or in a script that has none.

    >>> is_text_column(["so so", "很好吃", "well done"]), is_text_column(["id/1", "id/2", "id/3"])
    (True, False)
    """
    texts = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
    prose = [cell for cell in texts if len(cell.split()) > 1 or not cell.isascii()]
    return len(set(texts)) > len(cells) / 2 and len(prose) > len(cells) / 2


def is_label_column(cells: Sequence[Any]) -> bool:
    """Return whether a column has few different cells, which are names or whole numbers, or lists of such.

    >>> is_label_column(["1", "2", "1", "1"]), is_label_column(["0.5", "0.1", "0.5", "0.1"])
    (True, False)
    """
    found = [str(cell).strip() for cell in cells if cell is not None]
    distinct = set(found)
    if any(isinstance(cell, dict) for cell in cells) or not 2 <= len(distinct) <= min(MAX_CLASSES, len(cells) / 2):
        return False
    return not (all(map(NUMBER.fullmatch, distinct)) and any(map(FRACTION.search, distinct)))
