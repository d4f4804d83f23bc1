"""The exercises of lesson 13: a merge, epochs until a token was a target, fates of chosen tokens, fertility."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from typing import Any

from .exercise import Exercise
from .kinds import WHOLE_NUMBER, WHOLE_NUMBERS, about, plain

MASK = 4


def merged(ids: Sequence[int], first: int, second: int, new_id: int) -> list[int]:
    """The ids of a word after each pair of neighbors (first, second) became one new id, from left to right."""
    result: list[int] = []
    for token in ids:
        if result and (result[-1], token) == (first, second):
            result[-1] = new_id
        else:
            result.append(token)
    return result


def merge_inputs(draw: random.Random) -> list[tuple[list[int], int, int, int]]:
    """Once, twice, never, at the end, three equal ids, no ids, and drawn ones."""
    fixed = [
        ([7, 8, 9], 7, 8, 300),
        ([7, 8, 7, 8], 7, 8, 300),
        ([7, 7, 7], 7, 7, 300),
        ([5, 6, 9], 7, 8, 300),
        ([6, 300, 9], 300, 9, 301),
        ([], 7, 8, 300),
    ]
    some = [
        ([draw.randint(7, 8) for _ in range(draw.randint(1, 9))], draw.randint(7, 8), draw.randint(7, 8), 300)
        for _ in range(20)
    ]
    return [*fixed, *some]


def merge_mistakes(ids: Sequence[int], first: int, second: int, new_id: int) -> dict[str, list[int]]:
    """Only the first pair, overlapping pairs, ids that are lost or kept as well, and the pair turned round."""
    ids = list(ids)
    pairs = list(itertools.pairwise(ids))
    at = pairs.index((first, second)) if (first, second) in pairs else len(ids)
    once = [*ids[:at], new_id, *ids[at + 2 :]] if at < len(ids) else ids
    overlapping = [new_id if pair == (first, second) else pair[0] for pair in pairs] + ids[-1:]
    return {
        "This merges the first pair only. Go on to the end of the word.": once,
        "The second id of a merged pair is still there. Skip it.": overlapping,
        "The last id is missing. It has no neighbor on the right, and stays as it is.": merged(
            ids, first, second, new_id
        )[:-1],
        "This merges (second, first). The order of a pair matters.": merged(ids, second, first, new_id),
    }


def epochs_needed(probability: float, share: float) -> int:
    """In how many epochs with fresh masks a share of all tokens is expected to have been a target.

    Args:
        probability: of a token to be chosen in an epoch.
        share: of the tokens, below 1.
    """
    return math.ceil(math.log(1 - share) / math.log(1 - probability) - 1e-9)


def epochs_inputs(draw: random.Random) -> list[tuple[float, float]]:
    """The 15 % of the papers, and drawn ones.

    A drawn share lies between those of two epochs. Where it is reached exactly, rounding errors would decide.
    """

    def some() -> tuple[float, float]:
        probability = draw.choice((0.1, 0.15, 0.2, 0.4))
        epochs = draw.randint(1, int(math.log(0.01) / math.log(1 - probability))) - draw.uniform(0.2, 0.8)
        return probability, round(1 - (1 - probability) ** epochs, 3)

    return [(0.15, 0.95), (0.15, 0.5), (0.15, 0.15), (0.4, 0.9), *(some() for _ in range(20))]


def epochs_mistakes(probability: float, share: float) -> dict[str, float]:
    """Without overlaps, rounded down, and of the other logarithm."""
    right = math.log(1 - share) / math.log(1 - probability)
    return {
        "This adds up the shares, as if no token were chosen twice.": math.ceil(share / probability),
        "This is rounded down. After that many epochs the share is not reached yet.": math.floor(right),
        "The tokens that were not a target yet must fall to 1 - share, not to share.": math.ceil(
            math.log(share) / math.log(1 - probability)
        ),
    }


def count_fates(true_ids: Sequence[int], input_ids: Sequence[int], labels: Sequence[int], mask_id: int) -> list[int]:
    """How many of the chosen tokens became the mask token, another token, or stayed as they were.

    Args:
        true_ids, input_ids: before and after the masking.
        labels: -100 where a token was not chosen.
        mask_id: of the mask token.
    """
    chosen = [(a, b) for a, b, label in zip(true_ids, input_ids, labels, strict=True) if label != -100]
    masked = sum(b == mask_id for _, b in chosen)
    kept = sum(a == b for a, b in chosen)
    return [masked, len(chosen) - masked - kept, kept]


def fates_inputs(draw: random.Random) -> list[tuple[list[int], list[int], list[int], int]]:
    """All three fates, nothing chosen, and drawn rows."""

    def some() -> tuple[list[int], list[int], list[int], int]:
        true_ids = [draw.randint(5, 20) for _ in range(12)]
        chosen = [draw.random() < 0.5 for _ in true_ids]
        read = [draw.choice((MASK, draw.randint(5, 20), i)) if c else i for i, c in zip(true_ids, chosen, strict=True)]
        return true_ids, read, [i if c else -100 for i, c in zip(true_ids, chosen, strict=True)], MASK

    fixed = ([7, 8, 9, 6], [7, MASK, 5, 6], [-100, 8, 9, 6], MASK)
    return [fixed, ([7, 8], [7, 8], [-100, -100], MASK), ([], [], [], MASK), *(some() for _ in range(20))]


def fates_mistakes(
    true_ids: Sequence[int], input_ids: Sequence[int], labels: Sequence[int], mask_id: int
) -> dict[str, list[int]]:
    """Tokens that were not chosen counted as kept, and other orders."""
    masked, other, kept = count_fates(true_ids, input_ids, labels, mask_id)
    same = sum(a == b for a, b in zip(true_ids, input_ids, strict=True))
    return {
        "Tokens that were not chosen also stayed as they were. Count only those with a label.": [masked, other, same],
        "Do not count a token that became the mask token as another token.": [masked, other + masked, kept],
        "The order is: mask token, another token, stayed as it was.": [masked, kept, other],
    }


def times_english(table: Any, language: str) -> float:
    """How many times as many tokens as the English sentences their translations need.

    Args:
        table: a column "tokens" and the languages as index.
        language: the one that is asked about.
    """
    tokens = {str(name): float(count) for name, count in zip(plain(table.index), plain(table["tokens"]), strict=True)}
    return tokens[language] / tokens["English"]


def english_mistakes(table: Any, language: str) -> dict[str, float]:
    """The number itself, the ratio upside down, the difference, and the ratio of another column."""
    tokens = dict(zip(plain(table.index), plain(table["tokens"]), strict=True))
    other = dict(zip(plain(table.index), plain(table["per character"]), strict=True))
    return {
        "This is the number of tokens. Divide it by that of the English sentences.": float(tokens[language]),
        "This is how many more tokens they need. Divide the two numbers instead.": tokens[language] - tokens["English"],
        "The ratio is upside down. Divide by the English number.": tokens["English"] / tokens[language],
        "This compares tokens per character. Compare the tokens: the sentences say the same.": other[language]
        / other["English"],
    }


EXERCISES = {
    "13-merge": Exercise(
        WHOLE_NUMBERS,
        merged,
        inputs=merge_inputs,
        hints=(
            "Go through the ids from left to right, and build a new list.",
            "If the last id of the new list is `first` and the next id is `second`, replace the last id by `new_id`.",
            "Otherwise append the next id. The new id is not `first`, so it cannot begin the same pair again.",
        ),
        because="Byte-level BPE is this step, some 50,000 times, each time with the most frequent pair.",
        mistakes=merge_mistakes,
    ),
    "13-fertility": Exercise(
        about(0.03),
        times_english,
        hints=(
            "Read the column with the tokens: one number for the language, and one for English.",
            "The sentences say the same in all languages, so divide the two numbers of tokens.",
            "The solution divides the two cells of the table `ours`.",
        ),
        because="Texts of that language take that many times as much of the model's input, and cost more time.",
        mistakes=english_mistakes,
    ),
    "13-epochs": Exercise(
        WHOLE_NUMBER,
        epochs_needed,
        inputs=epochs_inputs,
        hints=(
            "Look at the tokens that were not a target yet. Which share of all tokens are they after each epoch?",
            "After n epochs, (1 - probability) ** n of the tokens were never chosen. It must be at most 1 - share.",
            "Take logarithms of both sides, divide, and round up with math.ceil.",
        ),
        because="With static masks, the share would stay as it is after the first epoch.",
        mistakes=epochs_mistakes,
    ),
    "13-fates": Exercise(
        WHOLE_NUMBERS,
        count_fates,
        inputs=fates_inputs,
        hints=(
            "Only tokens whose label is not -100 were chosen.",
            "Of those, compare what the model reads with the mask token, and with the true token.",
            "If it is neither the mask token nor the true token, it became another token.",
        ),
        because="Count this once on your own batches: a wrong collator raises no error.",
        mistakes=fates_mistakes,
    ),
}
