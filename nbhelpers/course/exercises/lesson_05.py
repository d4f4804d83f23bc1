"""The exercises of lesson 5: how much passes differ, the KL term, the whole loss, and the alpha of other code."""

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
    """KL(p || q), with the natural logarithm."""
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def symmetric_kl(first: list[float], second: list[float]) -> float:
    """(KL(p || q) + KL(q || p)) / 2 of the softmax of two lists of logits."""
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
        "This is computed with the logarithm to base 2. Use the natural one, math.log.": right / math.log(2),
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


def balanced_alpha(ce_1: float, ce_2: float, kl: float) -> float:
    """The alpha with which the KL term is as large as both cross-entropies together.

    Args:
        ce_1, ce_2: the cross-entropies of the two passes.
        kl: the mean of both directions of the KL divergence.
    """
    return (ce_1 + ce_2) / kl


def balance_mistakes(ce_1: float, ce_2: float, kl: float) -> dict[str, float]:
    """Other balances."""
    return {
        "This is a balance with the mean of the cross-entropies. The loss has their sum.": (ce_1 + ce_2) / 2 / kl,
        "This is a balance with the cross-entropy of pass 1 alone. Add the one of pass 2.": ce_1 / kl,
        "This is a balance with the cross-entropy of pass 2 alone. Add the one of pass 1.": ce_2 / kl,
        "This is the inverse. Divide the sum of the cross-entropies by the KL.": kl / (ce_1 + ce_2),
    }


def paper_alpha(ce_factor: float, kl_factor: float) -> float:
    """The paper's alpha of a loss that is ce_factor * (CE_1 + CE_2) + kl_factor * (KL_1 + KL_2)."""
    return 2 * kl_factor / ce_factor


def alpha_inputs(draw: random.Random) -> list[tuple[float, float]]:
    """The paper's loss, that of the README and of the Keras code, a loss without KL, and others."""
    fixed = [(1.0, 0.5), (0.5, 0.5), (0.5, 1.0), (1.0, 0.0), (0.25, 0.35)]
    return [*fixed, *((draw.choice((0.5, 1.0, 2.0)), round(draw.uniform(0.1, 5), 2)) for _ in range(20))]


def alpha_mistakes(ce_factor: float, kl_factor: float) -> dict[str, Any]:
    """What comes out when a factor is left out."""
    return {
        "This is the factor of the KL in that code. In the paper, alpha is before (KL_1 + KL_2) / 2.": kl_factor,
        "The factor of the cross-entropies is missing. The paper's loss starts with CE_1 + CE_2.": 2 * kl_factor,
        "In the paper, alpha is before the mean of both KL, and not before their sum.": kl_factor / ce_factor,
        "The factors are multiplied. Divide by the factor of the cross-entropies.": 2 * kl_factor * ce_factor,
    }


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
    "05-balance": Exercise(
        about(0.05),
        balanced_alpha,
        hints=(
            "Set alpha and temperature to 1 and the text to text 1, and read the three numbers from the table.",
            "You look for the alpha with alpha * KL = CE_1 + CE_2. Solve this for alpha.",
            "Add the two cross-entropies, and divide the sum by the KL.",
        ),
        because="These are the two passes that differ most. On average the KL is smaller, and so is the KL term.",
        mistakes=balance_mistakes,
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
    "05-alpha": Exercise(
        NUMBER,
        paper_alpha,
        inputs=alpha_inputs,
        hints=(
            "Multiply the whole loss by a number, so that it starts with CE_1 + CE_2.",
            "That number is 1 / ce_factor. Which factor do KL_1 + KL_2 have then? Compare with alpha / 2.",
            "2 * kl_factor / ce_factor",
        ),
        because="With the factors of the README, 0.5 and a / 2, this gives 2 a, as in the table.",
        mistakes=alpha_mistakes,
    ),
}
