"""From scores to rankings, and the scores of rankings: MRR, nDCG, recall and hits at k, a row per question."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Relevant = Sequence[Mapping[int, float] | Collection[int]]  # of each question: {item: grade}, or items with grade 1
NO_ITEM = -1  # faiss fills a ranking with it where it found fewer items


def rank_items(
    scores: ArrayLike, k: int | None = None, *, above: float = -np.inf, relevant_last: Relevant | None = None
) -> NDArray[np.int64]:
    """Sort the items of each question by their scores, the highest first.

    An item whose score is not above `above` is not found, and -1 takes its place. BM25 gives 0 to a text without a
    common word, so pass 0 there. A score of -inf leaves an item out in any case.

    Items with the same score are in the order of their numbers. That is not always fair: where the relevant item
    happens to be item 0, a method that gives all items the same score would look perfect. For an evaluation, pass
    `relevant_last`, so that a relevant item comes after all others with the same score.

    Args:
        scores: [questions, items].
        k: how many items to keep; None keeps all.
        above: only items with a higher score are found.
        relevant_last: the relevant items of each question.

    Returns:
        Item numbers, [questions, k]; -1 where there is no further item.

    Raises:
        ValueError: a score is NaN, or k is below 1.

    >>> rank_items([[0.1, 0.9, 0.9]]), rank_items([[0.1, 0.9, 0.9]], relevant_last=[{1}])
    (array([[1, 2, 0]]), array([[2, 1, 0]]))
    >>> rank_items([[0.1, 0.0, 0.9]], above=0.0)
    array([[ 2,  0, -1]])
    """
    table = np.array(scores, dtype=np.float64, ndmin=2)
    if np.isnan(table).any():
        row, column = np.argwhere(np.isnan(table))[0]
        raise ValueError(f"the score of question {row} and item {column} is NaN; it cannot be sorted")
    if k is not None and k < 1:
        raise ValueError(f"k={k}: keep at least one item")
    is_relevant = np.zeros(table.shape, dtype=bool)
    if relevant_last is not None:
        for row, items in enumerate(relevant_last):
            is_relevant[row, list(items)] = True
    # The last key of lexsort is the first one to sort by; it is stable, so what is still equal keeps its order
    order = np.lexsort((is_relevant, -table), axis=-1)[:, :k]
    return np.where(np.take_along_axis(table, order, axis=1) > above, order, NO_ITEM)


def fuse_rankings(*rankings: ArrayLike, num_items: int, constant: int = 60) -> NDArray[np.float64]:
    """Join rankings of different methods: the score of an item is the sum of 1 / (constant + its rank).

    Their scores cannot be added, because BM25 and a cosine have different scales. Ranks start at 1. An item that is
    missing in a ranking gets nothing from it. (Reciprocal rank fusion: Cormack et al. 2009, who use 60.)

    Args:
        rankings: item numbers [questions, k] of each method, best first; -1 is left out.
        num_items: how many items there are.
        constant: the larger, the less the first ranks stand out.

    Returns:
        Scores [questions, items].

    >>> fuse_rankings([[2, 0]], [[2, 1]], num_items=3, constant=1)
    array([[0.33333333, 0.33333333, 1.        ]])
    """
    tables = [np.asarray(ranking) for ranking in rankings]
    fused = np.zeros((len(tables[0]), num_items))
    for table in tables:
        for place, items in enumerate(table.T, start=1):
            rows = np.flatnonzero(items != NO_ITEM)
            fused[rows, items[rows]] += 1 / (constant + place)
    return fused


def score_rankings(rankings: Sequence[Sequence[int]] | NDArray[Any], relevant: Relevant, k: int = 10) -> pd.DataFrame:
    """Score each question's ranking. The mean of a column is the score of the method.

    - MRR@k: 1 / the rank of the first relevant item, and 0 if it is beyond k. Grades do not count.
    - nDCG@k: the sum of grade / log2(1 + rank), divided by the same sum of the best possible ranking. The gain is the
      grade itself, as in trec_eval; some programs use 2 ** grade - 1, and their numbers differ for grades above 1.
    - recall@k: relevant items among the first k, divided by all relevant ones. It is below 1 if there are more than k.
    - hit@k: 1 if there is a relevant item among the first k. With one relevant item, this is the recall.

    Args:
        rankings: item numbers of each question, best first. More than k are cut, and -1 means that there is no item.
        relevant: of each question, its relevant items: {item: grade} with grades above 0, or a set for grades of 1.
        k: how many items count.

    Returns:
        A row per question, with the columns "MRR@10", "nDCG@10", "recall@10" and "hit@10" for k=10.

    Raises:
        ValueError: lengths differ, a question has no relevant item, or a ranking contains an item twice.

    >>> score_rankings([[7, 3, 5], [1, 2, 4]], [{3}, {9}], k=3).round(2).to_dict("list")
    {'MRR@3': [0.5, 0.0], 'nDCG@3': [0.63, 0.0], 'recall@3': [1.0, 0.0], 'hit@3': [1.0, 0.0]}
    """
    if len(rankings) != len(relevant):
        raise ValueError(f"{len(rankings)} rankings, but relevant items of {len(relevant)} questions; pass one of each")
    rows = []
    for number, (ranking, items) in enumerate(zip(rankings, relevant, strict=True)):
        first = [int(item) for item in ranking[:k] if item != NO_ITEM]
        check_question(number, first, items)
        grades = dict(items) if isinstance(items, Mapping) else dict.fromkeys(items, 1.0)
        found = [float(grades.get(item, 0.0)) for item in first]
        best = sorted(map(float, grades.values()), reverse=True)[:k]
        places = [place for place, grade in enumerate(found, start=1) if grade > 0]
        reciprocal = 1 / places[0] if places else 0.0
        rows.append((reciprocal, dcg(found) / dcg(best), len(places) / len(grades), float(bool(places))))
    return pd.DataFrame(rows, columns=[f"{name}@{k}" for name in ("MRR", "nDCG", "recall", "hit")], dtype=float)


def dcg(grades: Sequence[float]) -> float:
    """Discounted cumulative gain: the grades of a ranking, each divided by log2(1 + rank).

    >>> dcg([1.0, 0.0, 1.0])
    1.5
    """
    return float(sum(grade / np.log2(1 + place) for place, grade in enumerate(grades, start=1)))


def check_question(number: int, ranking: Sequence[int], relevant: Mapping[int, float] | Collection[int]) -> None:
    """Raise a ValueError if a question cannot be scored."""
    if not relevant:
        raise ValueError(f"question {number} has no relevant item; score only questions that have an answer")
    if isinstance(relevant, Mapping) and min(relevant.values()) <= 0:
        raise ValueError(f"question {number} has a grade of 0 or less; leave out items that are not relevant")
    if len(set(ranking)) < len(ranking):
        twice = next(item for item in ranking if list(ranking).count(item) > 1)
        raise ValueError(f"the ranking of question {number} contains item {twice} twice; keep its best place only")
