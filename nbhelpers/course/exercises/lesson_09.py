"""The exercises of lesson 9: the worst check, FGM's step, a failure rate, an attack's success rate, and epsilon."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, NUMBERS, ONE_OF

STATUSES = ("flipped", "held", "out of queries", "no candidates", "wrong before")


def most_failing(table: Any) -> list[str]:
    """The check with the highest failure rate; where several share it, all of them.

    Args:
        table: what `robustness.summarize` returns, with a row per check.
    """
    rates = table["failure_rate"]
    return [str(name).casefold() for name in rates.index[rates == rates.max()]]


def most_failing_mistakes(table: Any) -> dict[str, str]:
    """The checks that lead in another column."""
    columns = {
        "This check has the most failures, but it also changed more texts. Compare the rates.": table["failures"],
        "This check moves the probabilities most, on average. A failure is another predicted class.": table[
            "mean_abs_change"
        ],
        "This check has the highest upper end of its interval, because it applies to few texts.": table["high"],
        "This check has the lowest failure rate.": -table["failure_rate"],
    }
    return {words: str(column.idxmax()).casefold() for words, column in columns.items()}


def norm(numbers: Sequence[float]) -> float:
    """The length of a vector."""
    return math.sqrt(sum(number**2 for number in numbers))


def fgm_step(gradient: list[float], epsilon: float) -> list[float]:
    """FGM's step for one text: along its gradient, with the length epsilon; zeros for a gradient of zeros."""
    return scaled(gradient, epsilon, norm(gradient))


def scaled(gradient: Sequence[float], epsilon: float, divisor: float) -> list[float]:
    """The gradient times epsilon, divided by a size; zeros where the size is 0."""
    return [epsilon * number / divisor if divisor else 0.0 for number in gradient]


def step_inputs(draw: random.Random) -> list[tuple[list[float], float]]:
    """Small and tiny gradients, one of zeros, and steps of several lengths."""
    some = [
        ([round(draw.gauss(0, 2), 2) for _ in range(draw.randint(2, 6))], draw.choice((0.1, 0.5, 2.0)))
        for _ in range(20)
    ]
    return [([3.0, 4.0], 0.5), ([0.0, -2.0, 0.0], 1.0), ([0.003, 0.004], 1.0), *some, ([0.0, 0.0, 0.0], 1.0)]


def step_mistakes(gradient: list[float], epsilon: float) -> dict[str, Any]:
    """What comes out for other sizes, and for other methods."""
    right = fgm_step(gradient, epsilon)
    return {
        "This is epsilon times the sign, as in FGSM. FGM keeps the direction of the gradient.": [
            epsilon * ((number > 0) - (number < 0)) for number in gradient
        ],
        "This divides by the sum of the absolute numbers. The norm is the root of the sum of squares.": scaled(
            gradient, epsilon, sum(map(abs, gradient))
        ),
        "This divides by the largest number. The norm is the root of the sum of squares.": scaled(
            gradient, epsilon, max(map(abs, gradient))
        ),
        "This divides by the sum of squares. Take its root.": scaled(gradient, epsilon, norm(gradient) ** 2),
        "The gradient is not divided by its norm, so the length of the step depends on the gradient.": [
            epsilon * number for number in gradient
        ],
        "This goes down. An attack makes the loss larger.": [-number for number in right],
        "This step has length 1. Multiply it by epsilon.": fgm_step(gradient, 1.0),
    }


def failure_rate(before: list[str], after: list[str], predicted_before: list[int], predicted_after: list[int]) -> float:
    """The share of the changed texts that get another predicted class; 0 if no text was changed."""
    changed, failures = count_changes(before, after, predicted_before, predicted_after)
    return failures / max(1, changed)


def count_changes(
    before: list[str], after: list[str], predicted_before: list[int], predicted_after: list[int]
) -> tuple[int, int]:
    """How many texts were changed, and how many of these get another predicted class."""
    changed = [old != new for old, new in zip(before, after, strict=True)]
    other = [old != new for old, new in zip(predicted_before, predicted_after, strict=True)]
    return sum(changed), sum(a and b for a, b in zip(changed, other, strict=True))


def rate_inputs(draw: random.Random) -> list[tuple[list[str], list[str], list[int], list[int]]]:
    """Texts that all, none or some of which were changed. A text that was not changed keeps its prediction."""

    def some(count: int, changed: float) -> tuple[list[str], list[str], list[int], list[int]]:
        before = [draw.choice(("good", "bad", "it works", "never again")) for _ in range(count)]
        is_changed = [draw.random() < changed for _ in range(count)]
        after = [text.upper() if new else text for text, new in zip(before, is_changed, strict=True)]
        first = [draw.randint(0, 2) for _ in range(count)]
        second = [draw.randint(0, 2) if new else old for old, new in zip(first, is_changed, strict=True)]
        return before, after, first, second

    fixed = (["a", "b", "c", "d", "e"], ["A", "B", "C", "D", "e"], [0, 1, 0, 2, 1], [0, 1, 0, 1, 1])
    return [fixed, *(some(draw.randint(4, 12), 0.6) for _ in range(20)), some(6, 1.0), some(5, 0.0)]


def rate_mistakes(
    before: list[str], after: list[str], predicted_before: list[int], predicted_after: list[int]
) -> dict[str, Any]:
    """What comes out when other texts are counted."""
    changed, failures = count_changes(before, after, predicted_before, predicted_after)
    right = failures / max(1, changed)
    return {
        "This divides by all texts. A text that was not changed cannot fail.": failures / len(before),
        "This is the share of the changed texts that keep their class.": 1 - right,
        "This is the number of failures. Divide it by the number of changed texts.": failures,
        "This is the share of the texts that were changed.": changed / len(before),
        "This is right in percent. Return a fraction between 0 and 1.": 100 * right,
    }


def success_rate(statuses: list[str]) -> float:
    """The share of the texts that were right before whose class a search has changed; 0 if none was right."""
    return statuses.count("flipped") / max(1, len(statuses) - statuses.count("wrong before"))


def success_inputs(draw: random.Random) -> list[tuple[list[str]]]:
    """Searches with all outcomes, and with a model that was always wrong."""
    fixed = ["flipped"] * 2 + ["held"] * 3 + ["wrong before"] + ["no candidates"] * 2 + ["out of queries"] * 2
    some = [([draw.choice(STATUSES) for _ in range(draw.randint(5, 15))],) for _ in range(20)]
    return [(fixed,), *some, (["held", "wrong before"],), (["wrong before"] * 3,)]


def success_mistakes(statuses: list[str]) -> dict[str, Any]:
    """What comes out when other texts are counted."""
    total, flipped, wrong = len(statuses), statuses.count("flipped"), statuses.count("wrong before")
    return {
        "This divides by all texts, but those that were wrong before were not attacked.": flipped / total,
        "This also counts the texts that were wrong before as a success. It is 1 - the accuracy after the search.": (
            flipped + wrong
        )
        / total,
        "This counts only flipped and held texts. The texts of the other searches were also right before.": flipped
        / max(1, flipped + statuses.count("held")),
        "This leaves out the texts without candidates. They were right before, so they count.": flipped
        / max(1, total - wrong - statuses.count("no candidates")),
        "This is the number of flipped texts. Divide it by how many were right before.": flipped,
        "This is right in percent. Return a fraction between 0 and 1.": 100 * success_rate(statuses),
    }


def epsilon_for(token_norms: list[float], share: float) -> float:
    """The epsilon that is a share of a text's norm, from the norms of the vectors of its tokens."""
    return share * norm(token_norms)


def epsilon_inputs(draw: random.Random) -> list[tuple[list[float], float]]:
    """Texts of one token and more, and shares from nothing to all."""
    some = [
        ([round(draw.uniform(0.5, 2), 2) for _ in range(draw.randint(2, 30))], draw.choice((0.05, 0.1, 0.2)))
        for _ in range(20)
    ]
    return [([3.0, 4.0], 0.1), ([1.0] * 25, 0.2), *some, ([1.5], 1.0), ([1.0, 1.0], 0.0)]


def epsilon_mistakes(token_norms: list[float], share: float) -> dict[str, Any]:
    """What comes out for another size of a text."""
    return {
        "This takes the sum of the norms. The norm of the text is the root of the sum of their squares.": share
        * sum(token_norms),
        "This takes the mean of the norms, which is the size of one token and not of the text.": share
        * sum(token_norms)
        / len(token_norms),
        "This takes the largest norm, which is that of one token, not of the text.": share * max(token_norms),
        "The root is missing: this takes the sum of squares.": share * norm(token_norms) ** 2,
        "This is the norm of the text. Multiply it by the share.": norm(token_norms),
        "This divides by the share. Multiply by it.": norm(token_norms) / share if share else 0.0,
    }


EXERCISES = {
    "09-most": Exercise(
        ONE_OF,
        most_failing,
        hints=(
            "The column failure_rate is the share of the changed texts that get another class.",
            "Do not compare the numbers of failures: a check that changes more texts can have more of them.",
            'table["failure_rate"].idxmax() finds the row with the highest rate.',
        ),
        because="Before you act on it, look at its interval and read its worst examples.",
        mistakes=most_failing_mistakes,
    ),
    "09-step": Exercise(
        NUMBERS,
        fgm_step,
        inputs=step_inputs,
        hints=(
            "The step has the direction of the gradient, and the length epsilon.",
            "Divide each number of the gradient by its norm, the root of the sum of squares. Then multiply by epsilon.",
            "size = sum(g**2 for g in gradient) ** 0.5, and then [epsilon * g / size for g in gradient]; if size is 0, "
            "return the gradient.",
        ),
        because="Only the direction of the gradient counts. Its size, which differs from text to text, does not.",
        mistakes=step_mistakes,
    ),
    "09-changed": Exercise(
        NUMBER,
        failure_rate,
        inputs=rate_inputs,
        hints=(
            "First find the texts that differ before and after.",
            "Of these texts, count those whose predicted class differs. Divide by the number of changed texts.",
            "changed = [i for i in range(len(before)) if before[i] != after[i]]; if it is empty, return 0.",
        ),
        because="`robustness.summarize` counts in the same way; its column `applies` is the number of changed texts.",
        mistakes=rate_mistakes,
    ),
    "09-success": Exercise(
        NUMBER,
        success_rate,
        inputs=success_inputs,
        hints=(
            'A text with the status "wrong before" was not searched. Does it belong to the texts that you divide by?',
            "Divide the number of flipped texts by the number of texts that were right before.",
            'statuses.count("flipped") / (len(statuses) - statuses.count("wrong before")), or 0 if that divides by 0.',
        ),
        because="Always ask what a success rate is divided by. Two accuracies, before and after, leave no doubt.",
        mistakes=success_mistakes,
    ),
    "09-epsilon": Exercise(
        NUMBER,
        epsilon_for,
        inputs=epsilon_inputs,
        hints=(
            "The text is one long vector: the vectors of its tokens, one after the other.",
            "Its squared norm is the sum of the squared norms of the tokens.",
            "share * sum(norm**2 for norm in token_norms) ** 0.5",
        ),
        because="25 tokens of norm 1 together have norm 5. So a longer text needs a larger epsilon for the same share.",
        mistakes=epsilon_mistakes,
    ),
}
