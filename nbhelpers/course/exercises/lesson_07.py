"""The exercise of lesson 7: how far two distributions of labels are apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .hints import hint_for

CASES = (([50, 50], [90, 10]), ([9, 9], [1, 1]), ([300, 20, 80], [250, 60, 90]), ([40, 0], [30, 10]))


def psi(answer: Callable[[list[int], list[int]], Any]) -> str:
    """The population stability index of two lists of counts, each at least 0.5, in nats."""
    for now, before in CASES:
        p, q = shares(now), shares(before)
        try:
            result = float(answer(now, before))
        except (ValueError, ZeroDivisionError):
            return f"for {now} and {before} your function divides by 0 or takes its logarithm; count at least 0.5."
        right = sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))
        if not math.isclose(result, right, abs_tol=1e-4):
            divergence = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
            hints = {
                divergence: "this is the KL divergence; use p - q.",
                -right: "the sign is turned; each term is (p - q) ln(p / q), which is never negative.",
                right / math.log(2): "this is in bits; take the natural logarithm.",
            }
            other = f"{now} and {before} should give {right:.4f}, not {result:.4f}; are the shares those of each list?"
            return hint_for(result, hints, other, abs_tol=1e-4)
    return ""


def shares(counts: Sequence[int]) -> list[float]:
    """The share of each class. An empty class counts 0.5, since the logarithm of 0 is infinite."""
    floored = [max(count, 0.5) for count in counts]
    return [count / sum(floored) for count in floored]
