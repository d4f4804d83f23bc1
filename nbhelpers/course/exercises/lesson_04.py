"""The exercises of lesson 4: the rank, the size of an adapter, what was trained, and merging."""

from __future__ import annotations

import random
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, NUMBERS, WHOLE_NUMBER, about, plain

Layers = list[tuple[int, int]]
Matrix = list[list[float]]

WIDTH = 384  # of the course's encoder


def break_even_mistakes() -> dict[str, float]:
    """Other ranks that a learner may name."""
    return {
        "This counts only the columns, or only the rows. Each pair has both.": WIDTH,
        "A pair has 384 + 384 numbers; they are not multiplied.": 1,
        "This is how many numbers a pair has. How many pairs have as many numbers as the matrix?": 2 * WIDTH,
        "This is how many numbers the matrix has. Divide it by those of a pair.": WIDTH * WIDTH,
        "Each pair has one column and one row, 768 numbers. Did you divide by twice as many?": WIDTH / 4,
    }


def lora_weights(layers: Layers, r: int) -> int:
    """How many weights LoRA of a rank adds to linear layers, given as (d_in, d_out)."""
    return sum(r * (d_in + d_out) for d_in, d_out in layers)


def layer_inputs(draw: random.Random) -> list[tuple[Layers, int]]:
    """No layer, one, and several of different sizes."""
    some = [
        ([(draw.randint(2, 900), draw.randint(2, 900)) for _ in range(draw.randint(1, 4))], draw.choice((2, 4, 8)))
        for _ in range(20)
    ]
    return [([(384, 1536)], 8), ([(384, 384), (3, 5)], 16), ([], 4), ([(7, 2)], 1), *some]


def lora_mistakes(layers: Layers, r: int) -> dict[str, Any]:
    """What comes out when other matrices are counted."""
    full = sum(d_in * d_out for d_in, d_out in layers)
    return {
        "This counts W, which is frozen. Count A and B.": full,
        "W is frozen and was there before. Count A and B only.": full + lora_weights(layers, r),
        "A is r x d_in and B is d_out x r: their sizes add up, they are not multiplied.": r * full,
        "A is counted; B, of d_out x r, is missing.": sum(r * d_in for d_in, _ in layers),
        "B is counted; A, of r x d_in, is missing.": sum(r * d_out for _, d_out in layers),
    }


def merged_row(w: list[float], b: list[float], A: Matrix, alpha: float) -> list[float]:
    """One row of the merged matrix W + (alpha / r) B A.

    Args:
        w: the row of W [d_in].
        b: the same row of B [r].
        A: [r, d_in].
        alpha: LoRA's scale, before it is divided by r.
    """
    return [
        weight + alpha / len(A) * sum(b[k] * A[k][i] for k in range(len(A))) for i, weight in enumerate(w)
    ]  # fmt: skip


def merge_inputs(draw: random.Random) -> list[tuple[list[float], list[float], Matrix, float]]:
    """Small matrices of ranks 1 to 3."""

    def numbers(count: int) -> list[float]:
        return [round(draw.uniform(-2, 2), 1) for _ in range(count)]

    some = []
    for _ in range(20):
        r, d_in = draw.randint(1, 3), draw.randint(1, 4)
        some.append((numbers(d_in), numbers(r), [numbers(d_in) for _ in range(r)], float(draw.choice((1, 2, 8)))))
    return [([1.0, 2.0], [1.0, 0.0], [[1.0, 1.0], [5.0, 5.0]], 4.0), ([1.0], [0.0], [[3.0]], 2.0), *some]


def merge_mistakes(w: list[float], b: list[float], A: Matrix, alpha: float) -> dict[str, Any]:
    """What comes out with another scale, or without W."""
    right = merged_row(w, b, A, alpha)
    change = [x - weight for x, weight in zip(right, w, strict=True)]
    return {
        "This is the change alone. Add the row of W.": change,
        "The scale is alpha divided by the rank r, which is len(A).": [
            weight + len(A) * x for weight, x in zip(w, change, strict=True)
        ],
        "The scale alpha / r is missing.": [
            weight + x * len(A) / alpha for weight, x in zip(w, change, strict=True)
        ],
        "The change is added, not subtracted.": [weight - x for weight, x in zip(w, change, strict=True)],
    }  # fmt: skip


def percent_trainable(counts: Any) -> float:
    """How many percent of all weights are trained.

    Args:
        counts: from `adapters.num_parameters`.
    """
    return float(100 * plain(counts["trainable"]) / plain(counts["total"]))


def percent_mistakes(counts: Any) -> dict[str, float]:
    """Other shares that a learner may compute."""
    return {
        "This is a fraction. The question is about percent.": percent_trainable(counts) / 100,
        "This leaves out the head, which is trained as well.": 100 * counts["without head"] / counts["total"],
        "This is the share of frozen weights.": 100 - percent_trainable(counts),
        "This compares with the frozen weights. Divide by all weights.": 100
        * counts["trainable"]
        / max(1, counts["total"] - counts["trainable"]),
    }


EXERCISES = {
    "04-break-even": Exercise(
        NUMBER,
        WIDTH / 2,
        hints=(
            "How many numbers does one pair of a column and a row have?",
            f"A pair has {WIDTH} + {WIDTH} numbers, and the matrix has {WIDTH} x {WIDTH}.",
            f"{WIDTH} * {WIDTH} / ({WIDTH} + {WIDTH})",
        ),
        because="LoRA's usual ranks, such as 8 or 16, are far below this, so that A and B are much smaller than W.",
        mistakes=break_even_mistakes,
    ),
    "04-lora": Exercise(
        WHOLE_NUMBER,
        lora_weights,
        inputs=layer_inputs,
        hints=(
            "Each layer gets two new matrices, A and B. How many numbers has each of them?",
            "A has r x d_in numbers, B has d_out x r.",
            "The sum of r * (d_in + d_out) over the layers.",
        ),
        because="The matrix W grows with the square of the width, A and B only in proportion to it.",
        mistakes=lora_mistakes,
    ),
    "04-percent": Exercise(
        about(0.002),
        percent_trainable,
        hints=(
            "You need two numbers: how many weights are trained, and how many there are in all.",
            "adapters.num_parameters(models['LoRA']) gives both, as trainable and total.",
            "100 * trainable / total",
        ),
        because="With mean pooling the head is a very small part of it, but it must be trained with every method.",
        mistakes=percent_mistakes,
    ),
    "04-merge": Exercise(
        NUMBERS,
        merged_row,
        inputs=merge_inputs,
        hints=(
            "The change of a row is the row of B times the matrix A. What is its scale?",
            "Number i of the change is the sum over k of b[k] * A[k][i], times alpha / len(A).",
            "[w[i] + alpha / len(A) * sum(b[k] * A[k][i] for k in range(len(A))) for i in range(len(w))]",
        ),
        because="After this, the model needs no peft, and is as fast as a model without an adapter.",
        mistakes=merge_mistakes,
    ),
}
