"""The monitor: compares the last predictions of a stream with those on reference data."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .intervals import design_effects, drift, expected_counts

CHECKS = 4  # how often the window is checked while all its predictions are replaced once


class Monitor:
    """Compare the last predictions of a stream with those on reference data; see `update`.

    The window of the last predictions is checked 4 times while all of it is replaced once. Each check compares the
    share of each class, and of the predictions with low confidence, with its `expected_counts`. The level of each
    comparison is false_alarm_rate / 4 / (classes + 1). By Bonferroni's inequality all comparisons together then keep
    the false alarm rate, although the windows overlap.

    The rate holds on average over reference samples and streams. The turns of a dialogue are not independent: an
    emotion lasts for several turns, so the shares vary more. With a rate of 0.01, 100 windows of the dialogues of the
    course had 4 to 5 false alarms without `groups`, and fewer than one with it. The intervals then become as wide as
    the reference shows that they must be, for a stream that brings its dialogues one after the other. If dialogues
    alternate in it, there are fewer false alarms still.

    Args:
        labels: [items] the label that the model predicted for each item of the reference data.
        confidences: [items] the probability that the model gave to this label.
        names: all classes of the model.
        groups: [items] the dialogue, or other group, of each item of the reference data. None treats the items as
            independent.
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
        groups: ArrayLike | None = None,
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
        self.design_effects = np.ones(len(self.reference)) if groups is None else design_effects(reference, groups)
        self.expected = expected_counts(self.reference, len(reference), window, level, self.design_effects)
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
        difference = drift(self.reference[:-1], counts[:-1], float(self.design_effects[:-1].mean()))
        return {"predictions": len(self.recent), **difference, "unsure": float(counts[-1] / len(self.recent))}
