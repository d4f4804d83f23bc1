"""The exercises of lesson 14: the cheapest decision, the margin, precision at a base rate, leaks of pairs."""

from __future__ import annotations

import random
from collections.abc import Sequence

from .exercise import Exercise
from .kinds import NUMBER, WHOLE_NUMBER


def cheapest(probabilities: Sequence[float], costs: Sequence[Sequence[float]]) -> int:
    """The decision with the lowest expected cost; the first of equally cheap ones.

    Args:
        probabilities: of each class.
        costs: a list per true class, with the cost of each decision.
    """
    totals = expected(probabilities, costs)
    return totals.index(min(totals))


def expected(probabilities: Sequence[float], costs: Sequence[Sequence[float]]) -> list[float]:
    """The expected cost of each decision."""
    return [
        sum(p * line[decision] for p, line in zip(probabilities, costs, strict=True))
        for decision in range(len(costs[0]))
    ]


def cheapest_inputs(draw: random.Random) -> list[tuple[list[float], list[list[int]]]]:
    """A costly mistake, a person as the last decision, and drawn ones; no two decisions are about equally cheap."""
    fixed = [
        ([0.2, 0.3, 0.5], [[0, 1, 9, 3], [2, 0, 1, 3], [1, 1, 0, 3]]),
        ([0.35, 0.65], [[0, 4, 1], [9, 0, 1]]),
        ([0.9, 0.1], [[0, 1], [1, 0]]),
    ]

    def some() -> tuple[list[float], list[list[int]]]:
        size = draw.randint(2, 4)
        parts = [draw.randint(1, 20) for _ in range(size)]
        costs = [[0 if c == d else draw.randint(1, 9) for d in range(size)] + [2] for c in range(size)]
        return [part / sum(parts) for part in parts], costs

    drawn = [some() for _ in range(40)]
    clear = [pair for pair in drawn if (low := sorted(expected(*pair)))[1] - low[0] > 0.01]
    return [*fixed, *clear]


def cheapest_mistakes(probabilities: Sequence[float], costs: Sequence[Sequence[float]]) -> dict[str, int]:
    """Other decisions for the same text."""
    totals, probable = expected(probabilities, costs), list(probabilities)
    square = [line[: len(costs)] for line in costs]
    turned = [sum(p * x for p, x in zip(probabilities, line, strict=True)) for line in square]
    return {
        "This is the most probable class. Multiply the probabilities by the costs first.": probable.index(
            max(probable)
        ),
        "This is the most expensive decision.": totals.index(max(totals)),
        "The matrix is read the wrong way round: costs[c] is the line of the true class c, and its columns are the "
        "decisions.": turned.index(min(turned)),
        "There can be more decisions than classes, such as a person in the last column. Compare all columns.": (
            totals.index(min(totals[: len(costs)]))
        ),
    }


def margin(probabilities: Sequence[float]) -> float:
    """The difference between the two highest probabilities."""
    first, second = sorted(probabilities, reverse=True)[:2]
    return first - second


def margin_inputs(draw: random.Random) -> list[tuple[list[float]]]:
    """A tie, two classes, and drawn probabilities."""

    def some() -> tuple[list[float]]:
        parts = [draw.randint(1, 30) for _ in range(draw.randint(2, 7))]
        return ([part / sum(parts) for part in parts],)

    return [([0.5, 0.2, 0.3],), ([0.1, 0.45, 0.45],), ([0.1, 0.9],), *(some() for _ in range(20))]


def margin_mistakes(probabilities: Sequence[float]) -> dict[str, float]:
    """Other differences."""
    ordered = sorted(probabilities, reverse=True)
    return {
        "This is the highest probability. Subtract the second highest.": ordered[0],
        "This subtracts the lowest probability. The second highest is the one that could have won.": ordered[0]
        - ordered[-1],
        "This takes the first two in the list. Sort the probabilities first.": probabilities[0] - probabilities[1],
        "The sign is turned: subtract the second highest from the highest.": ordered[1] - ordered[0],
        "This takes the two lowest. `sorted` begins with the lowest; reverse=True turns it round.": ordered[-1]
        - ordered[-2],
        "This is 1 minus the margin. Here the margin itself is asked for.": 1 - margin(probabilities),
    }


def precision(share: float, recall: float, accepted: float) -> float:
    """Which share of the rejected messages is outside.

    Args:
        share: of all messages that are outside.
        recall: the share of the messages inside that are accepted.
        accepted: the share of the messages outside that are accepted.
    """
    found, false_alarms = share * (1 - accepted), (1 - share) * (1 - recall)
    return found / (found + false_alarms)


def precision_inputs(draw: random.Random) -> list[tuple[float, float, float]]:
    """The test split, an inbox with few messages outside, and drawn rates."""
    some = [tuple(round(draw.uniform(low, high), 3) for low, high in ((0.01, 0.6), (0.6, 0.99), (0.05, 0.9)))
            for _ in range(20)]  # fmt: skip
    return [(0.02, 0.95, 0.6), (0.3, 0.95, 0.6), (0.5, 0.9, 0.1), *((a, b, c) for a, b, c in some)]


def precision_mistakes(share: float, recall: float, accepted: float) -> dict[str, float]:
    """Other shares of the same messages."""
    found, false_alarms = share * (1 - accepted), (1 - share) * (1 - recall)
    return {
        "This is the share of the outside messages that are rejected. It ignores how many messages are outside.": (
            1 - accepted
        ),
        "This is the share of all messages that are rejected. Of these, which share is outside?": found + false_alarms,
        "This counts the outside messages that are accepted. The rejected ones are the others.": share
        * accepted
        / (share * accepted + false_alarms),
        "This takes as many messages outside as inside. Multiply by their shares first.": (1 - accepted)
        / (1 - accepted + 1 - recall),
        "This is the share of the rejected that are inside: subtract it from 1.": 1
        - precision(share, recall, accepted),
        "This is the share of all messages that are outside and rejected. Divide by the share that is rejected.": found,
        "Of the messages inside, the share recall is accepted. The false alarms are the others, 1 - recall.": found
        / (found + (1 - share) * recall),
        "This is in percent. Return a share from 0 to 1.": 100 * precision(share, recall, accepted),
    }


def leaky_pairs(train: list[tuple[int, int]], test: list[tuple[int, int]]) -> int:
    """How many test pairs have a question that is also in a train pair."""
    seen = {question for pair in train for question in pair}
    return sum(a in seen or b in seen for a, b in test)


def pairs_inputs(draw: random.Random) -> list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    """A question at the other place, both questions known, no leak, empty splits, and drawn pairs."""

    def some() -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        numbers = range(20)
        return tuple([(a, b) for a, b in (draw.sample(numbers, 2) for _ in range(6))] for _ in range(2))  # type: ignore[return-value]

    fixed = [
        ([(0, 1), (2, 3)], [(1, 7), (8, 9), (3, 2), (5, 0)]),
        ([(0, 1)], [(2, 3)]),
        ([], [(4, 5)]),
        ([(4, 5)], []),
    ]
    return [*fixed, *(some() for _ in range(20))]


def pairs_mistakes(train: list[tuple[int, int]], test: list[tuple[int, int]]) -> dict[str, int]:
    """Other counts of the same pairs."""
    seen = {question for pair in train for question in pair}
    return {
        "This looks for whole pairs that are equal. One known question is enough to leak.": sum(
            pair in train for pair in test
        ),
        "This counts questions. Count pairs: one with two known questions is one pair.": sum(
            question in seen for pair in test for question in pair
        ),
        "This counts only pairs of which both questions are known.": sum(a in seen and b in seen for a, b in test),
        "This compares first with first and second with second. A question can be at either place.": sum(
            a in {x for x, _ in train} or b in {y for _, y in train} for a, b in test
        ),
        "This counts the clean pairs.": len(test) - leaky_pairs(train, test),
    }


EXERCISES = {
    "14-cheapest": Exercise(
        WHOLE_NUMBER,
        cheapest,
        inputs=cheapest_inputs,
        hints=(
            "For each decision, add up what it costs for each true class, times the probability of that class.",
            "costs[c][d] is what decision d costs if the class is c. There can be more decisions than classes.",
            "sum(p * line[d] for p, line in zip(probabilities, costs)) for each d; return the index of the smallest.",
        ),
        because="With equal costs this is the most probable class. With unequal ones it is often another.",
        mistakes=cheapest_mistakes,
    ),
    "14-margin": Exercise(
        NUMBER,
        margin,
        inputs=margin_inputs,
        hints=(
            "Sort the probabilities. Only two of them count.",
            "The margin is the highest minus the second highest. It is 0 if both are equal.",
            "first, second = sorted(probabilities, reverse=True)[:2], and then first - second",
        ),
        because="Active learning by margin asks for the texts where this number is smallest.",
        mistakes=margin_mistakes,
    ),
    "14-precision": Exercise(
        NUMBER,
        precision,
        inputs=precision_inputs,
        hints=(
            "Imagine 1,000 messages. How many are outside, and how many of these are rejected?",
            "Of the messages inside, the share 1 - recall is rejected as well. These are false alarms.",
            "found = share * (1 - accepted), false = (1 - share) * (1 - recall), and then found / (found + false)",
        ),
        because="AUROC stays the same whatever the share is. This number does not.",
        mistakes=precision_mistakes,
    ),
    "14-pairs": Exercise(
        WHOLE_NUMBER,
        leaky_pairs,
        inputs=pairs_inputs,
        hints=(
            "A test pair leaks if one of its two questions is in any train pair, at any place.",
            "Put all questions of the train pairs into a set.",
            "sum(a in seen or b in seen for a, b in test)",
        ),
        because="To get 0, split the answers first, and make the pairs within each split.",
        mistakes=pairs_mistakes,
    ),
}
