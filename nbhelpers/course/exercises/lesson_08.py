"""The exercises of lesson 8: class weights, tau and recall, labels that break, the tau that a text needs, leaks."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, NUMBERS, WHOLE_NUMBER, about, plain

NEGATIONS = ["not", "no", "never"]
WORDS = ["it", "came", "late", "and", "I", "want", "a", "refund", *NEGATIONS]


def weights(counts: Sequence[int]) -> list[float]:
    """Class weights proportional to 1 / n_c, with mean 1 over the rows."""
    return [sum(counts) / (len(counts) * count) for count in counts]


def weights_inputs(draw: random.Random) -> list[tuple[list[int]]]:
    """Classes of different sizes, a single row in a class, and equal classes."""
    some = [([draw.randint(1, 400) for _ in range(size)],) for size in (2, 3, 5, 8) * 5]
    return [([80, 15, 5],), ([9, 1],), ([7, 7],), *some]


def weights_mistakes(counts: Sequence[int]) -> dict[str, list[float]]:
    """Other normalizations and other formulas."""
    total, inverse = sum(counts), [1 / count for count in counts]
    root = [count**-0.5 for count in counts]
    of_roots = sum(count * weight for count, weight in zip(counts, root, strict=True))
    return {
        "These are the shares of the classes. A rare class must get the largest weight.": [n / total for n in counts],
        "This is 1 / n_c. Scale it, so that the mean over the rows is 1.": inverse,
        "The mean over the rows is the number of classes. Divide by that number.": [total / n for n in counts],
        "These weights have mean 1 over the classes. Take it over the rows, where a class counts n_c times.": [
            w * len(counts) / sum(inverse) for w in inverse
        ],
        "These weights add up to 1. Their mean over the rows must be 1.": [w / sum(inverse) for w in inverse],
        "This is the square-root formula. Use 1 / n_c.": [weight * total / of_roots for weight in root],
    }


def decide(logits: Sequence[Sequence[float]], counts: Sequence[int], tau: float) -> list[int]:
    """The predicted class of each row, after tau times the log prior was subtracted."""
    prior = [math.log(count / sum(counts)) for count in counts]
    return [max(range(len(row)), key=lambda c: row[c] - tau * prior[c]) for row in logits]


def ratios(labels: Sequence[int], predicted: Sequence[int], label: int) -> tuple[float, float]:
    """Recall and precision of a class in percent; 0 / 0 counts as 0."""
    found = 100 * sum(a == b == label for a, b in zip(labels, predicted, strict=True))
    return found / max(1, list(labels).count(label)), found / max(1, list(predicted).count(label))


def recall_change(labels: Any, logits: Any, counts: Any) -> float:
    """By how many points the recall of the rarest class differs between tau = 1 and tau = 0.

    Args:
        labels: the gold classes [rows].
        logits: those of the plain model [rows, classes].
        counts: the training rows of each class [classes].
    """
    before, after = rarest_ratios(labels, logits, counts)
    return after[0] - before[0]


def rarest_ratios(labels: Any, logits: Any, counts: Any) -> list[tuple[float, float]]:
    """Recall and precision of the rarest class for tau = 0 and for tau = 1."""
    labels, logits, counts = plain(labels), plain(logits), plain(counts)
    return [ratios(labels, decide(logits, counts, tau), counts.index(min(counts))) for tau in (0, 1)]


def recall_mistakes(labels: Any, logits: Any, counts: Any) -> dict[str, float]:
    """Other columns of the table, and other units."""
    before, after = rarest_ratios(labels, logits, counts)
    change = after[0] - before[0]
    return {
        "This is the recall at tau = 1. Subtract the one at tau = 0.": after[0],
        "This is the recall at tau = 0. Subtract it from the one at tau = 1.": before[0],
        "This is the change of the precision. The recall is the next column.": after[1] - before[1],
        "The sign is turned: subtract the recall at tau = 0 from the one at tau = 1.": -change,
        "This is a fraction. The question is about points.": change / 100,
    }


def num_broken(texts: list[str], copies: list[str], protected: list[str]) -> int:
    """How many copies have other protected words than their text, or another number of them."""
    return num_different([text.lower() for text in texts], [copy.lower() for copy in copies], protected)


def num_different(texts: list[str], copies: list[str], protected: list[str]) -> int:
    """As `num_broken`, where "Never" is not the protected word "never"."""
    kept = [[sorted(word for word in text.split() if word in protected) for text in part] for part in (texts, copies)]
    return sum(text != copy for text, copy in zip(*kept, strict=True))


def broken_inputs(draw: random.Random) -> list[tuple[list[str], list[str], list[str]]]:
    """A negation dropped, one added, one of two dropped, a capital letter, and drawn texts."""
    texts = ["I do not want it", "it came late", "Never again", "no I do not", "not good and not bad"]
    copies = ["I do want it", "it never came late", "never again", "I do", "not good and bad"]
    fixed = [(texts, copies, NEGATIONS), ([], [], NEGATIONS), (["a refund"], ["refund"], NEGATIONS)]

    def some() -> tuple[list[str], list[str], list[str]]:
        texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 8))) for _ in range(6)]
        copies = [" ".join(word for word in text.split() if draw.random() > 0.3) for text in texts]
        copies = [copy + draw.choice(["", "", " not"]) for copy in copies]
        return texts, copies, NEGATIONS

    return [*fixed, *(some() for _ in range(20))]


def broken_mistakes(texts: list[str], copies: list[str], protected: list[str]) -> dict[str, int]:
    """Other counts of the same copies."""
    pairs = [(text.lower().split(), copy.lower().split()) for text, copy in zip(texts, copies, strict=True)]
    counted = [[(text.count(word), copy.count(word)) for word in protected] for text, copy in pairs]
    return {
        "A capital letter makes no difference. Compare in lower case.": num_different(texts, copies, protected),
        'This compares how many protected words there are. Also compare which: "not" may become "never".': sum(
            sum(before for before, _ in row) != sum(after for _, after in row) for row in counted
        ),
        "A copy with an added protected word is broken as well.": sum(
            any(before > after for before, after in row) for row in counted
        ),
        "This counts words. Count copies: one with two lost words is one broken copy.": sum(
            abs(before - after) for row in counted for before, after in row
        ),
        "A text can have the same word twice. A set does not see that one of the two is gone.": sum(
            any((before > 0) != (after > 0) for before, after in row) for row in counted
        ),
        "This counts all copies that differ. Only protected words matter.": sum(text != copy for text, copy in pairs),
        "This counts the copies that are not broken.": len(pairs) - num_broken(texts, copies, protected),
    }


def needed_tau(gap: float, frequent: int, rare: int) -> float:
    """The tau at which two classes are equal.

    Args:
        gap: by how much the logit of the frequent class is above that of the rare class.
        frequent, rare: their numbers of training rows.
    """
    return gap / math.log(frequent / rare)


def tau_inputs(draw: random.Random) -> list[tuple[float, int, int]]:
    """Usual gaps and counts, and a gap of 0."""
    some = [(round(draw.uniform(0.1, 6), 2), draw.randint(100, 400), draw.randint(1, 60)) for _ in range(20)]
    return [(1.5, 364, 20), (0.0, 9, 1), (2.0, 2, 1), *some]


def tau_mistakes(gap: float, frequent: int, rare: int) -> dict[str, float]:
    """Other logarithms, and the ratio itself."""
    ratio = frequent / rare
    return {
        "This is computed with the logarithm to base 10. Use the natural one, math.log.": gap / math.log10(ratio),
        "The logarithm of the ratio is missing: what is subtracted is tau times the log prior.": gap / ratio,
        "The sign is turned: the log prior of the frequent class is the larger one.": gap / math.log(1 / ratio),
        "Divide the gap by the difference of the log priors; this multiplies.": gap * math.log(ratio),
        "This uses the log prior of the rare class alone. Both logits move.": gap / -math.log(rare / (frequent + rare)),
    }


def num_leaks(train_sources: list[int], dev_sources: list[int]) -> int:
    """How many dev rows come from a text that a row of train comes from as well."""
    seen = set(train_sources)
    return sum(source in seen for source in dev_sources)


def leak_inputs(draw: random.Random) -> list[tuple[list[int], list[int]]]:
    """Two copies of one text in dev, no leak, empty splits, and drawn rows."""
    some = [([draw.randrange(20) for _ in range(12)], [draw.randrange(20) for _ in range(6)]) for _ in range(20)]
    return [([0, 0, 0, 1, 2], [2, 3, 0, 0]), ([0, 1], [2]), ([], [4]), ([5], []), *some]


def leak_mistakes(train_sources: list[int], dev_sources: list[int]) -> dict[str, float]:
    """Other counts of the same sources."""
    both = set(train_sources) & set(dev_sources)
    return {
        "This counts texts. Count the rows of dev: two copies of one text are two rows.": len(both),
        "This counts the rows of train. Count those of dev.": sum(source in both for source in train_sources),
        "This counts the clean rows of dev.": len(dev_sources) - num_leaks(train_sources, dev_sources),
        "This compares rows at the same place. Their order does not matter.": sum(
            a == b for a, b in zip(train_sources, dev_sources, strict=False)
        ),
    }


EXERCISES = {
    "08-weights": Exercise(
        NUMBERS,
        weights,
        inputs=weights_inputs,
        hints=(
            "Begin with 1 / n_c for each class. The mean over the rows counts each class n_c times.",
            "The sum of n_c * 1 / n_c is the number of classes. Divided by the number of rows, it must be 1.",
            "sum(counts) / (len(counts) * count) for each count is the weight.",
        ),
        because="With 80, 15 and 5 rows, a row of the rarest class counts 16 times as much as one of the largest.",
        mistakes=weights_mistakes,
    ),
    "08-recall": Exercise(
        about(0.03),
        recall_change,
        hints=(
            "Set tau to 0 and to 1, and read the recall in the first line both times. Tau = 0 is the plain model.",
            "Subtract the recall at tau = 0 from the one at tau = 1. A fall is a negative number.",
            "The solution computes both recalls with metrics.per_class, from logits['plain']['dev'].",
        ),
        because="Divide 100 by the number of dev rows of the class: each of them is that many points of recall.",
        mistakes=recall_mistakes,
    ),
    "08-broken": Exercise(
        WHOLE_NUMBER,
        num_broken,
        inputs=broken_inputs,
        hints=(
            "For each text and each copy, list the protected words that are in it, in lower case.",
            "A copy is broken if its list has other words, or a word more or less often. The order does not matter.",
            "Compare sorted(word for word in text.lower().split() if word in protected) with the same of the copy.",
        ),
        because="The helper breaks_label also copes with punctuation, apostrophes and capital letters.",
        mistakes=broken_mistakes,
    ),
    "08-tau": Exercise(
        NUMBER,
        needed_tau,
        inputs=tau_inputs,
        hints=(
            "Write both adjusted logits: the logit minus tau times the log prior. Set them equal.",
            "gap = tau * (log prior of the frequent class - log prior of the rare one).",
            "The difference of the log priors is math.log(frequent / rare). Divide the gap by it.",
        ),
        because="The total number of rows does not matter. Only the ratio of the two classes does.",
        mistakes=tau_mistakes,
    ),
    "08-leak": Exercise(
        WHOLE_NUMBER,
        num_leaks,
        inputs=leak_inputs,
        hints=(
            "A row of dev leaks if its source is the source of any row of train.",
            "Put the sources of train into a set. Then go through the rows of dev, one after the other.",
            "sum(source in set(train_sources) for source in dev_sources)",
        ),
        because="check_no_leak raises an error as soon as this number is not 0.",
        mistakes=leak_mistakes,
    ),
}
