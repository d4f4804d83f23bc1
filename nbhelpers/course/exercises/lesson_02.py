"""The exercise of lesson 2: the share of padding in a batch."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from .hints import hint_for


def padding(answer: Callable[[list[int]], Any]) -> str:
    """The share of padding in one batch of texts of these lengths, all padded to the longest."""
    rng = random.Random(0)
    batches = [[3, 9], [5], [2, 2, 8], *([rng.randint(1, 40) for _ in range(7)] for _ in range(20))]
    for lengths in batches:
        result = answer(lengths)
        right = 1 - sum(lengths) / (len(lengths) * max(lengths))
        if not isinstance(result, int | float):
            return f"for {lengths} your function gives {result!r}; return a number, 0 for no padding."
        if not math.isclose(result, right, abs_tol=1e-6):
            hints = {
                1 - right: "this is the share of real tokens; padding is the rest.",
                100 * right: "right in percent; return a fraction between 0 and 1.",
            }
            rows = f"the batch has {len(lengths)} rows of {max(lengths)}"
            return hint_for(result, hints, f"for {lengths} your function gives {result:.3f}; {rows}.", abs_tol=1e-6)
    return ""
