"""When to give no answer: a threshold for the score of the best item, chosen on dev."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


def choose_threshold(scores: ArrayLike, is_right: ArrayLike, *, wrong_cost: float = 1.0) -> float:
    """Choose the score from which on the best item is shown, so that right answers minus wrong ones are the most.

    The sum is (right answers shown) - wrong_cost * (wrong answers shown). A question without an answer can only get a
    wrong one. The threshold lies halfway between two scores, so that it does not depend on the last digit of either.
    Of several equally good ones it is the highest, which shows the fewest answers.

    A threshold belongs to one encoder in one state: another encoder, or the same one after more training, has another
    scale of cosines. Choose it again after each change.

    Args:
        scores: of the best item of each dev question [questions], answerable or not.
        is_right: whether this item answers the question [questions]; False for all unanswerable ones.
        wrong_cost: how many right answers you would give up to avoid one wrong answer.

    Returns:
        The threshold: show the item if its score is at least this. It is infinite if showing none is best.

    Raises:
        ValueError: lengths differ, there is no question, a score is NaN, or the cost is negative.

    >>> choose_threshold([0.9, 0.8, 0.6, 0.5], [True, True, False, True])
    0.7
    """
    values, right = np.asarray(scores, dtype=np.float64), np.asarray(is_right, dtype=bool)
    check_columns(values, right)
    if wrong_cost < 0:
        raise ValueError(f"wrong_cost={wrong_cost}: pass 0 or more; with 0, every question gets an answer")
    order = np.argsort(-values, kind="stable")
    values, gains = values[order], np.where(right, 1.0, -wrong_cost)[order]
    total = np.concatenate([[0.0], np.cumsum(gains)])  # if the first 0, 1, 2, ... questions get an answer
    # Questions with the same score are shown together, so a cut between them is not possible
    possible = np.concatenate([[True], values[:-1] != values[1:], [True]])
    shown = int(np.argmax(np.where(possible, total, -np.inf)))  # the first of equally good ones
    if shown == 0:
        return float("inf")
    if shown == len(values):
        return float(values[-1])
    return float((values[shown - 1] + values[shown]) / 2)


def answer_rates(scores: ArrayLike, is_right: ArrayLike, kinds: Sequence[str], threshold: float) -> pd.DataFrame:
    """Count what happens to each kind of question at a threshold.

    Args:
        scores, is_right: as in `choose_threshold`.
        kinds: what kind each question is [questions], such as "answered", "near" and "far".
        threshold: the score from which on the best item is shown.

    Returns:
        A row per kind, in the order of their first appearance: "questions" (a number), and the shares with a "right
        answer", a "wrong answer" and "no answer".

    Raises:
        ValueError: lengths differ, there is no question, or a score is NaN.

    >>> answer_rates([0.9, 0.4, 0.8], [True, False, False], ["answered", "answered", "far"], 0.5)
              questions  right answer  wrong answer  no answer
    answered          2           0.5           0.0        0.5
    far               1           0.0           1.0        0.0
    """
    values, right = np.asarray(scores, dtype=np.float64), np.asarray(is_right, dtype=bool)
    check_columns(values, right)
    if len(kinds) != len(values):
        raise ValueError(f"{len(values)} scores, but {len(kinds)} kinds; pass one for each question")
    shown = values >= threshold
    names = ["right answer", "wrong answer", "no answer"]
    shares = pd.DataFrame(np.stack([shown & right, shown & ~right, ~shown], axis=1), columns=names)
    groups = shares.groupby(list(kinds), sort=False)
    table = groups.mean()
    table.insert(0, "questions", groups.size())
    return table


def check_columns(scores: NDArray[np.float64], is_right: NDArray[np.bool_]) -> None:
    """Raise a ValueError unless there is one score and one verdict for each question."""
    if scores.shape != is_right.shape or scores.ndim != 1:
        raise ValueError(f"scores {scores.shape} and is_right {is_right.shape}: pass one of each for every question")
    if not len(scores) or np.isnan(scores).any():
        raise ValueError("there is no question, or a score is NaN; pass the score of each question's best item")
