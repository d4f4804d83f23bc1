"""Out-of-scope texts: tell the texts that have none of the classes, and measure how well that works.

How to use it: copy this file into your project (it needs numpy, scipy and scikit-learn). A classifier gives every text
one of its classes, also a text that has none of them. Each of three scores says how far *outside* a text is; the
higher, the further. The positive class is therefore "outside", in every function of this file.

    probability_score(logits)                    1 - the largest probability
    energy_score(logits)                         -log of the sum of exp(logits): small logits everywhere
    means, precision = fit_classes(train_vectors, train_labels)
    distance_score(vectors, means, precision)    Mahalanobis distance to the nearest class mean

Choose the threshold on dev, from texts of the classes alone, so that 95 % of them stay inside. Then look at test once:

>>> dev_inside, test_inside, test_outside = [0.1, 0.2, 0.3, 0.6], [0.2, 0.7, 0.1, 0.3], [0.9, 0.5, 0.8]
>>> threshold = choose_threshold(dev_inside, recall=0.75)
>>> threshold
0.3
>>> result = at_threshold(test_inside, test_outside, threshold)
>>> {name: round(value, 2) for name, value in result.items()}
{'in-scope recall': 0.75, 'outside accepted': 0.0, 'precision of outside': 0.75}

`detection_scores` compares the scores without a threshold. None of its numbers says how often an alarm is right in
use: that depends on how many texts are outside there, which `precision_at` takes into account.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp, softmax
from sklearn.covariance import LedoitWolf
from sklearn.metrics import average_precision_score, roc_auc_score

Array = NDArray[np.float64]


def probability_score(logits: ArrayLike) -> Array:
    """Compute 1 - the largest probability of each text, [rows].

    Args:
        logits: [rows, classes], before softmax.

    Source: Hendrycks and Gimpel 2017, arXiv 1610.02136.

    >>> probability_score([[0.0, 0.0], [3.0, 0.0]]).round(3).tolist()
    [0.5, 0.047]
    """
    return 1 - softmax(check_matrix("logits", logits), axis=1).max(axis=1)


def energy_score(logits: ArrayLike, temperature: float = 1.0) -> Array:
    """Compute -temperature * log(sum of exp(logits / temperature)) of each text, [rows].

    Unlike the largest probability, it does not forget how large the logits are altogether: softmax gives [9, 8] and
    [1, 0] the same probabilities, and their energies differ by 8.

    Args:
        logits: [rows, classes], before softmax.
        temperature: above 0; the source finds 1 good enough.

    Source: Liu et al. 2020, arXiv 2010.03759.

    >>> energy_score([[9.0, 8.0], [1.0, 0.0]]).round(2).tolist()
    [-9.31, -1.31]
    """
    if not temperature > 0:
        raise ValueError(f"temperature={temperature}: pass a number above 0, such as 1")
    return -temperature * logsumexp(check_matrix("logits", logits) / temperature, axis=1)


def fit_classes(vectors: ArrayLike, labels: Sequence[int] | NDArray[Any]) -> tuple[Array, Array]:
    """Compute the mean vector of each class, and the inverse of the covariance that all classes share.

    Args:
        vectors: of the training texts [rows, dimensions], such as pooled encoder outputs.
        labels: their classes [rows].

    Returns:
        (means [classes that occur, dimensions], precision [dimensions, dimensions]). Where rows are few for so many
        dimensions, the covariance of the source has no useful inverse, so it is mixed with a multiple of the identity,
        in the share that Ledoit and Wolf 2004 derive from the data.

    Raises:
        ValueError: shapes do not fit, or there are fewer than two rows.

    Source: Lee et al. 2018, arXiv 1807.03888.

    >>> means, precision = fit_classes([[0.0, 1.0], [0.0, -1.0], [4.0, 1.0], [4.0, -1.0]], [0, 0, 1, 1])
    >>> means.tolist()
    [[0.0, 0.0], [4.0, 0.0]]
    """
    x, y = check_matrix("vectors", vectors), np.asarray(labels)
    if y.shape != (len(x),) or len(x) < 2:
        raise ValueError(
            f"vectors have shape {x.shape} and labels {y.shape}; pass a label for each of two rows or more"
        )
    classes = np.unique(y)
    means = np.stack([x[y == label].mean(axis=0) for label in classes])
    centered = x - means[np.searchsorted(classes, y)]
    precision: Array = LedoitWolf(assume_centered=True).fit(centered).precision_
    return means, precision


def distance_score(vectors: ArrayLike, means: ArrayLike, precision: ArrayLike) -> Array:
    """Compute the squared Mahalanobis distance of each text to the nearest class mean, [rows].

    A direction in which all classes vary much counts little. With the identity as precision it is the squared
    Euclidean distance.

    Args:
        vectors: [rows, dimensions].
        means, precision: from `fit_classes`.

    >>> distance_score([[1.0, 0.0], [0.0, 1.0]], means=[[0.0, 0.0]], precision=[[4.0, 0.0], [0.0, 1.0]]).tolist()
    [4.0, 1.0]
    """
    x, m, p = (check_matrix(name, a) for name, a in (("vectors", vectors), ("means", means), ("precision", precision)))
    if not x.shape[1] == m.shape[1] == p.shape[0] == p.shape[1]:
        raise ValueError(f"vectors {x.shape}, means {m.shape} and precision {p.shape} have different dimensions")
    distances = [np.einsum("rd,de,re->r", x - mean, p, x - mean, optimize=True) for mean in m]
    return np.min(distances, axis=0)


def detection_scores(inside: ArrayLike, outside: ArrayLike, recall: float = 0.95) -> dict[str, float]:
    """Compute how well a score separates texts outside (the positive class) from those inside, without a threshold.

    Args:
        inside: the scores of texts that have one of the classes [rows].
        outside: the scores of texts that have none [rows].
        recall: the share of the inside texts that must be accepted in the last number.

    Returns:
        "AUROC": how often an outside text has a higher score than an inside one; 0.5 is chance. It does not depend on
        how many texts are outside. "AUPRC": the average precision with "outside" as the positive class; chance is the
        share of outside texts among all. "outside accepted": the share of outside texts that would be accepted, which
        are the false positives of acceptance, at a threshold that accepts `recall` of these same inside texts. Such a
        threshold is not known in advance, so this number is for comparisons; use `at_threshold` for what you get.

    Raises:
        ValueError: there are no rows, or a score is not a number.

    >>> detection_scores([0.1, 0.2, 0.3, 0.4], [0.35, 0.9], recall=0.75)
    {'AUROC': 0.875, 'AUPRC': 0.8333333333333333, 'outside accepted': 0.0}
    """
    low, high = check_scores("inside", inside), check_scores("outside", outside)
    is_outside, scores = np.r_[np.zeros(len(low)), np.ones(len(high))], np.r_[low, high]
    return {
        "AUROC": float(roc_auc_score(is_outside, scores)),
        "AUPRC": float(average_precision_score(is_outside, scores)),
        "outside accepted": float((high <= choose_threshold(low, recall)).mean()),
    }


def choose_threshold(inside: ArrayLike, recall: float = 0.95) -> float:
    """Choose the smallest threshold at which this share of the inside texts is accepted, from dev.

    A text is accepted if its score is not above the threshold. No outside text is needed, which is as well: those of
    tomorrow look different.

    Args:
        inside: the scores of dev texts that have one of the classes [rows]; not those of training texts, with which
            the model is too sure.
        recall: above 0, at most 1.

    Raises:
        ValueError: there are no rows, a score is not a number, or `recall` is out of range.

    >>> choose_threshold([0.4, 0.1, 0.3, 0.2], recall=0.75)
    0.3
    """
    scores = np.sort(check_scores("inside", inside))
    if not 0 < recall <= 1:
        raise ValueError(f"recall={recall}: pass a share above 0 and at most 1, such as 0.95")
    # 0.95 * 20 is 19.000000000000004 in floating point on some machines: one row too many without the rounding
    return float(scores[math.ceil(round(recall * len(scores), 6)) - 1])


def at_threshold(inside: ArrayLike, outside: ArrayLike, threshold: float) -> dict[str, float]:
    """Compute what a threshold does to these rows.

    Args:
        inside, outside: as in `detection_scores`.
        threshold: from `choose_threshold`, on other rows.

    Returns:
        "in-scope recall": the share of inside texts that are accepted. "outside accepted": the share of outside texts
        that are. "precision of outside": which share of the rejected texts really is outside, nan if none is rejected.

    >>> at_threshold([0.1, 0.6], [0.9, 0.8, 0.7, 0.2], threshold=0.5)
    {'in-scope recall': 0.5, 'outside accepted': 0.25, 'precision of outside': 0.75}
    """
    low, high = check_scores("inside", inside), check_scores("outside", outside)
    found, false_alarms = int((high > threshold).sum()), int((low > threshold).sum())
    return {
        "in-scope recall": 1 - false_alarms / len(low),
        "outside accepted": 1 - found / len(high),
        "precision of outside": found / (found + false_alarms) if found + false_alarms else math.nan,
    }


def precision_at(in_scope_recall: float, outside_accepted: float, share_outside: float) -> float:
    """Compute which share of the rejected texts is outside, if a share `share_outside` of all texts is.

    AUROC and the two rates do not change when outside texts become rare. This does.

    Args:
        in_scope_recall, outside_accepted: from `at_threshold`, 0 to 1.
        share_outside: of all texts, in use, 0 to 1.

    Returns:
        A share, or nan if nothing is rejected.

    >>> round(precision_at(0.95, 0.2, share_outside=0.5), 3), round(precision_at(0.95, 0.2, share_outside=0.02), 3)
    (0.941, 0.246)
    """
    rates = {"in_scope_recall": in_scope_recall, "outside_accepted": outside_accepted, "share_outside": share_outside}
    for name, value in rates.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value}: pass a share from 0 to 1")
    found, false_alarms = (1 - outside_accepted) * share_outside, (1 - in_scope_recall) * (1 - share_outside)
    return found / (found + false_alarms) if found + false_alarms else math.nan


def check_scores(name: str, scores: ArrayLike) -> Array:
    """Check that these are numbers [rows], at least one, and return them as an array."""
    values = np.asarray(scores, dtype=float)
    if values.ndim != 1 or not len(values) or np.isnan(values).any():
        raise ValueError(f"{name} has shape {values.shape}; pass one score for each row, at least one, and none nan")
    return values


def check_matrix(name: str, matrix: ArrayLike) -> Array:
    """Check that this is a matrix of finite numbers, and return it as an array."""
    values = np.asarray(matrix, dtype=float)
    if values.ndim != 2 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"{name} has shape {values.shape}; pass finite numbers [rows, columns], at least one row")
    return values
