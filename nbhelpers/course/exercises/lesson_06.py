"""The exercises of lesson 6: windows and their cost, the causal mask, and what context changed."""

from __future__ import annotations

import random
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, POSITIONS, TEXT, Kind, Unfit, plain, short, show_plainly


def window(i: int, dialogue_ids: list[int], past: int, future: int) -> list[int]:
    """The rows of a turn's window: up to `past` before it and `future` after it, all of the same dialogue."""
    nearby = range(max(0, i - past), min(len(dialogue_ids), i + future + 1))
    return [j for j in nearby if dialogue_ids[j] == dialogue_ids[i]]


def window_inputs(draw: random.Random) -> list[tuple[int, list[int], int, int]]:
    """Turns at the start, in the middle and at the end of dialogues of any length."""

    def some() -> tuple[int, list[int], int, int]:
        ids = [dialogue for dialogue in range(4, 8) for _ in range(draw.randint(1, 5))]
        return draw.randrange(len(ids)), ids, draw.choice((0, 1, 3, 50)), draw.choice((0, 0, 2, 50))

    ids = [4, 4, 4, 4, 7, 7, 9, 9, 9]
    return [
        (2, ids, 1, 0),
        (0, ids, 3, 0),
        (4, ids, 3, 2),
        (8, ids, 50, 50),
        (3, ids, 1, 2),
        *(some() for _ in range(30)),
    ]


def window_mistakes(i: int, dialogue_ids: list[int], past: int, future: int) -> dict[str, Any]:
    """What comes out when a condition is forgotten."""
    count = len(dialogue_ids)
    nearby = list(range(max(0, i - past), min(count, i + future + 1)))
    right = window(i, dialogue_ids, past, future)
    return {
        "There is a turn of another dialogue in it.": nearby,
        "The turn itself is missing.": [j for j in right if j != i],
        "There is one later turn too many.": window(i, dialogue_ids, past, future + 1),
        "There is one earlier turn too many.": window(i, dialogue_ids, past + 1, future),
        "The rows are not in order.": right[::-1],
        "Before the first row and after the last one there are no rows.": list(range(i - past, i + future + 1)),
    }


def causal_mask(turns: list[int]) -> list[list[bool]]:
    """Which tokens each token may attend to: those of its own turn and of earlier turns.

    Args:
        turns: the turn that each token belongs to.
    """
    return [[key <= query for key in turns] for query in turns]


def mask_inputs(draw: random.Random) -> list[tuple[list[int]]]:
    """Tokens of one to four turns."""
    some = [([turn for turn in range(1, draw.randint(2, 5)) for _ in range(draw.randint(1, 3))],) for _ in range(20)]
    return [([1, 1, 2],), ([1],), ([1, 2, 2, 3],), *some]


def mask_mistakes(turns: list[int]) -> dict[str, Any]:
    """What comes out for other masks."""
    positions = range(len(turns))
    return {
        "Lines and columns are exchanged: a line is the token that attends.": [
            [key >= query for key in turns] for query in turns
        ],
        "A token may also attend to later tokens of its own turn.": [[j <= i for j in positions] for i in positions],
        "A token may also attend to its own turn.": [[key < query for key in turns] for query in turns],
        "A token may also attend to earlier turns.": [[key == query for key in turns] for query in turns],
    }


def read_mask(result: Any) -> list[list[bool]]:
    """A square of True and False; 1 and 0 are taken for them."""
    rows = plain(result)
    if not isinstance(rows, list) or not all(isinstance(row, list) and len(row) == len(rows) for row in rows):
        raise Unfit(f"a list with a list for each token was expected, not {short(result)}")
    if any(cell not in (0, 1) for row in rows for cell in row):
        raise Unfit("only True and False can be in it")
    return [[bool(cell) for cell in row] for row in rows]


def most_moved(alone: Any, with_context: Any, names: list[str]) -> str:
    """The class that gains most probability from the context."""
    gains = [after - before for before, after in zip(plain(alone), plain(with_context), strict=True)]
    return str(names[gains.index(max(gains))])


def moved_mistakes(alone: Any, with_context: Any, names: list[str]) -> dict[str, str]:
    """Other classes that a learner may read from the picture."""
    before, after = plain(alone), plain(with_context)
    losses = [x - y for x, y in zip(before, after, strict=True)]
    right = most_moved(alone, with_context, names)
    known = {
        "This class loses most. The question is which one gains most.": str(names[losses.index(max(losses))]),
        "This is the most probable class without context.": str(names[before.index(max(before))]),
        "This is the most probable class with context, but another one gained more.": str(
            names[after.index(max(after))]
        ),
    }
    return {words: name for words, name in known.items() if name != right}


EXERCISES = {
    "06-window": Exercise(
        POSITIONS,
        window,
        inputs=window_inputs,
        hints=(
            "First write the rows from i - past to i + future. Which of them do not exist?",
            "Begin at max(0, i - past) and stop at min(len(dialogue_ids), i + future + 1). Which rows are of another "
            "dialogue?",
            "Keep the rows j with dialogue_ids[j] == dialogue_ids[i].",
        ),
        because="Without the last condition, the first turns of a dialogue read the end of another one.",
        mistakes=window_mistakes,
    ),
    "06-cost": Exercise(
        NUMBER,
        sum(min(turn, 6) for turn in range(1, 11)),
        hints=(
            "Write down how many turns the windows of turns 1, 2 and 3 have.",
            "The windows of turns 1 to 5 have 1 to 5 turns. How many have those of turns 6 to 10?",
            "1 + 2 + 3 + 4 + 5, and then five windows with six turns each.",
        ),
        because="One pass over the whole dialogue reads ten turns.",
        mistakes=lambda: {
            "The first windows are shorter: the one of turn 1 has no earlier turn.": 60,
            "Each window also has the turn itself, and the first windows are shorter.": 50,
            "Each window also has the turn itself.": 35,
            "A window has at most five earlier turns, so the last ones are no longer than that of turn 6.": 55,
            "That is the number for one pass over the whole dialogue.": 10,
        },
    ),
    "06-mask": Exercise(
        Kind(read_mask, list.__eq__, show_plainly),
        causal_mask,
        inputs=mask_inputs,
        hints=(
            "A line is a token that attends, a column a token that it may attend to.",
            "Compare the turn of the column with the turn of the line: is it the same, or an earlier one?",
            "[[key <= query for key in turns] for query in turns]",
        ),
        because="One pass then gives each turn what it would get if the dialogue ended there.",
        mistakes=mask_mistakes,
    ),
    "06-moved": Exercise(
        TEXT,
        most_moved,
        hints=(
            "Compare the two bars of each class in the picture.",
            "For which class is the bar with context longer by the largest number of points?",
            "The line below the picture names the class that moves most. Is its bar longer with context, or shorter?",
        ),
        because="Read the turns before it again: which of them could have told the model?",
        mistakes=moved_mistakes,
    ),
}
