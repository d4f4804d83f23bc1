"""The exercises of lesson 1: number formats, memory, batch sizes."""

from __future__ import annotations

import math
import random
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, WHOLE_NUMBER, about

MEGABYTES = 22.6 * 4 * 4


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
        "If not even the model fits, the answer is 0": math.floor(left),
        "This batch does not fit any more; round down": math.ceil(left),
    }


EXERCISES = {
    "01-step": Exercise(
        NUMBER,
        -2,
        hints=(
            "Set the weight's exponent to 0. Move the step's exponent up from -5 until bf16 says that it changed.",
            "Below 1, neighboring bf16 numbers are 1/256 apart, about 0.004. A step must exceed half of that.",
            "A step of 0.001 is too small, and a step of 0.01 is large enough. What is the exponent of 0.01?",
        ),
        because="The larger a weight is, the larger a step must be to change it at all.",
        mistakes=lambda: {
            "A step of 0.1 changes the weight, but a smaller one does as well.": -1,
            "A step of 1 changes the weight, but much smaller ones do as well.": 0,
            "This is right for fp16. In bf16, 0.001 is less than half of the gap below 1, which is 1/256.": -3,
            "This is right for fp32, whose numbers are much closer together. Look at the line of bf16.": -7,
            "The sign is missing: 10 to the power of 2 is 100.": 2,
            "This is the step; the question is about its exponent.": 0.01,
        },
    ),
    "01-memory": Exercise(
        about(0.02),
        MEGABYTES,
        hints=(
            "Count how many numbers training keeps for each parameter.",
            "There are four: the weight, its gradient, and two moving averages. How many bytes does one take in fp32?",
            "Multiply 22.6 million by 4 numbers and by 4 bytes, and divide by a million.",
        ),
        because="The batch comes on top of it.",
        mistakes=lambda: {
            "This counts the weights only.": 22.6 * 4,
            "Weights and gradients are there; AdamW also keeps two moving averages for each parameter.": 22.6 * 8,
            "One of the four numbers for each parameter is missing.": 22.6 * 12,
            "32 bits are 4 bytes.": 22.6 * 4 * 32,
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
        because="A training step that is smaller than half the gap changes nothing. So weights stay in fp32.",
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
