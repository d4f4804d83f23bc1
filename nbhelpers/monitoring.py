"""Watching a classifier in production, where nobody knows the right answers: do its own answers look as they used to?

    monitor = Monitor(dev_predictions, dev_confidences, names)
    for result in answers:
        for sentence in monitor.update([result["label"]], [result["scores"][0]["score"]]):
            print(sentence)

Compare with the model's own predictions on data it was not trained on: its gold labels have other shares, and on its
training data it is too sure. A model also can get worse while its answers look the same; only fresh labels show that.
"""

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import jensenshannon
from scipy.stats import betabinom, chi2_contingency

CHECKS = 4  # in the time in which the window is renewed


def drift(reference: ArrayLike, counts: ArrayLike) -> dict[str, float]:
    """How far two label distributions are apart, and whether chance explains it.

    Args:
        reference, counts: how often each class was given, [classes], in the same order.

    `divergence` is the Jensen-Shannon divergence in bits (Lin, Divergence measures based on the Shannon entropy, IEEE
    Transactions on Information Theory 1991): 0 when equal, 1 when no class is in both, and finite when a class is
    empty, where the population stability index is not. Chance alone makes it about
    (classes - 1) (1 / sum(reference) + 1 / sum(counts)) / (8 ln 2).
    `p_value` is Pearson's chi-square test of the two rows, for expected counts of 5 or more (Cochran, Some methods for
    strengthening the common chi-square tests, Biometrics 1954) and independent items. Many items make any small
    difference significant: look at both.

    >>> {name: round(value, 4) for name, value in drift([70, 20, 10], [60, 20, 20]).items()}
    {'divergence': 0.015, 'p_value': 0.1286}
    """
    table = np.array([reference, counts], dtype=float)
    if table.ndim != 2 or table.shape[1] < 2 or not np.isfinite(table).all() or table.min() < 0:
        raise ValueError("reference and counts: give how often each of the same two or more classes occurred")
    if not table.sum(1).all():
        raise ValueError("nothing was counted in one of the two; wait for answers before comparing")
    table = table[:, table.any(0)]  # a class that never occurs says nothing
    p_value = chi2_contingency(table, correction=False).pvalue
    return {"divergence": float(jensenshannon(*table, base=2) ** 2), "p_value": float(p_value)}


def expected_counts(reference: ArrayLike, num_reference: int, num_items: int, level: float) -> NDArray[np.int64]:
    """Lowest and highest count, [2, classes], that each class should have among new items, by chance alone.

    Args:
        reference: its count among `num_reference` earlier items, [classes].
        level: how often a new count may lie outside; half of it on each side.

    Both samples vary, so it is the interval of a beta-binomial distribution, with Jeffreys' prior of 1/2 and 1/2
    (Meeker, Hahn and Escobar, Statistical Intervals, 2nd edition 2017, on prediction intervals for binomial counts).

    >>> expected_counts([200], 1000, 100, level=0.05).tolist()
    [[12], [29]]
    """
    seen = np.asarray(reference)
    interval = betabinom.interval(1 - level, num_items, seen + 0.5, num_reference - seen + 0.5)
    return np.array(interval, dtype=np.int64)


class Monitor:
    """The last `window` answers of a stream, compared with those to reference data; see `update`.

    Args:
        labels, confidences: the reference: for each item, the label the model gave and its probability.
        names: all classes.
        window: how many answers are looked at together. More find smaller changes, and later.
        low: an answer with a lower probability counts as unsure.
        rate: false alarms in `window` answers, at most, on average over references and streams, if nothing changes and
            items are independent. Turns of a dialogue are not: emotions last, shares vary more, more alarms come.

    The window is checked 4 times while it is renewed; each check compares the share of each class and of unsure answers
    with its `expected_counts`, at the level rate / 4 / (classes + 1). By Bonferroni's inequality the alarms add up to
    no more than the rate, though the checks share answers.

    >>> monitor = Monitor(["no"] * 150 + ["yes"] * 50, [0.9] * 200, ["no", "yes"], window=100)
    >>> monitor.update(["no"] * 75 + ["yes"] * 25, [0.9] * 100)
    []
    >>> for sentence in monitor.update(["yes"] * 25, [0.9] * 25):
    ...     print(sentence)
    no: 50 % of the last 100 answers; 56 to 91 % were to be expected
    yes: 50 % of the last 100 answers; 9 to 44 % were to be expected
    """

    def __init__(
        self,
        labels: Sequence[str],
        confidences: Sequence[float],
        names: Sequence[str],
        *,
        window: int = 500,
        low: float = 0.5,
        rate: float = 0.01,
    ) -> None:
        if window < CHECKS or not 0 < rate < 1:
            raise ValueError(f"window={window} and rate={rate}: use {CHECKS} answers or more, and a rate within 0 to 1")
        self.names, self.window, self.low = list(names), window, low
        reference = self.flags(labels, confidences)
        if not len(reference):
            raise ValueError("the reference is empty; pass the model's answers to dev data")
        self.reference = reference.sum(0)
        level = rate / CHECKS / len(self.reference)
        self.expected = expected_counts(self.reference, len(reference), window, level)
        self.recent: deque[NDArray[np.int64]] = deque(maxlen=window)
        self.since_check = 0
        self.outside: set[int] = set()

    def flags(self, labels: Sequence[str], confidences: Sequence[float]) -> NDArray[np.int64]:
        """One column per class and one for unsure answers, [items, classes + 1], of 0 and 1."""
        if len(labels) != len(confidences):
            raise ValueError(f"{len(labels)} labels and {len(confidences)} confidences; give one for each answer")
        if unknown := set(labels) - set(self.names):
            raise ValueError(f"label {min(unknown)!r} is not one of {', '.join(self.names)}")
        sure = np.asarray(confidences, dtype=float)
        if not ((sure >= 0) & (sure <= 1)).all():
            raise ValueError("a confidence is not within 0 to 1; pass probabilities, not logits")
        columns = [[label == name for label in labels] for name in self.names]
        return np.array([*columns, sure < self.low], dtype=np.int64).T

    def update(self, labels: Sequence[str], confidences: Sequence[float]) -> list[str]:
        """Take new answers, in the order they were given; one sentence for each share that has left its interval.

        What stays outside is not told again; what came back and leaves again is.
        """
        alerts = []
        for row in self.flags(labels, confidences):
            self.recent.append(row)
            self.since_check += 1
            if len(self.recent) == self.window and self.since_check >= self.window / CHECKS:
                alerts += self.check()
        return alerts

    def check(self) -> list[str]:
        """Compare the window now; the sentences of `update`."""
        counts, (lowest, highest) = np.sum(self.recent, axis=0), self.expected
        outside = set(np.flatnonzero((counts < lowest) | (counts > highest)).tolist())
        shares = 100 / self.window * np.array([counts, lowest, highest])
        kinds = [*self.names, f"confidence below {self.low:g}"]
        new, self.outside, self.since_check = sorted(outside - self.outside), outside, 0
        return [
            f"{kinds[i]}: {shares[0, i]:.0f} % of the last {self.window} answers; "
            f"{shares[1, i]:.0f} to {shares[2, i]:.0f} % were to be expected"
            for i in new
        ]

    def summary(self) -> dict[str, float]:
        """Of the last answers: how many, `drift` of their labels against the reference, the share that is unsure."""
        counts = np.sum(self.recent, axis=0) if self.recent else np.zeros_like(self.reference)
        found = drift(self.reference[:-1], counts[:-1])
        return {"answers": len(self.recent), **found, "unsure": float(counts[-1] / len(self.recent))}
