"""The exercise of lesson 3: the F1 score."""

from __future__ import annotations

import math
from collections.abc import Callable

from .hints import hint_for

CASES = ((8, 2, 2), (1, 0, 3), (5, 5, 0), (0, 4, 4), (0, 0, 0), (7, 1, 30))


def f1(answer: Callable[[int, int, int], float]) -> str:
    """F1 of one class from its hits, false alarms and misses."""
    for hits, false_alarms, misses in CASES:
        counts = f"{hits} hits, {false_alarms} false alarms, {misses} misses"
        try:
            result = answer(hits, false_alarms, misses)
        except ZeroDivisionError:
            return f"{counts} end in a division by 0; F1 is 0 there."
        # `max` avoids a division by 0 where a class neither occurs nor is predicted.
        right = 2 * hits / max(1, 2 * hits + false_alarms + misses)
        if not math.isclose(result, right, abs_tol=1e-6):
            precision, recall = hits / max(1, hits + false_alarms), hits / max(1, hits + misses)
            ordinary_mean = (
                "this is the ordinary mean of precision and recall; F1 is their harmonic mean, 2 p r / (p + r)."
            )
            hints = {(precision + recall) / 2: ordinary_mean}
            return hint_for(result, hints, f"{counts} should give {right:.3f}, not {result:.3f}.", abs_tol=1e-6)
    return ""
