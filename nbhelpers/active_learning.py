"""Active learning: choose which texts to label next, so that few labels teach much.

How to use it: copy this file into your project (it needs numpy). Train on the texts that have labels, compute the
probabilities of those without, and let `choose` say which of them a person should label:

>>> probabilities = [[0.9, 0.1], [0.55, 0.45], [0.7, 0.3]]  # of the texts without a label
>>> choose(probabilities, 2, "margin").tolist()  # the two whose classes are nearly equally probable
[1, 2]

`label_loop` does this again and again, with two functions of yours: one trains and returns probabilities, the other
asks for labels. Compare with "random" before you believe in a strategy, with the same number of labels and several
seeds. The chosen texts are not a random sample: keep dev and test rows that were drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

STRATEGIES = ("margin", "entropy", "random")
Array = NDArray[Any]
FitPredict = Callable[[list[int], list[int]], ArrayLike]
Ask = Callable[[list[int]], Sequence[int]]


class Labeled(NamedTuple):
    """What `label_loop` gives: the rows of the pool in the order in which they were labeled, their labels, and the
    round in which each was asked for; round 0 is the start."""

    rows: list[int]
    labels: list[int]
    rounds: list[int]


def margin(probabilities: ArrayLike) -> Array:
    """Compute 1 - the difference between the two highest probabilities, [rows]; higher is less sure.

    Source: Scheffer et al. 2001, Active Hidden Markov Models for Information Extraction.

    >>> margin([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0]]).tolist()
    [1.0, 0.5]
    """
    ordered = np.sort(check_probabilities(probabilities), axis=1)
    return 1 - (ordered[:, -1] - ordered[:, -2])


def entropy(probabilities: ArrayLike) -> Array:
    """Compute the entropy of the probabilities in nats, [rows]; higher is less sure.

    With two classes it orders the rows as `margin` does. With more, it also looks at the third class and those after
    it. Source: Settles, Active Learning Literature Survey, 2009.

    >>> entropy([[0.5, 0.5], [0.9, 0.1]]).round(3).tolist()
    [0.693, 0.325]
    """
    p = check_probabilities(probabilities)
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1)


def choose(probabilities: ArrayLike, num: int, strategy: str = "margin", *, seed: int = 0) -> Array:
    """Choose the rows that should be labeled next, the least sure first.

    Args:
        probabilities: of the texts without a label [rows, classes].
        num: how many; all rows if there are fewer.
        strategy: "margin", "entropy", or "random", which ignores the probabilities.
        seed: for "random".

    Returns:
        Row numbers [num].

    Raises:
        ValueError: the strategy is unknown, `num` is below 1, or these are no probabilities.

    >>> choose([[0.9, 0.1], [0.5, 0.5]], 1, "entropy").tolist()
    [1]
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"strategy {strategy!r} is not one of {', '.join(STRATEGIES)}")
    if num < 1:
        raise ValueError(f"num={num}: choose at least one row")
    if strategy == "random":
        return np.random.default_rng(seed).permutation(len(check_probabilities(probabilities)))[:num]
    unsure = margin(probabilities) if strategy == "margin" else entropy(probabilities)
    return np.argsort(-unsure, kind="stable")[:num]


def label_loop(
    fit_predict: FitPredict,
    ask: Ask,
    pool_size: int,
    *,
    strategy: str = "margin",
    num_start: int = 20,
    num_per_round: int = 20,
    num_rounds: int = 5,
    seed: int = 0,
) -> Labeled:
    """Label a random start, and then in each round the rows that the strategy chooses.

    A random start can lack a rare class altogether. The model then knows nothing of it, and the strategy finds it only
    by accident, so start with some labels of each class if you can: let `ask` know them, or begin with more rows.

    Args:
        fit_predict: rows of the pool and their labels -> probabilities [pool_size, classes] of all rows of the pool,
            from a model that was trained on these labels alone. Called once in each round.
        ask: rows of the pool -> their labels. In an experiment it looks them up; in use a person gives them.
        pool_size: the number of texts in the pool.
        strategy: as in `choose`.
        num_start, num_per_round, num_rounds: numbers of rows and rounds. The loop ends early if the pool is empty.
        seed: for the start and for "random". Loops with one seed start with the same rows, whatever the strategy.

    Returns:
        The labels, in the order in which they were asked for. They are labels for training; the model of the last
        `fit_predict` has not yet seen those of the last round.

    Raises:
        ValueError: a number is out of range, `ask` gives another number of labels than was asked for, or `fit_predict`
            another number of rows than the pool has.

    >>> values = np.array([0.1, 0.2, 0.45, 0.55, 0.8, 0.9])  # the label is whether a value is above 0.5
    >>> def fit_predict(rows, labels):
    ...     return np.stack([1 - values, values], axis=1)
    >>> result = label_loop(fit_predict, lambda rows: [int(values[row] > 0.5) for row in rows], len(values),
    ...                     num_start=2, num_per_round=2, num_rounds=1, seed=1)
    >>> sorted(result.rows[2:]), result.rounds
    ([2, 3], [0, 0, 1, 1])
    """
    if not 1 <= num_start <= pool_size or num_per_round < 1 or num_rounds < 0:
        raise ValueError(
            f"num_start={num_start}, num_per_round={num_per_round}, num_rounds={num_rounds} for a pool of {pool_size}; "
            "start with 1 row or more, at most the whole pool"
        )
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(pool_size)[:num_start].tolist()
    labeled = Labeled([], [], [])
    for number in range(num_rounds + 1):
        answers = list(ask(chosen))
        if len(answers) != len(chosen):
            raise ValueError(
                f"ask gave {len(answers)} labels for {len(chosen)} rows; give one for each, in their order"
            )
        labeled.rows.extend(chosen)
        labeled.labels.extend(answers)
        labeled.rounds.extend([number] * len(chosen))
        rest = np.setdiff1d(np.arange(pool_size), labeled.rows)
        if number == num_rounds or not len(rest):
            break
        probabilities = np.asarray(fit_predict(list(labeled.rows), list(labeled.labels)))
        if len(probabilities) != pool_size:
            raise ValueError(f"fit_predict gave {len(probabilities)} rows for a pool of {pool_size}; give all of them")
        chosen = rest[choose(probabilities[rest], num_per_round, strategy, seed=int(rng.integers(2**31)))].tolist()
    return labeled


def check_probabilities(probabilities: ArrayLike) -> Array:
    """Check that these are probabilities [rows, classes] of at least two classes, and return them as an array."""
    p = np.asarray(probabilities, dtype=float)
    if p.ndim != 2 or p.shape[1] < 2:
        raise ValueError(f"probabilities have shape {p.shape}; pass [rows, classes] with at least two classes")
    if (wrong := (p < 0).any(axis=1) | ~(np.abs(p.sum(axis=1) - 1) < 1e-3)).any():
        raise ValueError(f"row {wrong.argmax()} of probabilities is not a softmax; pass probabilities, not logits")
    return p
