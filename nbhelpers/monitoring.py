"""Monitoring: notice that a classifier in production behaves differently, where nobody knows the right labels.

It compares the shares of the predicted labels, and the share of predictions with a low confidence, with those on
reference data, and reports a change that is larger than chance explains.

How to use it: copy this file into your project (it needs numpy and scipy). Create a `Monitor` from the predictions of
the same model on dev data, and pass it each new prediction. It returns a sentence for each alert:

>>> names = ["negative", "positive"]
>>> dev_predictions, dev_confidences = ["negative", "positive"] * 200, [0.9] * 400
>>> monitor = Monitor(dev_predictions, dev_confidences, names, window=100)
>>> for label, confidence in [("positive", 0.8)] * 100:  # in production: what the model just predicted
...     for sentence in monitor.update([label], [confidence]):
...         print(sentence)
negative: 0 % of the last 100 predictions, outside the expected 31 to 69 %
positive: 100 % of the last 100 predictions, outside the expected 31 to 69 %

As the reference, use predictions of the model, not gold labels: a model predicts some classes more often than they
occur. Use data that it was not trained on: on training data its confidence is too high. And label a random sample now
and then, because a model can become worse while its predictions look the same.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import betabinom, chi2_contingency

CHECKS = 4  # how often the window is checked while all its predictions are replaced once


def drift(reference: ArrayLike, counts: ArrayLike) -> dict[str, float]:
    """Measure how far two label distributions are apart, and test whether chance explains the difference.

    Args:
        reference: [classes] how often each class was predicted on reference data.
        counts: [classes] how often each class was predicted since, in the same order.

    Returns:
        "divergence", the Jensen-Shannon divergence in bits: 0 for equal distributions, 1 when no class occurs in both.
        Unlike the population stability index, it is finite when a class is empty. Chance alone makes it about
        (classes - 1) (1 / sum(reference) + 1 / sum(counts)) / (8 ln 2).
        "p_value", of Pearson's chi-square test of the two rows of counts. It is valid for independent items and for
        expected counts of 5 or more. With many items any small difference is significant, so look at both numbers.

    Raises:
        ValueError: the counts are negative, not finite, of fewer than two classes, or all zero.

    Sources: Lin, Divergence measures based on the Shannon entropy, IEEE Transactions on Information Theory 1991;
    Cochran, Some methods for strengthening the common chi-square tests, Biometrics 1954.

    >>> {name: round(value, 4) for name, value in drift([70, 20, 10], [60, 20, 20]).items()}
    {'divergence': 0.015, 'p_value': 0.1286}
    """
    table = np.array([reference, counts], dtype=float)
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all() or table.min() < 0:
        raise ValueError("reference and counts: pass how often each of the same two or more classes was predicted")
    if not table.sum(1).all():
        raise ValueError("reference or counts contains only zeros; wait for predictions before you compare")
    table = table[:, table.any(0)]  # the test divides by the expected count, which is 0 for a class that never occurs
    # Without Yates' correction, which scipy would use for two classes only, and which makes the test conservative.
    p_value = chi2_contingency(table, correction=False).pvalue
    # scipy returns the distance, which is the square root of the divergence.
    return {"divergence": float(jensenshannon(*table, base=2) ** 2), "p_value": float(p_value)}


def expected_counts(reference: ArrayLike, num_reference: int, num_items: int, level: float) -> NDArray[np.int64]:
    """Compute between which counts each class should lie among new items, if only chance changes it.

    This is a prediction interval. The reference is a sample as well, so its own uncertainty is included: the interval
    is that of a beta-binomial distribution, with Jeffreys' prior Beta(1/2, 1/2).

    Args:
        reference: [classes] how often each class occurred among `num_reference` earlier items.
        num_reference: the number of earlier items.
        num_items: the number of new items.
        level: the probability that a new count lies outside by chance, half of it on each side.

    Returns:
        [2, classes], the lowest and the highest count of each class.

    Source: Meeker, Hahn and Escobar, Statistical Intervals, 2nd edition 2017, on prediction intervals for binomial
    counts.

    >>> expected_counts([200], 1000, 100, level=0.05).tolist()  # 200 of 1000, then 12 to 29 of 100
    [[12], [29]]
    """
    counts = np.asarray(reference)
    interval = betabinom.interval(1 - level, num_items, counts + 0.5, num_reference - counts + 0.5)
    return np.array(interval, dtype=np.int64)


class Monitor:
    """Compare the last predictions of a stream with those on reference data; see `update`.

    The window of the last predictions is checked 4 times while all of it is replaced once. Each check compares the
    share of each class, and of the predictions with low confidence, with its `expected_counts`. The level of each
    comparison is false_alarm_rate / 4 / (classes + 1). By Bonferroni's inequality all comparisons together then keep
    the false alarm rate, although the windows overlap.

    The rate holds for independent items, on average over reference samples and streams. The turns of a dialogue are
    not independent: an emotion lasts for several turns, so the shares vary more, and false alarms are more frequent
    than `false_alarm_rate`.

    Args:
        labels: [items] the label that the model predicted for each item of the reference data.
        confidences: [items] the probability that the model gave to this label.
        names: all classes of the model.
        window: how many predictions are compared at once. A larger window finds smaller changes, but later.
        min_confidence: a prediction with a lower probability counts as unsure.
        false_alarm_rate: the largest expected number of false alarms per `window` predictions.

    Raises:
        ValueError: the reference is empty or not valid, or a setting is not possible.

    >>> monitor = Monitor(["no"] * 150 + ["yes"] * 50, [0.9] * 200, ["no", "yes"], window=100)
    >>> monitor.update(["no"] * 75 + ["yes"] * 25, [0.9] * 100)
    []
    >>> for sentence in monitor.update(["yes"] * 25, [0.9] * 25):
    ...     print(sentence)
    no: 50 % of the last 100 predictions, outside the expected 56 to 91 %
    yes: 50 % of the last 100 predictions, outside the expected 9 to 44 %
    """

    def __init__(
        self,
        labels: Sequence[str],
        confidences: Sequence[float],
        names: Sequence[str],
        *,
        window: int = 500,
        min_confidence: float = 0.5,
        false_alarm_rate: float = 0.01,
    ) -> None:
        if window < CHECKS:
            raise ValueError(f"window={window}: use {CHECKS} predictions or more")
        if not 0 < false_alarm_rate < 1:
            raise ValueError(f"false_alarm_rate={false_alarm_rate}: pass a fraction between 0 and 1, such as 0.01")
        self.names, self.window, self.min_confidence = list(names), window, min_confidence
        reference = self.flags(labels, confidences)
        if not len(reference):
            raise ValueError("the reference is empty; pass the model's predictions on dev data")
        self.reference = reference.sum(0)
        level = false_alarm_rate / CHECKS / len(self.reference)
        self.expected = expected_counts(self.reference, len(reference), window, level)
        self.recent: deque[NDArray[np.int64]] = deque(maxlen=window)
        self.since_check = 0  # predictions since the last check
        self.outside: set[int] = set()  # columns that the last check found outside their interval

    def flags(self, labels: Sequence[str], confidences: Sequence[float]) -> NDArray[np.int64]:
        """Return 0 or 1 for each class and for an unsure prediction, [items, classes + 1], after checking both lists.

        Sums of these rows are the counts that a check compares.
        """
        if len(labels) != len(confidences):
            raise ValueError(
                f"{len(labels)} labels and {len(confidences)} confidences; pass one of each per prediction"
            )
        if unknown := set(labels) - set(self.names):
            raise ValueError(f"label {min(unknown)!r} is not one of {', '.join(self.names)}")
        values = np.asarray(confidences, dtype=float)
        # The condition says what is right, because a comparison with NaN is false.
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("a confidence is not between 0 and 1; pass probabilities, not logits")
        columns = [[label == name for label in labels] for name in self.names]
        return np.array([*columns, values < self.min_confidence], dtype=np.int64).T

    def update(self, labels: Sequence[str], confidences: Sequence[float]) -> list[str]:
        """Add new predictions, in the order in which they were made, and check the window when it is time.

        Args:
            labels: [items] the predicted labels.
            confidences: [items] their probabilities.

        Returns:
            An alert, one sentence, for each share that has left its interval. A share that stays outside is not
            reported again; one that came back and leaves again is. There are no alerts before the window is full.

        Raises:
            ValueError: the numbers of items differ, a label is unknown, or a confidence is not a probability.
        """
        alerts = []
        # One by one, so that the result does not depend on how many predictions come with one call.
        for row in self.flags(labels, confidences):
            self.recent.append(row)
            self.since_check += 1
            if len(self.recent) == self.window and self.since_check >= self.window / CHECKS:
                alerts += self.check()
        return alerts

    def check(self) -> list[str]:
        """Compare the window with the reference now, and return the alerts as `update` does."""
        counts, (lowest, highest) = np.sum(self.recent, axis=0), self.expected
        outside = set(np.flatnonzero((counts < lowest) | (counts > highest)).tolist())
        percent = 100 / self.window * np.array([counts, lowest, highest])
        columns = [*self.names, f"confidence below {self.min_confidence:g}"]
        new, self.outside, self.since_check = sorted(outside - self.outside), outside, 0
        return [
            f"{columns[i]}: {percent[0, i]:.0f} % of the last {self.window} predictions, "
            f"outside the expected {percent[1, i]:.0f} to {percent[2, i]:.0f} %"
            for i in new
        ]

    def summary(self) -> dict[str, float]:
        """Summarize the last predictions, at most `window` of them.

        Returns:
            "predictions" (how many), "divergence" and "p_value" (from `drift`, against the reference), and "unsure"
            (the share with a confidence below `min_confidence`).

        Raises:
            ValueError: there was no prediction yet.
        """
        counts = np.sum(self.recent, axis=0) if self.recent else np.zeros_like(self.reference)
        difference = drift(self.reference[:-1], counts[:-1])
        return {"predictions": len(self.recent), **difference, "unsure": float(counts[-1] / len(self.recent))}
