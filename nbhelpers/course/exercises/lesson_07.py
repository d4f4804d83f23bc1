"""The exercises of lesson 7: size, rounding to 8 bits, the capacity of a service, and a change of its labels."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, WHOLE_NUMBERS, about


def round_row(weights: list[float]) -> list[int]:
    """The steps, from -127 to 127, to which a row of weights is rounded with one scale; zeros stay zeros."""
    scale = max(map(abs, weights)) / 127
    return [round(weight / scale) if scale else 0 for weight in weights]


def row_inputs(draw: random.Random) -> list[tuple[list[float]]]:
    """Rows with and without negative weights, a row of zeros, and one with a single large weight."""
    some = [([round(draw.gauss(0, 1), 3) for _ in range(draw.randint(1, 6))],) for _ in range(30)]
    return [([0.5, -1.27, 0.2],), ([1.0],), ([0.0, 0.0],), ([-3.0, 0.01, 0.02],), *filter(is_clear, some)]


def is_clear(inputs: tuple[list[float]]) -> bool:
    """Whether no weight is near the middle between two steps, where ways to round differ."""
    largest = max(map(abs, inputs[0]))
    return largest > 0 and all(abs(127 * weight / largest % 1 - 0.5) > 0.01 for weight in inputs[0])


def row_mistakes(weights: list[float]) -> dict[str, Any]:
    """What comes out with another scale."""
    largest = max(map(abs, weights)) or 1.0
    top = max(weights) or 1.0
    return {
        "The weight with the largest absolute value sets the scale.": [round(127 * weight / top) for weight in weights],
        "This rounds down. Round to the nearest step.": [math.floor(127 * weight / largest) for weight in weights],
        "The largest step is 127, not 128: 8 bits hold -128 to 127.": [
            round(128 * weight / largest) for weight in weights
        ],
        "The largest step is 127, not 255: half of the steps are negative.": [
            round(255 * weight / largest) for weight in weights
        ],
    }


def times_smaller(table: Any) -> float:
    """How many times smaller the folder of int8 is than that of torch.

    Args:
        table: of `export.compare`.
    """
    return float(table.loc["torch", "MiB"] / table.loc["int8", "MiB"])


def smaller_mistakes(table: Any) -> dict[str, float]:
    """Other ratios of the table."""
    return {
        "This is the other way round: how large int8 is as a share of torch.": 1 / times_smaller(table),
        "This compares with another row. Compare int8 with torch.": float(
            table.loc["torch", "MiB"] / table.loc["bf16", "MiB"]
        ),
        "This is how many MiB are saved.": float(table.loc["torch", "MiB"] - table.loc["int8", "MiB"]),
        "This compares the speed. The question is about the size.": float(
            table.loc["torch", "ms per example"] / table.loc["int8", "ms per example"]
        ),
    }


def capacity_of_8(batch_seconds: Mapping[int, float]) -> float:
    """How many requests per second are answered in batches of 8 texts.

    Args:
        batch_seconds: number of texts in a batch -> seconds for the batch.
    """
    return 8 / batch_seconds[8]


def capacity_mistakes(batch_seconds: Mapping[int, float]) -> dict[str, float]:
    """Other quotients of the same numbers."""
    return {
        "This is the time for one text. Turn it over: how many texts fit into one second?": batch_seconds[8] / 8,
        "This is how many batches fit into one second. Each of them answers 8 requests.": 1 / batch_seconds[8],
        "This takes the time of a batch of one text. Use that of a batch of 8.": 8 / batch_seconds[1],
        "This is the capacity without batches. Use the time of a batch of 8.": 1 / batch_seconds[1],
        "The times in batch_seconds are in seconds already, so there is nothing to divide by 1000.": 8
        / batch_seconds[8]
        / 1000,
        "This is the capacity with batches of 32.": 32 / batch_seconds[32],
    }


def shares(counts: Sequence[int]) -> list[float]:
    """The share of each class. An empty class counts 0.5, since the logarithm of 0 is infinite."""
    floored = [max(count, 0.5) for count in counts]
    return [count / sum(floored) for count in floored]


def psi(now: list[int], before: list[int]) -> float:
    """The population stability index of two lists of counts, each at least 0.5, in nats."""
    return sum((a - b) * math.log(a / b) for a, b in zip(shares(now), shares(before), strict=True))


def psi_inputs(draw: random.Random) -> list[tuple[list[int], list[int]]]:
    """Counts of two to five classes, some of them without an example now or before."""

    def counts(size: int) -> list[int]:
        return [draw.choice((0, draw.randint(1, 300), draw.randint(1, 300))) for _ in range(size - 1)] + [9]

    some = [(counts(size), counts(size)) for size in (2, 3, 4, 5) * 5]
    return [([50, 50], [90, 10]), ([9, 9], [1, 1]), ([40, 0], [30, 10]), ([30, 10], [40, 0]), *some]


def psi_mistakes(now: list[int], before: list[int]) -> dict[str, Any]:
    """What comes out for another measure, or another logarithm."""
    p, q, right = shares(now), shares(before), psi(now, before)
    return {
        "This is the KL divergence. Use (p - q) before the logarithm.": sum(
            a * math.log(a / b) for a, b in zip(p, q, strict=True)
        ),
        "The sign is turned: each term is (p - q) ln(p / q), which is never negative.": -right,
        "This is in bits. Use the natural logarithm.": right / math.log(2),
        "Use the shares of the classes, not their counts.": sum(
            (max(a, 0.5) - max(b, 0.5)) * math.log(max(a, 0.5) / max(b, 0.5)) for a, b in zip(now, before, strict=True)
        ),
    }


EXERCISES = {
    "07-smaller": Exercise(
        about(0.03),
        times_smaller,
        hints=(
            "The sizes of the weights are in the column MiB.",
            "Divide the size of torch by that of int8.",
            "It should be a little less than 4, because not everything is rounded.",
        ),
        because="A weight takes one byte in place of four; the scales and what is not rounded take the rest.",
        mistakes=smaller_mistakes,
    ),
    "07-capacity": Exercise(
        about(0.02),
        capacity_of_8,
        hints=(
            "A full batch answers 8 requests at once. How long does it take?",
            "batch_seconds[8] is the time of such a batch, in seconds.",
            "Divide 8 by batch_seconds[8].",
        ),
        because="At a higher rate the queue grows for as long as the load lasts, however long one waits.",
        mistakes=capacity_mistakes,
    ),
    "07-round": Exercise(
        WHOLE_NUMBERS,
        round_row,
        inputs=row_inputs,
        hints=(
            "The largest absolute value becomes 127 or -127. What is the size of one step then?",
            "The scale is max(abs(w) for w in weights) / 127. Divide each weight by it and round to the nearest step.",
            "A row of zeros has a scale of 0. Return zeros for it.",
        ),
        because="One large weight makes the steps of the whole row coarse. That is why each row has its own scale.",
        mistakes=row_mistakes,
    ),
    "07-psi": Exercise(
        NUMBER,
        psi,
        inputs=psi_inputs,
        hints=(
            "First raise counts below 0.5 to 0.5. Then divide each by the sum of the new counts of its list.",
            "Each class adds (p - q) * math.log(p / q), with its share now and before.",
            "shares = [max(n, 0.5) for n in counts], each divided by the sum of this list.",
        ),
        because="Above 0.25 it is usually called a large change. Only your own data can tell how much is normal.",
        mistakes=psi_mistakes,
    ),
}
