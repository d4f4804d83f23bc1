"""Abstention: let a classifier leave some texts to a person, and decide by what mistakes cost.

How to use it: copy this file into your project (it needs numpy and pandas). All functions take the probabilities of a
calibrated model [rows, classes] and class numbers 0, 1, 2, ... A confidence is any number that is higher where the
model is surer; usually it is the largest probability.

If some mistakes are worse than others, write down what each costs, with a line per true class and a column per
decision. A further column can be a person, who costs something too but is right:

>>> costs = [[0, 1, 10, 2], [1, 0, 1, 2], [5, 1, 0, 2]]  # negative, neutral, positive; the last column: ask a person
>>> probabilities = [[0.3, 0.1, 0.6], [0.05, 0.05, 0.9]]
>>> decide(probabilities, costs).tolist()  # the first text is probably positive, but that would be a costly mistake
[1, 2]

If all mistakes are equally bad, one threshold is enough. Choose it on dev, never on test:

>>> dev_labels, dev_predictions, dev_confidence = [0, 1, 1, 0], [0, 1, 0, 0], [0.9, 0.8, 0.6, 0.7]
>>> threshold = choose_threshold(dev_labels, dev_predictions, dev_confidence, max_risk=0.0)
>>> threshold
0.7
>>> abstain([[0.9, 0.1], [0.6, 0.4]], threshold).tolist()  # -1: a person decides
[0, -1]

`risk_coverage` draws the whole trade: how many of the answered texts are wrong, for each share of texts that the model
answers. `review_queue` lists the texts that a person should read, the least sure ones first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

ABSTAIN = -1  # in predictions: the model gives no answer
Array = NDArray[Any]


def expected_costs(probabilities: ArrayLike, costs: ArrayLike) -> Array:
    """Compute what each decision costs on average for each text: probabilities times costs.

    Args:
        probabilities: [rows, classes], calibrated. If the model is too sure of itself, so are these costs.
        costs: [classes, decisions]; `costs[c][d]` is what decision d costs if c is the true class. The first columns
            are the classes themselves; further columns are other decisions, such as asking a person.

    Returns:
        [rows, decisions].

    Raises:
        ValueError: shapes do not fit, or the rows of `probabilities` do not sum to 1.

    >>> expected_costs([[0.25, 0.75]], [[0, 8], [1, 0]]).tolist()
    [[0.75, 2.0]]
    """
    p, table = check_probabilities(probabilities), np.asarray(costs, dtype=float)
    if table.ndim != 2 or len(table) != p.shape[1] or table.shape[1] < p.shape[1]:
        raise ValueError(
            f"costs have shape {table.shape} for {p.shape[1]} classes; give a line per class, and a column per decision"
        )
    return p @ table


def decide(probabilities: ArrayLike, costs: ArrayLike) -> Array:
    """Take the decision with the lowest expected cost, [rows]. Arguments as in `expected_costs`.

    With a cost of 1 for each mistake and 0 otherwise, it is the class with the highest probability. The first of two
    equally cheap decisions is taken. Source: Elkan, The Foundations of Cost-Sensitive Learning, IJCAI 2001.

    >>> decide([[0.25, 0.75]], [[0, 1], [1, 0]]).tolist(), decide([[0.25, 0.75]], [[0, 8], [1, 0]]).tolist()
    ([1], [0])
    """
    return expected_costs(probabilities, costs).argmin(axis=1)


def mean_cost(labels: Sequence[int] | Array, decisions: Sequence[int] | Array, costs: ArrayLike) -> float:
    """Compute what decisions cost on average in truth.

    Args:
        labels: the gold classes [rows].
        decisions: [rows], columns of `costs`.
        costs: [classes, decisions], as in `expected_costs`.

    Raises:
        ValueError: there are no rows, lengths differ, or a number has no line or column in `costs`.

    >>> mean_cost([0, 0, 1], [0, 1, 1], [[0, 8], [1, 0]])  # 0, 8 and 0
    2.6666666666666665
    """
    gold, taken = check_pair("decisions", labels, decisions)
    table = np.asarray(costs, dtype=float)
    for name, values, size in (("labels", gold, table.shape[0]), ("decisions", taken, table.shape[-1])):
        if values.min() < 0 or values.max() >= size:
            raise ValueError(f"{name} run from {values.min()} to {values.max()}, but costs have shape {table.shape}")
    return float(table[gold, taken].mean())


def threshold_of_costs(review: float, error: float) -> float:
    """Compute the probability below which asking a person is cheaper than a mistake: 1 - review / error.

    For equally bad mistakes. An answer with probability p costs (1 - p) * error on average, and a person `review`.
    Source: Chow, On Optimum Recognition Error and Reject Tradeoff, IEEE Transactions on Information Theory 1970.

    Raises:
        ValueError: `review` is negative, or larger than `error`, so that a person would never pay.

    >>> threshold_of_costs(review=1, error=5)
    0.8
    """
    if not 0 <= review <= error or error == 0:
        raise ValueError(f"review={review}, error={error}: a person pays only if 0 <= review <= error, and error > 0")
    return 1 - review / error


def abstain(probabilities: ArrayLike, threshold: float) -> Array:
    """Predict the class with the highest probability, or -1 where it is below the threshold, [rows].

    Args:
        probabilities: [rows, classes].
        threshold: from `choose_threshold` or `threshold_of_costs`.

    >>> abstain([[0.8, 0.2], [0.45, 0.55]], 0.6).tolist()
    [0, -1]
    """
    p = check_probabilities(probabilities)
    return np.where(p.max(axis=1) >= threshold, p.argmax(axis=1), ABSTAIN)


def risk_coverage(labels: Sequence[int] | Array, predictions: Sequence[int] | Array, confidence: ArrayLike) -> Any:
    """Compute for each threshold which share of the texts is answered, and which share of the answers is wrong.

    Texts with the same confidence are answered together, because no threshold can separate them.

    Args:
        labels: the gold classes [rows].
        predictions: [rows], before anything is left to a person.
        confidence: [rows], higher where the model is surer.

    Returns:
        A DataFrame with a row per threshold, the highest first: "threshold", "coverage" (share of texts with at least
        this confidence), "risk" (share of these that are wrong) and "answered" (their number). The last row answers
        all texts. Source: El-Yaniv and Wiener, JMLR 11 (2010), and Geifman and El-Yaniv 2017, arXiv 1705.08500.

    Raises:
        ValueError: there are no rows, lengths differ, or a confidence is not a number.

    >>> risk_coverage([0, 1, 1, 0], [0, 1, 0, 0], [0.9, 0.8, 0.6, 0.6]).round(2)
       threshold  coverage  risk  answered
    0        0.9      0.25  0.00         1
    1        0.8      0.50  0.00         2
    2        0.6      1.00  0.25         4
    """
    gold, predicted = check_pair("predictions", labels, predictions)
    sure = np.asarray(confidence, dtype=float)
    if sure.shape != gold.shape or np.isnan(sure).any():
        raise ValueError(f"confidence has shape {sure.shape} for {len(gold)} rows; pass one number per row, none nan")
    order = np.argsort(-sure, kind="stable")
    wrong = np.cumsum((gold != predicted)[order])
    last = np.append(np.flatnonzero(np.diff(sure[order])), len(gold) - 1)  # of each group of equal confidence
    answered = last + 1
    columns = {"threshold": sure[order][last], "coverage": answered / len(gold), "risk": wrong[last] / answered}
    return pd.DataFrame({**columns, "answered": answered})


def mean_risk(labels: Sequence[int] | Array, predictions: Sequence[int] | Array, confidence: ArrayLike) -> float:
    """Compute the area under the risk-coverage curve: the mean risk over all coverages, lower is better.

    Of two models with the same accuracy, the one with the lower area knows better when it is wrong. Arguments and
    errors as in `risk_coverage`.

    >>> round(mean_risk([0, 1, 1], [0, 1, 0], [0.9, 0.8, 0.6]), 3), round(mean_risk([0, 1, 1], [0, 1, 0], [1, 2, 3]), 3)
    (0.111, 0.611)
    """
    curve = risk_coverage(labels, predictions, confidence)
    # Inside a group of equal confidence, every order is equally likely, so each of its rows gets the risk of the group
    return float(np.average(curve["risk"], weights=np.diff(curve["answered"], prepend=0)))


def choose_threshold(
    labels: Sequence[int] | Array, predictions: Sequence[int] | Array, confidence: ArrayLike, max_risk: float
) -> float:
    """Choose on dev the lowest threshold at which at most a share `max_risk` of the answers is wrong.

    The risk on other rows is usually a little higher than on dev, because the threshold was chosen there.

    Args:
        labels, predictions, confidence: as in `risk_coverage`, of the dev rows.
        max_risk: from 0 to 1, such as 0.05.

    Returns:
        The threshold; infinity if no threshold is good enough, so that nothing is answered.

    >>> choose_threshold([0, 1, 1, 0], [0, 1, 0, 0], [0.9, 0.8, 0.6, 0.5], max_risk=0.25)
    0.5
    """
    if not 0 <= max_risk <= 1:
        raise ValueError(f"max_risk={max_risk}: pass a share from 0 to 1, such as 0.05")
    curve = risk_coverage(labels, predictions, confidence)
    good = curve["threshold"][curve["risk"] <= max_risk]
    return float(good.min()) if len(good) else float("inf")


def review_queue(
    texts: Sequence[str], probabilities: ArrayLike, names: Sequence[str], threshold: float = 1.01
) -> pd.DataFrame:
    """List the texts for a person, the least sure ones first, with the two most probable classes.

    Args:
        texts: [rows].
        probabilities: [rows, classes].
        names: of the classes.
        threshold: list the texts whose highest probability is below it. The default lists all.

    Returns:
        A DataFrame whose index is the row of the text: "text", "predicted", "confidence", "or else" (the second class)
        and "margin" (by how much its probability is lower).

    >>> review_queue(["hm", "bad"], [[0.5, 0.25, 0.25], [0.75, 0.125, 0.125]], ["no", "so-so", "yes"], threshold=0.7)
      text predicted  confidence or else  margin
    0   hm        no         0.5   so-so    0.25
    """
    p = check_probabilities(probabilities)
    if len(texts) != len(p) or len(names) != p.shape[1]:
        raise ValueError(f"{len(texts)} texts and {len(names)} names, but probabilities have shape {p.shape}")
    order = np.argsort(-p, axis=1, kind="stable")
    first, second = (np.take_along_axis(p, order[:, i : i + 1], axis=1)[:, 0] for i in (0, 1))
    columns: dict[str, Any] = {"text": list(texts), "predicted": [names[i] for i in order[:, 0]], "confidence": first}
    columns |= {"or else": [names[i] for i in order[:, 1]], "margin": first - second}
    table = pd.DataFrame(columns)
    return table[table["confidence"] < threshold].sort_values("confidence", kind="stable")


def check_probabilities(probabilities: ArrayLike) -> Array:
    """Check that these are probabilities [rows, classes] of at least two classes, and return them as an array."""
    p = np.asarray(probabilities, dtype=float)
    if p.ndim != 2 or p.shape[1] < 2:
        raise ValueError(f"probabilities have shape {p.shape}; pass [rows, classes] with at least two classes")
    if (wrong := (p < 0).any(axis=1) | ~(np.abs(p.sum(axis=1) - 1) < 1e-3)).any():
        raise ValueError(f"row {wrong.argmax()} of probabilities is not a softmax; pass probabilities, not logits")
    return p


def check_pair(name: str, labels: Sequence[int] | Array, others: Sequence[int] | Array) -> tuple[Array, Array]:
    """Check that both are class numbers of the same rows, and return them as arrays."""
    gold, other = np.asarray(labels), np.asarray(others)
    if gold.ndim != 1 or gold.shape != other.shape or not len(gold):
        raise ValueError(f"labels have shape {gold.shape} and {name} {other.shape}; pass one number for each row")
    return gold, other
