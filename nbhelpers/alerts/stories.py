"""Find the sentences that tell the same story, so that it counts once."""

from __future__ import annotations

import datetime
import itertools
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np

from .errors import AlertError


def shingles(text: str, size: int = 1) -> frozenset[str]:
    """Return the words of a text as a set, or its runs of several words.

    Runs of three to five words find copies of a text. Another author's words for the same story share hardly any.

    >>> sorted(shingles("Profit fell. Profit fell again!", size=2))
    ['fell again', 'fell profit', 'profit fell']
    """
    words = re.findall(r"\w+", text.lower())
    return frozenset(" ".join(words[i : i + size]) for i in range(max(1, len(words) - size + 1)))


def similarity(a: Any, b: Any) -> float:
    """Compute how alike two texts are: of sets the Jaccard index, of vectors the cosine.

    >>> similarity(frozenset("abc"), frozenset("bcd")), similarity(np.array([1.0, 0.0]), np.array([1.0, 1.0])).round(2)
    (0.5, np.float64(0.71))
    """
    if isinstance(a, frozenset):
        return len(a & b) / max(1, len(a | b))
    return a @ b / max(1e-12, float(np.linalg.norm(a) * np.linalg.norm(b)))


def find_stories(
    dates: Sequence[Any],
    groups: Sequence[Hashable],
    features: Sequence[Any] | None = None,
    *,
    min_similarity: float = 0.0,
    days: int = 3,
) -> list[int]:
    """Give each sentence the number of its story.

    A sentence belongs to a story of the same group if it was written at most `days` after the first sentence of the
    story, and if it is like one of the story's sentences. So a long affair is not one endless story. If several stories
    fit, the most similar one gets it.

    Args:
        dates: [sentences] days, such as "2041-03-05". They need not be in order.
        groups: [sentences] what sentences of one story have in common, such as the company, or company and topic.
        features: [sentences] sets from `shingles`, or vectors such as the pooled output of an encoder. None takes all
            sentences of a group within the days as one story.
        min_similarity: choose it on sentences whose stories are known; it depends on the features.
        days: how long a story is told.

    Returns:
        [sentences] numbers from 0, in order of the stories' first days.

    Raises:
        AlertError: the lengths differ, or a date is not valid.

    >>> find_stories(["2041-03-05", "2041-03-04", "2041-03-09"], ["A", "A", "A"])
    [0, 0, 1]
    """
    if len(dates) != len(groups) or (features is not None and len(features) != len(dates)):
        raise AlertError(f"{len(dates)} dates and {len(groups)} groups; pass a date, a group and features per sentence")
    try:
        # Many times faster than pandas for the few sentences of one company; a Timestamp begins with its date as well
        numbers = [datetime.date.fromisoformat(str(date)[:10]).toordinal() for date in dates]
    except ValueError as error:
        raise AlertError(f"a date cannot be read ({error}); write dates as 2041-03-05") from error
    order = sorted(range(len(dates)), key=lambda i: numbers[i])  # stable: sentences of a day stay in their order
    found = [0] * len(dates)
    members: list[list[int]] = []  # of each story
    recent: dict[Hashable, list[int]] = {}  # the stories of a group to which a sentence may still be added
    for i in order:
        still_told = [s for s in recent.get(groups[i], []) if numbers[i] - numbers[members[s][0]] <= days]
        likeness = {s: closest(i, members[s], features) for s in still_told}
        best = max(still_told, key=lambda s: likeness[s], default=-1)
        if best < 0 or likeness[best] < min_similarity:
            best = len(members)
            members.append([])
            still_told.append(best)
        recent[groups[i]] = still_told
        members[best].append(i)
        found[i] = best
    return found


def closest(i: int, members: Sequence[int], features: Sequence[Any] | None) -> float:
    """The similarity of a sentence to the most similar one of a story; infinite where there are no features."""
    return np.inf if features is None else max(similarity(features[i], features[j]) for j in members)


def pair_scores(stories: Sequence[Hashable], gold: Sequence[Hashable]) -> dict[str, float]:
    """Score found stories by their pairs of sentences.

    Args:
        stories: [sentences] the found stories.
        gold: [sentences] the right ones.

    Returns:
        "precision" (the share of found pairs that belong together), "recall" (the share of right pairs that were
        found), "f1" and "pairs" (the number of right pairs). A share of no pairs is 1.

    >>> pair_scores([0, 0, 0, 1], ["a", "a", "b", "b"])
    {'precision': 0.3333333333333333, 'recall': 0.5, 'f1': 0.4, 'pairs': 2}
    """

    def pairs(names: Sequence[Hashable]) -> set[tuple[int, int]]:
        places: dict[Hashable, list[int]] = {}
        for i, name in enumerate(names):
            places.setdefault(name, []).append(i)
        return {pair for members in places.values() for pair in itertools.combinations(members, 2)}

    if len(stories) != len(gold):
        raise AlertError(f"{len(stories)} found stories and {len(gold)} right ones; pass one of each per sentence")
    found, right = pairs(stories), pairs(gold)
    both = len(found & right)
    return {
        "precision": both / len(found) if found else 1.0,
        "recall": both / len(right) if right else 1.0,
        "f1": 2 * both / (len(found) + len(right)) if found or right else 1.0,
        "pairs": len(right),
    }


def story_label(labels: Sequence[str], order: Sequence[str]) -> str:
    """Return the most frequent label of a story's sentences; if there are several, the first of `order`.

    >>> story_label(["neutral", "negative"], order=["negative", "positive", "neutral"])
    'negative'
    """
    counts = Counter(labels)
    places = {name: place for place, name in enumerate(order)}
    return min(counts, key=lambda name: (-counts[name], places.get(name, len(places))))
