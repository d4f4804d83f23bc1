"""The exercises of lesson 10: a student's size, softmax with a temperature, which layers, the loss, equal updates."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, NUMBERS, ONE_OF, about


def size_of_student(sizes: Mapping[str, int]) -> int:
    """The number of parameters of a student with half of the layers.

    Args:
        sizes: "layers", the number of layers, and the parameters of "embeddings", of "each layer" and of the "rest".
    """
    return sizes["embeddings"] + (sizes["layers"] // 2) * sizes["each layer"] + sizes["rest"]


def size_mistakes(sizes: Mapping[str, int]) -> dict[str, float]:
    """Other parts of the model."""
    right, kept = size_of_student(sizes), sizes["layers"] // 2
    whole = right + (sizes["layers"] - kept) * sizes["each layer"]
    # Where the rest is small, an answer without it is taken as right.
    forgotten = {"The rest is missing.": right - sizes["rest"]} if sizes["rest"] > 0.01 * right else {}
    return forgotten | {
        "This is half of the whole model. The embeddings do not become fewer.": whole / 2,
        "These are the layers alone. The student also has the embeddings and the rest.": kept * sizes["each layer"],
        "This is the whole model. Leave out half of the layers.": whole,
        "These are the parameters without any layer.": sizes["embeddings"] + sizes["rest"],
        "This has one layer. A student has half of the layers.": right - (kept - 1) * sizes["each layer"],
        "This is right in millions. Write the number itself.": right / 1e6,
    }


def softened(logits: list[float], temperature: float) -> list[float]:
    """The softmax of logits that were divided by a temperature."""
    scaled = [logit / temperature for logit in logits]
    exponentials = [math.exp(logit - max(scaled)) for logit in scaled]
    return [exponential / sum(exponentials) for exponential in exponentials]


def temperature_inputs(draw: random.Random) -> list[tuple[list[float], float]]:
    """Usual logits, equal ones, a single class, temperatures below 1, and logits whose exponential is too large."""
    some = [
        ([round(draw.gauss(0, 3), 2) for _ in range(draw.randint(2, 6))], draw.choice((0.5, 1.5, 2.0, 4.0)))
        for _ in range(20)
    ]
    fixed: list[tuple[list[float], float]] = [([4.0, 2.0, 0.0], 2.0), ([1.0, -1.0], 0.5), ([3.0, 3.0, 3.0], 4.0)]
    return [*fixed, *some, ([2.5], 2.0), ([800.0, 796.0], 2.0)]


def temperature_mistakes(logits: list[float], temperature: float) -> dict[str, Any]:
    """What comes out where the temperature enters in another way."""
    plain = softened(logits, 1.0)
    powers = [p**temperature for p in plain]
    divided = [p / temperature for p in plain]
    scaled = [logit / temperature for logit in logits]
    return {
        "This multiplies by the temperature. Divide, so that a high one makes the probabilities more equal.": softened(
            logits, 1 / temperature
        ),
        "The temperature has no effect here. Divide each logit by it, before the softmax.": plain,
        "The probabilities are divided, so they no longer add up to 1. Divide the logits, before the softmax.": divided,
        "The power of the probabilities was taken. Divide the logits, before the softmax.": powers,
        "These are only the divided logits. Now take e to the power of each, and divide by their sum.": scaled,
        "These do not add up to 1. Divide each by their sum.": [math.exp(logit) for logit in scaled],
    }


def cross_entropy(logits: list[float], label: int) -> float:
    """Minus the natural logarithm of the label's probability."""
    return -math.log(softened(logits, 1.0)[label])


def divergence(first: list[float], second: list[float]) -> float:
    """KL(first || second)."""
    return sum(a * math.log(a / b) for a, b in zip(first, second, strict=True))


def distillation_loss(
    student: list[float], teacher: list[float], label: int, temperature: float, alpha: float
) -> float:
    """(1 - alpha) * CE(label, p) + alpha * T^2 * KL(q_T || p_T) for one text, from the logits of both models."""
    kl = divergence(softened(teacher, temperature), softened(student, temperature))
    return (1 - alpha) * cross_entropy(student, label) + alpha * temperature**2 * kl


def loss_inputs(draw: random.Random) -> list[tuple[list[float], list[float], int, float, float]]:
    """Usual logits, alpha 0 and 1, a temperature of 1, and a student that agrees with its teacher."""

    def some() -> tuple[list[float], list[float], int, float, float]:
        size = draw.randint(2, 5)
        student, teacher = ([round(draw.gauss(0, 2), 2) for _ in range(size)] for _ in range(2))
        return student, teacher, draw.randrange(size), draw.choice((1.5, 2.0, 4.0)), draw.choice((0.3, 0.6, 0.9))

    fixed = ([1.0, 1.0, 0.0], [4.0, 2.0, 0.0], 0, 2.0, 0.6)
    edges = [([1.0, 0.0], [0.0, 2.0], 1, 3.0, 0.0), ([1.0, 0.0], [0.0, 2.0], 1, 3.0, 1.0)]
    return [fixed, *(some() for _ in range(20)), *edges, ([2.0, 1.0], [2.0, 1.0], 0, 2.0, 0.5)]


def loss_mistakes(
    student: list[float], teacher: list[float], label: int, temperature: float, alpha: float
) -> dict[str, Any]:
    """The faults that distillation code has."""
    q, p = softened(teacher, temperature), softened(student, temperature)
    ce, kl, square = cross_entropy(student, label), divergence(q, p), temperature**2
    return {
        "T squared is missing: multiply the KL by temperature**2.": (1 - alpha) * ce + alpha * kl,
        "The KL is multiplied by the temperature. Take its square.": (1 - alpha) * ce + alpha * temperature * kl,
        "The KL is divided by the number of classes. Sum over the classes.": (1 - alpha) * ce
        + alpha * square * kl / len(student),
        "This is KL(p || q). The teacher's probabilities come first: KL(q || p).": (1 - alpha) * ce
        + alpha * square * divergence(p, q),
        "Alpha and 1 - alpha are swapped. Alpha is the share of the teacher.": alpha * ce + (1 - alpha) * square * kl,
        "The cross-entropy is computed with the temperature. It has none.": -(1 - alpha) * math.log(p[label])
        + alpha * square * kl,
        "The KL is computed without the temperature. Divide the logits of both models by it.": (1 - alpha) * ce
        + alpha * square * divergence(softened(teacher, 1.0), softened(student, 1.0)),
        "The cross-entropy is that of the teacher. Take the student's.": (1 - alpha) * cross_entropy(teacher, label)
        + alpha * square * kl,
        "The second part is the sum of -q * log p. The KL is the sum of q * (log q - log p).": (1 - alpha) * ce
        - alpha * square * sum(a * math.log(b) for a, b in zip(q, p, strict=True)),
    }


def best_layers(table: Any) -> list[str]:
    """The set of layers with the highest score before any training; where several share it, all of them.

    Args:
        table: a row per set, with the columns "before" and "after", the scores before and after a short training.
    """
    scores = table["before"]
    return [str(name).casefold() for name in scores.index[scores == scores.max()]]


def layers_mistakes(table: Any) -> dict[str, str]:
    """The sets that lead elsewhere."""
    ordered = table["before"].sort_values(ascending=False).index
    return {
        "This set is the best after the short training. The question is about the scores before it.": table[
            "after"
        ].idxmax(),
        "This set has the lowest score before any training.": ordered[-1],
        "This set is only the second best before any training.": ordered[min(1, len(ordered) - 1)],
        "This set gains most by the training. The question is about the scores before it.": (
            table["after"] - table["before"]
        ).idxmax(),
    }


def control_epochs(num_labeled: int, num_unlabeled: int, num_epochs: int) -> float:
    """The epochs on the labeled texts that make as many updates as some epochs on all texts."""
    return num_epochs * (num_labeled + num_unlabeled) / num_labeled


def epochs_inputs(draw: random.Random) -> list[tuple[int, int, int]]:
    """Few and many unlabeled texts, and none."""
    some = [(100 * draw.randint(2, 9), 100 * draw.randint(1, 90), draw.randint(2, 9)) for _ in range(20)]
    return [(500, 1000, 3), (300, 200, 4), *some, (400, 0, 5)]


def epochs_mistakes(num_labeled: int, num_unlabeled: int, num_epochs: int) -> dict[str, Any]:
    """What comes out when other texts are counted."""
    total = num_labeled + num_unlabeled
    right = num_epochs * total / num_labeled
    return {
        "With the same number of epochs on fewer texts, the control makes fewer updates.": num_epochs,
        "This is upside down: an epoch on the labeled texts is shorter, so the control needs more of them.": num_epochs
        * num_labeled
        / total,
        "The student reads the labeled texts as well. Count both kinds.": num_epochs * num_unlabeled / num_labeled,
        "Divide by the number of labeled texts, which are all that the control reads.": num_epochs
        * total
        / max(1, num_unlabeled),
        "This is the number of texts that are read. Divide it by the number of labeled texts.": num_epochs * total,
        "Do not round up: the number of epochs may be a fraction.": math.ceil(right),
        "Do not round: the number of epochs may be a fraction.": round(right),
        "Do not round down: the number of epochs may be a fraction.": math.floor(right),
    }


EXERCISES = {
    "10-size": Exercise(
        about(0.01),
        size_of_student,
        hints=(
            "The student keeps the embeddings, the rest, and half of the layers.",
            'sizes["layers"] // 2 is the number of layers that stay. Each has sizes["each layer"] parameters.',
            'sizes["embeddings"] + sizes["layers"] // 2 * sizes["each layer"] + sizes["rest"]',
        ),
        because="The embeddings stay, so the number of parameters falls by less than the number of layers.",
        mistakes=size_mistakes,
    ),
    "10-temperature": Exercise(
        NUMBERS,
        softened,
        inputs=temperature_inputs,
        hints=(
            "Divide each logit by the temperature. Then it is the usual softmax.",
            "The softmax takes e to the power of each number and divides by the sum. For large logits, subtract the "
            "largest one first.",
            "powers = [math.exp((x - max(logits)) / temperature) for x in logits], each divided by sum(powers)",
        ),
        because="If you subtract the largest logit first, no probability changes, and no power of e becomes too large.",
        mistakes=temperature_mistakes,
    ),
    "10-layers": Exercise(
        ONE_OF,
        best_layers,
        hints=(
            'Compare the numbers in the column "before".',
            "The answer is the name of a row, in quotation marks.",
            'table["before"].idxmax() finds the row with the highest score.',
        ),
        because="A score before training predicts the one after it only roughly. Train a little before you choose.",
        mistakes=layers_mistakes,
    ),
    "10-loss": Exercise(
        NUMBER,
        distillation_loss,
        inputs=loss_inputs,
        hints=(
            "There are two parts: the cross-entropy of the label, without a temperature, and the KL, with it.",
            "q and p are the softmax of teacher and student with the temperature. KL(q || p) is the sum of "
            "q * (log q - log p).",
            "(1 - alpha) * ce + alpha * temperature**2 * kl",
        ),
        because="With alpha = 1, the label has no effect, so the loss can be computed for texts without labels.",
        mistakes=loss_mistakes,
    ),
    "10-updates": Exercise(
        NUMBER,
        control_epochs,
        inputs=epochs_inputs,
        hints=(
            "The number of updates is proportional to the number of texts that are read.",
            "The student reads num_epochs * (num_labeled + num_unlabeled) texts. The control must read as many.",
            "num_epochs * (num_labeled + num_unlabeled) / num_labeled",
        ),
        because="With many unlabeled texts this is a long training. If the control overfits, that is also a result.",
        mistakes=epochs_mistakes,
    ),
}
