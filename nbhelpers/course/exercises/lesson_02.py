"""The exercises of lesson 2: the majority class, padding, batch size, texts that two splits share."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

from .exercise import Exercise
from .kinds import NUMBER, ONE_OF, WHOLE_NUMBER


def padding(lengths: list[int]) -> float:
    """The share of padding in one batch of texts of these lengths, all padded to the longest."""
    return 1 - sum(lengths) / (len(lengths) * max(lengths))


def padding_inputs(draw: random.Random) -> list[tuple[list[int]]]:
    """Batches of one to seven texts."""
    some = [([draw.randint(1, 40) for _ in range(draw.randint(2, 7))],) for _ in range(20)]
    return [([3, 9],), ([5],), ([2, 2, 8],), ([4, 4],), *some]


def padding_mistakes(lengths: list[int]) -> dict[str, Any]:
    """What comes out when another share is computed."""
    right = padding(lengths)
    return {
        "This is the share of real tokens. Padding is the rest.": 1 - right,
        "This is right in percent. Return a fraction between 0 and 1.": 100 * right,
        "This is the number of padding tokens. Divide it by all tokens of the batch.": right
        * len(lengths)
        * max(lengths),
        "This divides by the real tokens. Divide by all tokens of the batch.": len(lengths)
        * max(lengths)
        / sum(lengths)
        - 1,
    }


def majority_accuracy(labels: list[str]) -> float:
    """The accuracy of a model that always predicts the most frequent label."""
    return Counter(labels).most_common(1)[0][1] / len(labels)


def label_inputs(draw: random.Random) -> list[tuple[list[str]]]:
    """Lists of labels of one to three classes."""
    some = [([draw.choice(["joy", "fear", "neutral"]) for _ in range(draw.randint(1, 30))],) for _ in range(20)]
    return [(["joy", "neutral", "neutral"],), (["joy"],), (["joy", "fear"],), *some]


def majority_mistakes(labels: list[str]) -> dict[str, Any]:
    """What comes out when something else is counted."""
    counts = Counter(labels)
    return {
        "This is the number of texts with the most frequent label. Divide it by the number of all texts.": max(
            counts.values()
        ),
        "This is right in percent. Return a fraction between 0 and 1.": 100 * majority_accuracy(labels),
        "This is one divided by the number of classes, which is what guessing by chance gives.": 1 / len(counts),
        "This is the share of the rarest label.": min(counts.values()) / len(labels),
    }


def batch_size_mistakes() -> dict[str, Any]:
    """What one may expect of larger batches of random texts, in several words for each."""
    return {
        "It is the other way round: in a batch of one text, there is no padding at all.": [
            "falls",
            "fall",
            "it falls",
            "decreases",
            "it decreases",
            "goes down",
            "it goes down",
            "down",
            "shrinks",
        ],
        "The texts stay the same, but each is padded to the longest of more texts.": [
            "stays",
            "stay",
            "it stays",
            "stays the same",
            "it stays the same",
            "the same",
            "same",
            "nothing",
        ],
        "For a single batch it does. The question is about all batches together.": ["depends", "it depends"],
        "It goes in this direction, but not in proportion. Answer with one of the three words.": [
            "doubles",
            "it doubles",
            "8 times",
            "eight times",
        ],
    }


def num_shared(test: list[str], train: list[str]) -> int:
    """How many texts of test occur in train, if case and outer spaces do not matter.

    A text that test has twice counts twice.
    """
    known = {text.strip().lower() for text in train}
    return sum(text.strip().lower() in known for text in test)


def shared_inputs(draw: random.Random) -> list[tuple[list[str], list[str]]]:
    """Short texts, some of which differ only in case or spaces."""
    texts = ["Oh.", "oh.", " Oh. ", "No!", "NO!", "Well", "Yes, please.", "yes, please. ", "What?"]

    def some() -> list[str]:
        return [draw.choice(texts) for _ in range(draw.randint(0, 8))]

    return [(["Oh.", "oh.", "Bye."], ["OH. ", "No"]), ([], ["a"]), (["a"], []), *((some(), some()) for _ in range(20))]


def shared_mistakes(test: list[str], train: list[str]) -> dict[str, Any]:
    """What comes out when texts are compared in another way."""
    lower = [text.lower() for text in train]
    return {
        "Texts that differ only in case or in spaces around them are the same here. Compare text.strip().lower().": sum(
            text in train for text in test
        ),
        "Spaces before and after a text do not matter either. Use strip().": sum(
            text.lower() in lower for text in test
        ),
        "A text that occurs twice in test counts twice.": len(
            {text.strip().lower() for text in test} & {text.strip().lower() for text in train}
        ),
        "This counts the texts of train that occur in test. It is the other way round.": num_shared(train, test),
    }


EXERCISES = {
    "02-majority": Exercise(
        NUMBER,
        majority_accuracy,
        inputs=label_inputs,
        hints=(
            "The model is right for each text of the most frequent label, and wrong for all others.",
            "Count the labels. collections.Counter(labels) does it.",
            "Divide the largest count by len(labels).",
        ),
        because="An accuracy means little until you know this number for your data.",
        mistakes=majority_mistakes,
    ),
    "02-padding": Exercise(
        NUMBER,
        padding,
        inputs=padding_inputs,
        hints=(
            "How many tokens does the whole rectangle have, and how many of them are real?",
            "The rectangle has len(lengths) rows of max(lengths) tokens.",
            "Divide the real tokens by all tokens of the rectangle, and subtract the result from 1.",
        ),
        because="Batches of similar length have almost no padding, without cutting any text.",
        mistakes=padding_mistakes,
    ),
    "02-batch-size": Exercise(
        ONE_OF,
        ["rises", "rise", "it rises", "increases", "it increases", "grows", "goes up", "it goes up", "up"],
        hints=(
            "All texts of a batch are padded to its longest one.",
            "Imagine batches of one text. How much padding do they have?",
            "Which is likely to be longer: the longest of 4 random texts, or the longest of 32?",
        ),
        because="The longest of many texts is longer than the longest of a few, and all others are padded to it.",
        mistakes=batch_size_mistakes,
    ),
    "02-shared": Exercise(
        WHOLE_NUMBER,
        num_shared,
        inputs=shared_inputs,
        hints=(
            "Bring all texts into one form first: no spaces around them, no capital letters.",
            "Make a set of the texts of train in that form. Then ask for each text of test whether it is in the set.",
            "known = {text.strip().lower() for text in train}; count the texts of test whose form is in known.",
        ),
        because="Exact comparison misses such copies, and they can make the test score too good.",
        mistakes=shared_mistakes,
    ),
}
