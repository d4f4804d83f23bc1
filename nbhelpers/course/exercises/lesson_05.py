"""The exercise of lesson 5: the divergence of two distributions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .hints import hint_for

CASES = (([2.0, 0.5, -1.0], [0.0, 0.0, 0.0]), ([1.0, 0.0], [3.0, -1.0]), ([4.0, 1.0], [4.0, 1.0]))


def kl(answer: Callable[[list[float], list[float]], Any]) -> str:
    """(KL(p || q) + KL(q || p)) / 2 in nats, of the softmax of two lists of logits."""
    for first, second in CASES:
        p, q = softmax(first), softmax(second)
        forward, backward = divergence(p, q), divergence(q, p)
        result, right = float(answer(first, second)), (forward + backward) / 2
        if not math.isclose(result, right, abs_tol=1e-4):
            hints = {
                forward: "this is KL(p || q) alone; the mean of both directions is asked.",
                backward: "this is KL(q || p) alone; the mean of both directions is asked.",
                2 * right: "this is the sum of both directions; take half of it.",
                right / math.log(2): "this is in bits; nats need the natural logarithm.",
            }
            other = f"{first} and {second} should give {right:.4f}, not {result:.4f}; did both pass through a softmax?"
            return hint_for(result, hints, other, abs_tol=1e-4)
    return ""


def softmax(logits: Sequence[float]) -> list[float]:
    """The probabilities of logits."""
    exponentials = [math.exp(logit) for logit in logits]
    return [exponential / sum(exponentials) for exponential in exponentials]


def divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """KL(p || q) in nats."""
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
