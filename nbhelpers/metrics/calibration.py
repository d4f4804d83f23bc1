"""Calibration: whether a model is right as often as its probabilities say.

Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017.
"""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .checks import class_numbers, probability_table


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

    It is the mean of |accuracy - confidence| over the bins of `reliability`, weighted by their numbers of rows. It
    depends on the number of bins: compare only values with the same `num_bins`.

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
