"""A figure about the threshold from which a class is predicted."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from .style import BLUE, INK, ORANGE, PALE, Picture, card_style, finish, new_picture, require, to_numbers


def threshold_curve(
    is_class: ArrayLike, probabilities: ArrayLike, threshold: float, name: str = "the class"
) -> Picture:
    """Draw precision and recall of one class against the threshold from which it is predicted.

    Args:
        is_class: [rows] whether a row has the class (0 or 1).
        probabilities: [rows] of the class, from 0 to 1.
        threshold: is marked, and the summary says what comes out with it.
        name: of the class.

    Raises:
        ValueError: the numbers of rows differ, no row has the class, or a number is not between 0 and 1.

    >>> print(threshold_curve([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1], threshold=0.5, name="joy").summary)
    From 0.50 on, 2 of 4 rows are called joy: precision 50.0 %, recall 50.0 % of 2.
    """
    truth, scores = to_numbers("is_class", is_class, ndim=1), to_numbers("probabilities", probabilities, ndim=1)
    require(
        len(truth) == len(scores), f"{len(truth)} rows in is_class but {len(scores)} probabilities: pass one of each"
    )
    require(
        set(np.unique(truth)) <= {0.0, 1.0} and truth.any(), "is_class needs 0 or 1 for each row, and at least one 1"
    )
    require(scores.max() <= 1 and 0 <= threshold <= 1, "probabilities and threshold must be between 0 and 1")
    steps = np.linspace(0, 1, 101)
    predicted = scores >= steps[:, np.newaxis]  # [steps, rows]
    hits = (predicted & (truth == 1)).sum(axis=1)
    with np.errstate(invalid="ignore"):
        precision = 100 * hits / predicted.sum(axis=1)  # NaN where nothing is predicted, which is not drawn
    recall = 100 * hits / truth.sum()
    with card_style():
        picture = new_picture(7, 3.6, f"Precision and recall of {name}, by threshold")
        axes = picture.subplots()
        axes.plot(steps, precision, color=BLUE, label="precision")
        axes.plot(steps, recall, color=ORANGE, linestyle="--", label="recall")
        axes.axvline(threshold, color=INK, linewidth=1)
        axes.set(xlim=(0, 1), ylim=(0, 103), xlabel="threshold", ylabel="%")
        axes.grid(color=PALE)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)  # above the lines
    chosen = scores >= threshold
    found = (chosen & (truth == 1)).sum()
    summary = f"From {threshold:.2f} on, {chosen.sum():,} of {len(scores):,} rows are called {name}: precision "
    summary += f"{100 * found / chosen.sum():.1f} %" if chosen.any() else "is not defined"
    summary += f", recall {100 * found / truth.sum():.1f} % of {truth.sum():,.0f}."
    return finish(picture, f"Lines of precision and recall against the threshold. {summary}", summary)
