"""The exercises of lesson 3: the first loss, the class with the lowest precision, F1, and cross-entropy."""

from __future__ import annotations

import math
import random
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, ONE_OF


def first_loss(num_classes: int) -> float:
    """The cross-entropy of a model that gives each class the same probability."""
    return math.log(num_classes)


def first_loss_inputs(draw: random.Random) -> list[tuple[int]]:
    """Two classes, the seven emotions, and other numbers."""
    return [(7,), (2,), (3,), (1000,), *((draw.randint(4, 200),) for _ in range(20))]


def first_loss_mistakes(num_classes: int) -> dict[str, Any]:
    """What comes out when a step is left out, or for another logarithm."""
    return {
        "This is the probability of each class. The loss is minus its logarithm.": 1 / num_classes,
        "The sign is turned: a loss is never negative.": -math.log(num_classes),
        "This is in bits. Use the natural logarithm.": math.log2(num_classes),
        "This is the logarithm to base 10. Use the natural one.": math.log10(num_classes),
        "This is the share of texts that a guess gets wrong. The loss is minus the logarithm of a probability.": 1
        - 1 / num_classes,
    }


def f1(hits: int, false_alarms: int, misses: int) -> float:
    """F1 of one class from its hits, false alarms and misses; 0 where there is nothing to hit."""
    return 2 * hits / max(1, 2 * hits + false_alarms + misses)


def f1_inputs(draw: random.Random) -> list[tuple[int, int, int]]:
    """Usual counts, and classes that are never predicted or never occur."""
    some = [(draw.randint(0, 20), draw.randint(0, 20), draw.randint(0, 20)) for _ in range(20)]
    return [(8, 2, 2), (1, 0, 3), (5, 5, 0), (0, 4, 4), (0, 0, 3), (0, 0, 0), *some]


def f1_mistakes(hits: int, false_alarms: int, misses: int) -> dict[str, Any]:
    """What comes out for the other scores."""
    precision, recall = hits / max(1, hits + false_alarms), hits / max(1, hits + misses)
    return {
        "This is the ordinary mean of precision and recall. F1 is their harmonic mean, 2 p r / (p + r).": (
            precision + recall
        )
        / 2,
        "This is the precision.": precision,
        "This is the recall.": recall,
        "This is the share of hits among all three counts, without the factor 2 for hits.": hits
        / max(1, hits + false_alarms + misses),
        "This is right in percent. Return a fraction between 0 and 1.": 100 * f1(hits, false_alarms, misses),
    }


def cross_entropy(logits: list[float], label: int) -> float:
    """The cross-entropy of one text, in nats."""
    top = max(logits)
    return top + math.log(sum(math.exp(logit - top) for logit in logits)) - logits[label]


def cross_entropy_inputs(draw: random.Random) -> list[tuple[list[float], int]]:
    """Two to five classes, and logits so large that their exponential is infinite."""
    some = [([round(draw.gauss(0, 2), 2) for _ in range(draw.randint(2, 5))], draw.randint(0, 1)) for _ in range(20)]
    return [([2.0, 0.0, 1.0], 0), ([0.0, 0.0], 1), ([5.0, -5.0], 1), *some, ([1000.0, 999.0], 1)]


def cross_entropy_mistakes(logits: list[float], label: int) -> dict[str, Any]:
    """What comes out when a step is left out."""
    right = cross_entropy(logits, label)
    return {
        "This is the probability of the label. The loss is minus its logarithm.": math.exp(-right),
        "The sign is turned: a loss is never negative.": -right,
        "This is in bits. Use the natural logarithm.": right / math.log(2),
        "This is minus the logit. First make probabilities of the logits with a softmax.": -logits[label],
    }


def precisions(confusion: Any) -> dict[str, float]:
    """The precision of each class that was predicted.

    Args:
        confusion: a DataFrame of counts with a row for each gold class, and a column for each prediction.
    """
    counts = confusion.to_numpy()
    return {
        str(name): counts[i, i] / counts[:, i].sum() for i, name in enumerate(confusion.index) if counts[:, i].sum()
    }


def weakest_classes(confusion: Any) -> list[str]:
    """The classes with the lowest precision; several, if they have the same."""
    found = precisions(confusion)
    return [name.casefold() for name, precision in found.items() if precision == min(found.values())]


def weakest_mistakes(confusion: Any) -> dict[str, list[str]]:
    """The classes that a learner may take for it."""
    counts, names = confusion.to_numpy(), list(map(str, confusion.index))
    found = precisions(confusion)
    recall = {name: counts[i, i] / max(1, counts[i].sum()) for i, name in enumerate(names)}
    false_alarms = {name: counts[:, i].sum() - counts[i, i] for i, name in enumerate(names)}
    known = {
        "This class has the highest precision.": max(found, key=lambda name: found[name]),
        "This class has the lowest recall, which is read along a line. Read down the columns.": min(
            recall, key=lambda name: recall[name]
        ),
        "This class has the most false alarms in numbers, because it is predicted often. Precision is a share.": max(
            false_alarms, key=lambda name: false_alarms[name]
        ),
        "This class is predicted least often, but it does not have the lowest precision.": min(
            found, key=lambda name: counts[:, names.index(name)].sum()
        ),
    }
    return {
        words: [name.casefold()] for words, name in known.items() if name.casefold() not in weakest_classes(confusion)
    }


EXERCISES = {
    "03-first-loss": Exercise(
        NUMBER,
        first_loss,
        inputs=first_loss_inputs,
        hints=(
            "Which probability does each class have, if all have the same and they add up to 1?",
            "The probability is 1 / num_classes. The loss is minus the natural logarithm of it.",
            "-math.log(1 / num_classes), which is math.log(num_classes)",
        ),
        because="A first loss far above it often means a loss that is summed, or too large first weights of the head.",
        mistakes=first_loss_mistakes,
    ),
    "03-weakest": Exercise(
        ONE_OF,
        weakest_classes,
        hints=(
            "Precision is read down a column of the matrix: the share of the predictions of a class that are right.",
            "The matrix shows percentages of a line, so take the counts, `confusion`. Divide each number on the "
            "diagonal by the sum of its column, confusion.sum(axis=0).",
            "pd.Series(confusion.to_numpy().diagonal() / confusion.sum(axis=0), index=names).sort_values()",
        ),
        because="Choose its column in the cell above, and read what was taken for it: the model, or the labels?",
        mistakes=weakest_mistakes,
    ),
    "03-f1": Exercise(
        NUMBER,
        f1,
        inputs=f1_inputs,
        hints=(
            "Compute precision and recall first. Which numbers make a division by 0?",
            "Precision is hits / (hits + false alarms), recall is hits / (hits + misses). Without hits, F1 is 0.",
            "2 * hits / (2 * hits + false_alarms + misses) equals 2pr / (p + r); one case is left to treat.",
        ),
        because="The harmonic mean is near the smaller of the two, so a class must be both found and not overused.",
        mistakes=f1_mistakes,
    ),
    "03-cross-entropy": Exercise(
        NUMBER,
        cross_entropy,
        inputs=cross_entropy_inputs,
        hints=(
            "Softmax first: e to the power of each logit, divided by the sum of all of them.",
            "The loss is minus the logarithm of the label's probability. Subtract the largest logit from all logits "
            "before you take exponentials; this changes no probability and avoids numbers that are too large.",
            "math.log(sum(math.exp(x - max(logits)) for x in logits)) - (logits[label] - max(logits))",
        ),
        because="torch.nn.functional.cross_entropy does the same, with the same care for large logits.",
        mistakes=cross_entropy_mistakes,
    ),
}
