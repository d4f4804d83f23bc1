"""Calibration: whether a model is right as often as its probabilities say, and one number that corrects them.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, https://arxiv.org/abs/1706.04599.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from .checks import class_numbers, logit_table, probability_table

TEMPERATURES = (0.05, 20.0)  # between these, `fit_temperature` looks for the best one


def reliability(labels: ArrayLike, probabilities: ArrayLike, num_bins: int = 15) -> pd.DataFrame:
    """Compare confidence with accuracy in bins of the top probability.

    The confidence of a row is its largest probability. The rows are sorted into `num_bins` bins of equal width; a bin
    (low, high] contains its upper end.

    Args:
        labels: [rows] gold classes.
        probabilities: [rows, classes] softmax outputs.
        num_bins: the number of bins between 0 and 1.

    Returns:
        A row per bin: low, high, count, confidence (mean over the bin) and accuracy. The last two are NaN in an empty
        bin.

    Raises:
        ValueError: labels or probabilities are not valid, their numbers of rows differ, or num_bins is below 1.

    >>> reliability([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], num_bins=2)
       low  high  count  confidence  accuracy
    0  0.0   0.5      0         NaN       NaN
    1  0.5   1.0      3    0.766667  0.666667
    """
    if num_bins < 1:
        raise ValueError(f"num_bins is {num_bins}: use at least one bin")
    table = probability_table(probabilities)
    (gold,) = class_numbers(table.shape[1], labels=labels)
    if len(gold) != len(table):
        raise ValueError(f"labels has {len(gold)} rows, probabilities has {len(table)}: pass the same rows in both")
    confidence, correct = table.max(axis=1), table.argmax(axis=1) == gold
    edges = np.linspace(0, 1, num_bins + 1)
    # Without the outer edges, a confidence of exactly 0 or 1, or slightly above 1 by rounding, still has a bin.
    bin_of_row = np.digitize(confidence, edges[1:-1], right=True)
    bins = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": np.bincount(bin_of_row, minlength=num_bins)})
    rows = pd.DataFrame({"confidence": confidence, "accuracy": correct.astype(float)})
    return bins.join(rows.groupby(bin_of_row).mean())  # empty bins have no group, so the join leaves NaN


def expected_calibration_error(labels: ArrayLike, probabilities: ArrayLike, num_bins: int = 15) -> float:
    """Compute the expected calibration error (ECE), from 0 to 1; 0 is perfect.

    It is the mean distance of accuracy and confidence over the bins of `reliability`, weighted by their numbers of
    rows. It depends on the number of bins: compare only values with the same `num_bins`.

    Args:
        labels: [rows] gold classes.
        probabilities: [rows, classes] softmax outputs.
        num_bins: the number of bins between 0 and 1.

    Raises:
        ValueError: as in `reliability`.

    >>> round(expected_calibration_error([0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], num_bins=2), 3)
    0.1
    """
    filled = reliability(labels, probabilities, num_bins).dropna()
    return float(np.average((filled["accuracy"] - filled["confidence"]).abs(), weights=filled["count"]))


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Find the temperature with which a model's probabilities fit the labels best (temperature scaling).

    Fine-tuned models are usually too confident. `softmax(logits / temperature)` with a temperature above 1 makes the
    probabilities less extreme. The order of the classes stays the same, so no prediction changes, and neither do
    accuracy and F1. The best temperature has the lowest mean negative log-likelihood of the labels.

    Where a model is right on every row, that alone would make each probability 1, although the model will be wrong on
    other texts. So each row counts as having another label with probability 0.5 / (rows + 1), which is the Jeffreys
    estimate of how often something happens that was not seen in so many rows. (Platt 1999, Probabilistic Outputs for
    Support Vector Machines, smooths the labels likewise.) With 100 rows and some mistakes, this raises the temperature
    by a few percent; with 1000 rows, by less than one.

    Fit it on dev, not on train, where a model is more often right than on new texts. Then use it on test and in
    production.

    Args:
        logits: [rows, classes] of the model, before softmax.
        labels: [rows] gold classes.

    Returns:
        The temperature, from 0.05 to 20. A value close to 20 means that the logits tell nothing about the labels.

    Raises:
        ValueError: the logits are not finite, are probabilities, or have one class; or the labels are not class
            numbers of the same rows.

    >>> logits = [[4.0, 0.0]] * 10  # the model is 98 % sure of class 0, but only 8 of 10 rows have it
    >>> temperature = fit_temperature(logits, labels=[0] * 8 + [1] * 2)
    >>> probability = 1 / (1 + np.exp(-4 / temperature))
    >>> round(temperature, 2), round(float(probability), 2)
    (3.27, 0.77)

    The probability is (8 + 0.5) / (10 + 1).
    """
    table = logit_table(logits)
    (gold,) = class_numbers(table.shape[1], labels=labels)
    if len(gold) != len(table):
        raise ValueError(f"labels has {len(gold)} rows, logits has {len(table)}: pass the same rows in both")
    unseen = 0.5 / (len(gold) + 1)
    targets = np.full(table.shape, unseen / (table.shape[1] - 1))  # probabilities [rows, classes]
    targets[np.arange(len(gold)), gold] = 1 - unseen
    expected_logits = (targets * table).sum(axis=1)

    def negative_log_likelihood(log_temperature: float) -> float:
        temperature = np.exp(log_temperature)
        return float(np.mean(logsumexp(table / temperature, axis=1) - expected_logits / temperature))

    # It has a single minimum, since it is convex in 1 / temperature. The logarithm searches 0.1 as finely as 10.
    bounds = (np.log(TEMPERATURES[0]), np.log(TEMPERATURES[1]))
    found = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))
