"""The exercises of lesson 16: unknown tokens, the worst language, the number of windows, a break-even point."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from .exercise import Exercise
from .kinds import NUMBER, WHOLE_NUMBER

PIECES = ["the", "##s", "菜", "好", "，", "shop"]
LANGUAGES = ["de", "en", "es", "zh"]


def unknown_share(tokens: Sequence[Sequence[str]], unk_token: str) -> float:
    """The share of unknown tokens among all tokens of all texts, in percent."""
    return 100 * sum(list(text).count(unk_token) for text in tokens) / sum(map(len, tokens))


def unknown_inputs(draw: random.Random) -> list[tuple[list[list[str]], str]]:
    """Texts of unequal lengths, without unknown tokens, of nothing else, and an empty text."""

    def some() -> list[list[str]]:
        return [draw.choices([*PIECES, "[UNK]", "[UNK]"], k=draw.randint(1, 9)) for _ in range(5)]

    fixed = [([["[UNK]"], ["a", "b", "c"]], "[UNK]"), ([["<unk>", "<unk>"]], "<unk>"), ([["a"], [], ["b"]], "[UNK]")]
    return [*fixed, *((some(), "[UNK]") for _ in range(20))]


def unknown_mistakes(tokens: Sequence[Sequence[str]], unk_token: str) -> dict[str, float]:
    """Other averages of the same counts."""
    counts = [(list(text).count(unk_token), len(text)) for text in tokens if text]
    share = unknown_share(tokens, unk_token)
    return {
        "This is a fraction. Give percent.": share / 100,
        "This is the mean of the texts' shares. A long text must count more: add up first, then divide.": 100
        * sum(unknown / length for unknown, length in counts)
        / len(counts),
        "This is the share of texts with an unknown token. Count tokens.": 100
        * sum(unknown > 0 for unknown, _ in counts)
        / len(counts),
        "This is the share of the known tokens.": 100 - share,
        "Divide by the number of all tokens, not by the number of texts.": share * sum(map(len, tokens)) / len(tokens),
    }


def worst_language(labels: Sequence[str], predictions: Sequence[str], languages: Sequence[str]) -> float:
    """The accuracy of the language that has the lowest one, in percent."""
    return min(accuracies(labels, predictions, languages).values())


def accuracies(labels: Sequence[str], predictions: Sequence[str], languages: Sequence[str]) -> dict[str, float]:
    """The accuracy of each language, in percent."""
    right = [label == predicted for label, predicted in zip(labels, predictions, strict=True)]
    return {
        language: 100
        * sum(hit for hit, own in zip(right, languages, strict=True) if own == language)
        / list(languages).count(language)
        for language in dict.fromkeys(languages)
    }


def worst_inputs(draw: random.Random) -> list[tuple[list[str], list[str], list[str]]]:
    """A frequent language that hides a rare one, one language alone, and drawn rows."""

    def some() -> tuple[list[str], list[str], list[str]]:
        size = draw.randint(4, 20)
        columns = [draw.choices(values, k=size) for values in (["good", "bad"], ["good", "bad"], LANGUAGES)]
        return columns[0], columns[1], columns[2]

    hidden = (["good"] * 9 + ["bad"], ["good"] * 10, ["en"] * 9 + ["zh"])
    return [hidden, (["good", "bad"], ["good", "good"], ["de", "de"]), *(some() for _ in range(20))]


def worst_mistakes(labels: Sequence[str], predictions: Sequence[str], languages: Sequence[str]) -> dict[str, float]:
    """Other summaries of the same accuracies."""
    each = accuracies(labels, predictions, languages)
    right = sum(label == predicted for label, predicted in zip(labels, predictions, strict=True))
    return {
        "This is the accuracy over all rows. A frequent language decides it.": 100 * right / len(labels),
        "This is the mean of the languages. The question is about the worst one.": sum(each.values()) / len(each),
        "This is the best language.": max(each.values()),
        "This is a fraction. Give percent.": min(each.values()) / 100,
    }


def num_windows(num_tokens: int, max_length: int, overlap: int) -> int:
    """How many windows a text needs at least.

    Args:
        num_tokens: of the text, without special tokens.
        max_length: of a window, with its two special tokens.
        overlap: tokens that two neighbors share at least.
    """
    room = max_length - 2
    return max(1, math.ceil((num_tokens - overlap) / (room - overlap)))


def windows_inputs(draw: random.Random) -> list[tuple[int, int, int]]:
    """A text that just fits, one token more, no overlap, and drawn lengths."""
    some = [(draw.randint(1, 3000), draw.choice([64, 128, 512]), draw.choice([0, 16, 32])) for _ in range(20)]
    return [(510, 512, 64), (511, 512, 64), (1020, 512, 0), (1021, 512, 0), (1, 512, 128), *some]


def windows_mistakes(num_tokens: int, max_length: int, overlap: int) -> dict[str, int]:
    """Forgotten tokens, and rounding to the wrong side."""
    room = max_length - 2
    return {
        "The two special tokens of each window take room as well: max_length - 2.": max(
            1, math.ceil((num_tokens - overlap) / (max_length - overlap))
        ),
        "Each further window brings only room - overlap new tokens.": max(1, math.ceil(num_tokens / room)),
        "The first window has nothing before it to share, so subtract the overlap from the tokens once.": max(
            1, math.ceil(num_tokens / (room - overlap))
        ),
        "Round up: a rest needs a window of its own.": (num_tokens - overlap) // (room - overlap),
        "Each text needs a window, even one that is shorter than the overlap: max(1, ...).": math.ceil(
            (num_tokens - overlap) / (room - overlap)
        ),
    }


def break_even(labels: int, cents_per_label: float, training_cents: float, cents_per_thousand: float) -> int:
    """The number of texts from which an encoder of one's own is cheaper than a prompted model.

    Args:
        labels: how many must be written.
        cents_per_label: what one costs.
        training_cents: what the training costs.
        cents_per_thousand: by how much a thousand texts cost more with the prompted model.
    """
    return math.ceil(1000 * (labels * cents_per_label + training_cents) / cents_per_thousand)


def even_inputs(draw: random.Random) -> list[tuple[int, int, int, int]]:
    """Usual costs, of which none are equal for a whole number of texts: there, rounding would refuse a right answer."""
    some = [
        (draw.randint(100, 3000), draw.randint(5, 80), draw.randint(0, 500), draw.randint(7, 90)) for _ in range(30)
    ]
    known = [(500, 20, 100, 30), (200, 10, 0, 70)]
    return known + [costs for costs in some if 1000 * (costs[0] * costs[1] + costs[2]) % costs[3]]


def even_mistakes(labels: int, cents_per_label: int, training_cents: int, cents_per_thousand: int) -> dict[str, int]:
    """Forgotten costs and units."""
    once = labels * cents_per_label + training_cents
    return {
        "The price is for a thousand texts.": math.ceil(once / cents_per_thousand),
        "The training costs something as well.": math.ceil(1000 * labels * cents_per_label / cents_per_thousand),
        "The labels cost something as well.": math.ceil(1000 * training_cents / cents_per_thousand),
        "Round up: with this many texts, the encoder is not yet cheaper.": 1000 * once // cents_per_thousand,
    }


EXERCISES = {
    "16-unknown": Exercise(
        NUMBER,
        unknown_share,
        inputs=unknown_inputs,
        hints=(
            "You need two sums over all texts: the unknown tokens, and all tokens.",
            "text.count(unk_token) counts in one text. An empty text adds nothing to either sum.",
            "100 * sum(text.count(unk_token) for text in tokens) / sum(len(text) for text in tokens)",
        ),
        because="Look at this number before you train. What the tokenizer has lost, no training brings back.",
        mistakes=unknown_mistakes,
    ),
    "16-worst": Exercise(
        NUMBER,
        worst_language,
        inputs=worst_inputs,
        hints=(
            "Compute the accuracy of each language from its own rows, and take the smallest.",
            "For a language, the rows are [i for i, own in enumerate(languages) if own == language].",
            "The min() over the languages of 100 * sum(labels[i] == predictions[i] for i in rows) / len(rows)",
        ),
        because="A score over all rows is mostly the score of the most frequent language.",
        mistakes=worst_mistakes,
    ),
    "16-windows": Exercise(
        WHOLE_NUMBER,
        num_windows,
        inputs=windows_inputs,
        hints=(
            "A window has room for max_length - 2 tokens of the text.",
            "The first window covers room tokens, and each further one room - overlap more.",
            "max(1, math.ceil((num_tokens - overlap) / (room - overlap))) with room = max_length - 2",
        ),
        because="The costs grow with the number of windows, so count them before you choose an overlap.",
        mistakes=windows_mistakes,
    ),
    "16-even": Exercise(
        WHOLE_NUMBER,
        break_even,
        inputs=even_inputs,
        hints=(
            "First add up what you pay once for the encoder: the labels and the training.",
            "A text saves cents_per_thousand / 1000 cents. How many texts save what was paid once?",
            "math.ceil(1000 * (labels * cents_per_label + training_cents) / cents_per_thousand)",
        ),
        because="The labels decide, so find out early how many you need.",
        mistakes=even_mistakes,
    ),
}
