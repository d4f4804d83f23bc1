"""The exercise of lesson 6: the window around a turn."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

IDS = [4, 4, 4, 4, 7, 7, 9, 9, 9]  # the dialogue of each row


def window(answer: Callable[[int, list[int], int, int], Any]) -> str:
    """The rows of a turn's window: up to `past` before it and `future` after it, all of the same dialogue."""
    for i, past, future in itertools.product(range(len(IDS)), (0, 1, 3, 50), (0, 2, 50)):
        rows = list(answer(i, IDS, past, future))
        nearby = range(max(0, i - past), min(len(IDS), i + future + 1))
        right = [j for j in nearby if IDS[j] == IDS[i]]
        if rows != right:
            return f"window({i}, {IDS}, {past}, {future}) {fault(rows, right, i, future)}"
    return ""


def fault(rows: list[int], right: list[int], i: int, future: int) -> str:
    """What is wrong with the rows of a window, as the end of a sentence."""
    if i not in rows:
        return f"gives {rows}, which lacks row {i} itself."
    if any(j not in range(len(IDS)) for j in rows):
        return f"gives {rows}, but there are only rows 0 to {len(IDS) - 1}."
    if any(IDS[j] != IDS[i] for j in rows):
        return f"gives {rows}, with a turn of another dialogue."
    if max(rows) > i + future:
        return f"gives {rows}, with a future turn that nobody asked for."
    return f"should give {right}, not {rows}."
