"""The exercises of lesson 5: the KL term, the whole loss, and how much passes differ."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, about, plain


def softmax(logits: Sequence[float]) -> list[float]:
    """The probabilities of logits."""
    exponentials = [math.exp(logit - max(logits)) for logit in logits]
    return [exponential / sum(exponentials) for exponential in exponentials]


def divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """KL(p || q) in nats."""
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def symmetric_kl(first: list[float], second: list[float]) -> float:
    """(KL(p || q) + KL(q || p)) / 2 in nats, of the softmax of two lists of logits."""
    p, q = softmax(first), softmax(second)
    return (divergence(p, q) + divergence(q, p)) / 2


def kl_inputs(draw: random.Random) -> list[tuple[list[float], list[float]]]:
    """Different logits, equal ones, and logits that differ by a constant, which are the same probabilities."""

    def numbers(count: int) -> list[float]:
        return [round(draw.gauss(0, 2), 2) for _ in range(count)]

    some = [(numbers(size), numbers(size)) for size in (2, 3, 4, 5) * 5]
    fixed = [([2.0, 0.5, -1.0], [0.0, 0.0, 0.0]), ([1.0, 0.0], [3.0, -1.0]), ([4.0, 1.0], [4.0, 1.0])]
    return [*fixed, ([1.0, 2.0], [3.0, 4.0]), *some]


def kl_mistakes(first: list[float], second: list[float]) -> dict[str, Any]:
    """What comes out for one direction, the sum, or another logarithm."""
    p, q = softmax(first), softmax(second)
    right = symmetric_kl(first, second)
    return {
        "This is KL(p || q) alone. The mean of both directions is asked.": divergence(p, q),
        "This is KL(q || p) alone. The mean of both directions is asked.": divergence(q, p),
        "This is the sum of both directions. Take half of it.": 2 * right,
        "This is in bits. Use the natural logarithm.": right / math.log(2),
        "The sign is turned: a divergence is never negative.": -right,
        "This is divided by the number of classes. Sum over the classes.": right / len(first),
    }


def r_drop_loss(ce_1: float, ce_2: float, kl_1: float, kl_2: float, alpha: float) -> float:
    """The loss of R-Drop as the paper defines it, from the two cross-entropies and the two divergences."""
    return ce_1 + ce_2 + alpha * (kl_1 + kl_2) / 2


def loss_inputs(draw: random.Random) -> list[tuple[float, float, float, float, float]]:
    """Usual losses, with an alpha of 0 and of 1 among others."""

    def some() -> tuple[float, float, float, float, float]:
        ce_1, ce_2, kl_1, kl_2 = (round(draw.uniform(0.1, 3), 2) for _ in range(4))
        return ce_1, ce_2, kl_1, kl_2, draw.choice((0.5, 3.0, 5.0))

    return [(1.0, 2.0, 0.3, 0.5, 1.0), (0.7, 0.7, 0.2, 0.1, 0.0), *(some() for _ in range(20))]


def loss_mistakes(ce_1: float, ce_2: float, kl_1: float, kl_2: float, alpha: float) -> dict[str, Any]:
    """The losses of other implementations, which call their weight alpha as well."""
    return {
        "Here the cross-entropies are averaged. The paper adds them.": (ce_1 + ce_2) / 2 + alpha * (kl_1 + kl_2) / 2,
        "The paper takes the mean of the two divergences.": ce_1 + ce_2 + alpha * (kl_1 + kl_2),
        "Only the KL term is multiplied by alpha.": alpha * (ce_1 + ce_2 + (kl_1 + kl_2) / 2),
        "One of the two cross-entropies is missing.": ce_1 + alpha * (kl_1 + kl_2) / 2,
        "The weight alpha is missing.": ce_1 + ce_2 + (kl_1 + kl_2) / 2,
    }


def largest_range(passes: Any) -> float:
    """By how many points the probability of one class differs most between passes, for the first text.

    Args:
        passes: probabilities [passes, texts, classes].
    """
    by_class = zip(*(row[0] for row in plain(passes)), strict=True)
    return max(100 * (max(column) - min(column)) for column in by_class)


def range_mistakes(passes: Any) -> dict[str, float]:
    """The ranges of other texts, and other units."""
    rows = plain(passes)
    others = {
        f"This is the range of text {text + 1}.": largest_range([[row[text]] for row in rows])
        for text in range(1, len(rows[0]))
    }
    return {"This is a fraction. The question is about points.": largest_range(passes) / 100, **others}


EXERCISES = {
    "05-passes": Exercise(
        about(0.1),
        largest_range,
        hints=(
            "At the right of the first panel, each class has its smallest and its largest probability.",
            "For each class, subtract the first number from the second. The largest difference is the answer.",
            "If the line below the picture is about text 1, it names this class and both numbers.",
        ),
        because="Only dropout changed between the passes. This is the disagreement that R-Drop penalizes.",
        mistakes=range_mistakes,
    ),
    "05-kl": Exercise(
        NUMBER,
        symmetric_kl,
        inputs=kl_inputs,
        hints=(
            "First make probabilities of both lists of logits with a softmax.",
            "KL(p || q) is the sum over the classes of p * (log p - log q). Compute both directions.",
            "sum((a - b) * (math.log(a) - math.log(b)) for a, b in zip(p, q)) / 2 is the mean of both directions.",
        ),
        because="Logits that differ by a constant are the same probabilities, so their divergence is 0.",
        mistakes=kl_mistakes,
    ),
    "05-loss": Exercise(
        NUMBER,
        r_drop_loss,
        inputs=loss_inputs,
        hints=(
            "Look at the formula of the paper above: which terms are added, and which are averaged?",
            "Both cross-entropies are added. The two divergences are averaged.",
            "ce_1 + ce_2 + alpha * (kl_1 + kl_2) / 2",
        ),
        because="When you read an alpha elsewhere, write its loss in this form first.",
        mistakes=loss_mistakes,
    ),
}
