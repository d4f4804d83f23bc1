"""The exercises of lesson 1: memory, number formats, batch sizes."""

from __future__ import annotations

import math
import random
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, WHOLE_NUMBER, about

MEGABYTES = 22.7 * 4 * 4


def gap(x: float) -> float:
    """The distance from a positive bf16 number to the next larger one. bf16 has 8 significant bits."""
    return float(2.0 ** (math.floor(math.log2(x)) - 7))


def gap_inputs(draw: random.Random) -> list[tuple[float]]:
    """Powers of two, numbers just below them, and numbers of any size."""
    return [(1.0,), (2.0,), (0.1,), (1.99,), (0.25,), *((2 ** draw.uniform(-20, 20),) for _ in range(20))]


def gap_mistakes(x: float) -> dict[str, float]:
    """What comes out when the size of x, or the number of bits, is taken wrong."""
    return {
        "This is the gap at 1. It grows and shrinks with the number": 2.0**-7,
        "The gap is the same for all numbers from one power of two to the next; round the exponent down": x * 2.0**-7,
        "This has one bit too many: 8 significant bits leave 7 after the first": gap(x) / 2,
        "This is the gap in fp16, which has 11 significant bits": gap(x) / 8,
    }


def batch_size(free_gib: float, model_gib: float, gib_per_text: float) -> int:
    """The largest number of texts in a batch for which model and batch fit into the memory."""
    return max(0, math.floor((free_gib - model_gib) / gib_per_text + 1e-9))


def batch_size_inputs(draw: random.Random) -> list[tuple[float, float, float]]:
    """A batch that just fits, a model that does not fit, and others. Halves and quarters divide without rounding."""
    some = [(draw.randint(8, 80), draw.randint(1, 12) / 2, draw.choice((0.125, 0.25, 0.5))) for _ in range(20)]
    return [(16.0, 8.0, 0.25), (10.0, 1.0, 0.5), (4.0, 5.0, 0.5), (8.0, 0.25, 1.0), *some]


def batch_size_mistakes(free_gib: float, model_gib: float, gib_per_text: float) -> dict[str, Any]:
    """What comes out when the model, or the rounding, is forgotten."""
    left = (free_gib - model_gib) / gib_per_text
    return {
        "The model needs memory as well; subtract it first": math.floor(free_gib / gib_per_text),
        "This batch does not fit any more; round down": math.ceil(left),
        "If not even the model fits, the answer is 0": math.floor(left),
    }


EXERCISES = {
    "01-memory": Exercise(
        about(0.02),
        MEGABYTES,
        hints=(
            "Count how many numbers training keeps for each parameter.",
            "There are four: the weight, its gradient, and two moving averages. How many bytes does one take in fp32?",
            "Multiply 22.7 million by 4 numbers and by 4 bytes, and divide by a million.",
        ),
        because="Activations come on top of it, and they grow with the batch.",
        mistakes=lambda: {
            "This counts the weights only.": 22.7 * 4,
            "Weights and gradients are there; AdamW also keeps two moving averages for each parameter.": 22.7 * 8,
            "One of the four numbers for each parameter is missing.": 22.7 * 12,
            "32 bits are 4 bytes.": 22.7 * 4 * 32,
            "That is in units of 2^20 bytes; the question is about 10^6 bytes.": MEGABYTES / 1.048576,
        },
    ),
    "01-gap": Exercise(
        NUMBER,
        gap,
        inputs=gap_inputs,
        hints=(
            "Between 1 and 2 the gap is 1/128. Between 2 and 4 it is twice that, and between 0.5 and 1 half of it.",
            "Find the power of two at or below x: 2 ** math.floor(math.log2(x)).",
            "The gap is this power of two, divided by 128.",
        ),
        because="A step of the optimizer that is smaller than half the gap changes nothing. So weights stay in fp32.",
        mistakes=gap_mistakes,
    ),
    "01-batch-size": Exercise(
        WHOLE_NUMBER,
        batch_size,
        inputs=batch_size_inputs,
        hints=(
            "What is left for the batch when the model is in memory?",
            "Divide what is left by the memory of one text. Half a text is no text.",
            "max(0, int((free_gib - model_gib) / gib_per_text))",
        ),
        because="Where the largest batch is too small to train well, lesson 3 shows gradient accumulation.",
        mistakes=batch_size_mistakes,
    ),
}
