"""The exercises of lesson 15: MRR, copies of an answer in a batch, wrong answers at a threshold, cold items, fusion."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

from .alarms import ALERT_EXERCISES
from .exercise import Exercise
from .kinds import NUMBER, NUMBERS, WHOLE_NUMBER, about, plain


def reciprocal_rank(ranking: Sequence[int], relevant: Sequence[int], k: int) -> float:
    """1 / the rank of the first relevant page among the first k, and 0 if there is none."""
    return next((1 / place for place, page in enumerate(ranking[:k], start=1) if page in relevant), 0.0)


def mrr_inputs(draw: random.Random) -> list[tuple[list[int], list[int], int]]:
    """The page is in the third place, just beyond k, several are relevant, and drawn rankings."""
    some = [
        (draw.sample(range(12), 8), draw.sample(range(12), draw.randint(1, 3)), draw.randint(1, 8)) for _ in range(25)
    ]
    return [([8, 5, 2, 7], [2], 4), ([8, 5, 2, 7], [2], 2), ([8, 5, 2, 7], [7, 5], 4), ([1], [3], 1), *some]


def mrr_mistakes(ranking: Sequence[int], relevant: Sequence[int], k: int) -> dict[str, float]:
    """Places from 0, no cut, the last relevant page, the sum of all, and the rank itself."""
    places = [place for place, page in enumerate(ranking, start=1) if page in relevant]
    inside = [place for place in places if place <= k]
    first = inside[0] if inside else 0
    from_0 = 0.0 if not first else math.inf if first == 1 else 1 / (first - 1)
    return {
        "Beyond place k the value is 0, and the page does not count.": 1 / places[0] if places else 0.0,
        "This is the rank. Divide 1 by it.": float(first),
        "Places start at 1, and this counts from 0: enumerate(ranking[:k], start=1).": from_0,
        "Only the first relevant page counts. This takes the last one.": 1 / inside[-1] if inside else 0.0,
        "Only the first relevant page counts. This adds up all of them.": sum(1 / place for place in inside),
        "This is hit@k: 1 if there is a relevant page. MRR divides by its rank.": float(bool(inside)),
    }


def wrong_negatives(numbers: Sequence[int]) -> int:
    """How many pairs (question, page of another question) have the page of the question itself."""
    return sum(a == b for i, a in enumerate(numbers) for j, b in enumerate(numbers) if i != j)


def copies_inputs(draw: random.Random) -> list[tuple[list[int]]]:
    """Three of a kind, no copies, an empty batch, two pairs, and drawn batches."""
    some = [([draw.randrange(6) for _ in range(draw.randint(1, 10))],) for _ in range(20)]
    return [([4, 7, 4, 4],), ([1, 2, 3],), ([],), ([1, 1, 2, 2],), *some]


def copies_mistakes(numbers: Sequence[int]) -> dict[str, int]:
    """Each pair once, with the diagonal, questions, and surplus copies."""
    right = wrong_negatives(numbers)
    return {
        "Count each pair twice: page j is a negative of question i, and page i is one of question j.": right // 2,
        "A question and the page in the same place are the right pair, no negative: leave out i == j.": right
        + len(numbers),
        "This counts questions that have a copy. Count the pairs.": sum(list(numbers).count(x) > 1 for x in numbers),
        "This counts the surplus copies. Count the pairs.": len(numbers) - len(set(numbers)),
        "This counts the right negatives. Count the wrong ones.": len(numbers) * (len(numbers) - 1) - right,
    }


def wrong_percent(scores: Any, kinds: Sequence[str], threshold: float) -> float:
    """Percent of the unanswerable questions that get an answer, which is always a wrong one.

    Args:
        scores: of the best page of each question.
        kinds: "answered", or what kind of unanswerable question it is.
        threshold: the score from which on the page is shown.
    """
    outside = [score >= threshold for score, kind in zip(plain(scores), kinds, strict=True) if kind != "answered"]
    return 100 * sum(outside) / max(1, len(outside))


def wrong_mistakes(scores: Any, kinds: Sequence[str], threshold: float) -> dict[str, float]:
    """Parts of the table, other units, and the share that gets no answer."""
    values, right = plain(scores), wrong_percent(scores, kinds, threshold)

    def share(kind: str) -> float:
        rows = [score >= threshold for score, name in zip(values, kinds, strict=True) if name == kind]
        return 100 * sum(rows) / max(1, len(rows))

    everything = [score >= threshold for score, kind in zip(values, kinds, strict=True)]
    return {
        "This is a fraction. The question is about percent.": right / 100,
        "This is the share that gets no answer, which is right here.": 100 - right,
        "This is the line of the near ones. Count the far ones as well.": share("near"),
        "This is the line of the far ones. Count the near ones as well.": share("far"),
        "The lines have different numbers of questions, so weight each with its number.": (share("near") + share("far"))
        / 2,
        "This adds two percentages. Weight each line with its number of questions.": share("near") + share("far"),
        "This divides by all questions. Divide by the unanswerable ones.": right
        * sum(kind != "answered" for kind in kinds)
        / max(1, len(everything)),
    }


def cold_share(items_before: Sequence[int], items_after: Sequence[int]) -> float:
    """The share of the later reads whose item nobody had read before."""
    known = set(items_before)
    return sum(item not in known for item in items_after) / len(items_after)


def cold_inputs(draw: random.Random) -> list[tuple[list[int], list[int]]]:
    """A cold item that many read, none cold, all cold, and drawn reads."""
    some = [([draw.randrange(15) for _ in range(12)], [draw.randrange(20) for _ in range(10)]) for _ in range(20)]
    return [([1, 1, 2], [2, 9, 9, 9]), ([1, 2], [1]), ([], [3, 3]), *some]


def cold_mistakes(items_before: Sequence[int], items_after: Sequence[int]) -> dict[str, float]:
    """Items for reads, warm for cold, a count, and other denominators."""
    known, after = set(items_before), set(items_after)
    right = cold_share(items_before, items_after)
    return {
        "This counts items. Count reads: an item that three people read counts three times.": len(after - known)
        / len(after),
        "This is the share of the warm reads. Cold is an item that is not among the earlier ones.": 1 - right,
        "This is a number of reads. Divide it by all later reads.": right * len(items_after),
        "This is a percentage. Return a fraction.": 100 * right,
        "Divide by the later reads, not by all reads.": right
        * len(items_after)
        / (len(items_before) + len(items_after)),
    }


def fused(first: Sequence[int], second: Sequence[int], num_pages: int) -> list[float]:
    """The sum of 1 / (60 + rank) of each page."""
    sums = [0.0] * num_pages
    for ranking in (first, second):
        for rank, page in enumerate(ranking, start=1):
            sums[page] += 1 / (60 + rank)
    return sums


def fuse_inputs(draw: random.Random) -> list[tuple[list[int], list[int], int]]:
    """A page in both, one in neither, an empty ranking, and drawn rankings."""
    some = [
        (draw.sample(range(7), draw.randint(1, 7)), draw.sample(range(7), draw.randint(1, 7)), 7) for _ in range(20)
    ]
    return [([2, 0], [2, 1], 4), ([0, 1], [], 2), *some]


def fuse_mistakes(first: Sequence[int], second: Sequence[int], num_pages: int) -> dict[str, list[float]]:
    """Ranks from 0, no constant, and the best rank instead of the sum."""
    from_0, bare, best = ([0.0] * num_pages for _ in range(3))
    for ranking in (first, second):
        for rank, page in enumerate(ranking, start=1):
            from_0[page] += 1 / (59 + rank)
            bare[page] += 1 / rank
            best[page] = max(best[page], 1 / (60 + rank))
    return {
        "Ranks start at 1: enumerate(ranking, start=1).": from_0,
        "The 60 is missing: 1 / (60 + rank).": bare,
        "Add the parts from both rankings. This takes the larger one.": best,
    }


EXERCISES = {
    "15-mrr": Exercise(
        NUMBER,
        reciprocal_rank,
        inputs=mrr_inputs,
        hints=(
            "Cut the ranking after k pages. Then look for the first page that is relevant.",
            "enumerate(ranking[:k], start=1) gives each page with its rank.",
            "Return 1 / place for the first page in relevant, and 0.0 after the loop.",
        ),
        because="The mean of this number over the questions is MRR@k.",
        mistakes=mrr_mistakes,
    ),
    "15-copies": Exercise(
        WHOLE_NUMBER,
        wrong_negatives,
        inputs=copies_inputs,
        hints=(
            "Go through all pairs (i, j) with i different from j. How many have the same number?",
            "A page that is in the batch three times gives 3 * 2 such pairs.",
            "sum(a == b for i, a in enumerate(numbers) for j, b in enumerate(numbers) if i != j)",
        ),
        because="The loss of the lesson finds copies by the numbers of the pages, so give equal pages equal numbers.",
        mistakes=copies_mistakes,
    ),
    "15-wrong": Exercise(
        about(0.01),
        wrong_percent,
        hints=(
            "In the lines near and far, read the column with the wrong answers.",
            "The lines may have different numbers of questions. First turn each percentage into a number of questions.",
            "Add the wrong answers of both lines, divide by the sum of their questions, and multiply by 100.",
        ),
        because="A single number for both kinds depends on how many near ones you collected. Report both lines.",
        mistakes=wrong_mistakes,
    ),
    "15-cold": Exercise(
        NUMBER,
        cold_share,
        inputs=cold_inputs,
        hints=(
            "Make a set of the items that were read before.",
            "Count the later reads whose item is not in this set. An item that comes three times counts three times.",
            "sum(item not in set(items_before) for item in items_after) / len(items_after)",
        ),
        because="Counting readers can find none of these reads. Only comparing texts can.",
        mistakes=cold_mistakes,
    ),
    "15-fuse": Exercise(
        NUMBERS,
        fused,
        inputs=fuse_inputs,
        hints=(
            "Start with a list of zeros, one for each page.",
            "For each ranking and each rank from 1 on, add 1 / (60 + rank) to the page.",
            "for rank, page in enumerate(ranking, start=1): sums[page] += 1 / (60 + rank)",
        ),
        because="Only ranks are used, so it does not matter that BM25 and cosines have different scales.",
        mistakes=fuse_mistakes,
    ),
    **ALERT_EXERCISES,
}
