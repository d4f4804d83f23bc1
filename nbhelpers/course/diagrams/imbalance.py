"""Diagram of lesson 8: the boundary between a frequent and a rare class, and where logit adjustment moves it."""

from __future__ import annotations

import math

from nbhelpers.course.errors import CourseError

from .drawing import BLUE, GREEN, INK, LINE, ORANGE, Drawing

SHARE = 0.1  # of the rare class
CENTER = 1.0  # the evidence of rare texts is around +1 on average, that of the others around -1
LEFT, RIGHT, BASE, TOP = 20, 480, 230, 80  # the picture of the curves, in pixels


def normal(x: float) -> float:
    """The share of a normal distribution that is above x.

    >>> normal(0.0), round(normal(1.0), 3)
    (0.5, 0.159)
    """
    return 0.5 * math.erfc(x / math.sqrt(2))


def boundary_of(tau: float) -> float:
    """The evidence from which the rare class is predicted, after tau times the log prior was subtracted.

    Both classes have a normal distribution with a standard deviation of 1, so their log-probabilities differ by
    2 * CENTER * x plus the difference of the log priors.

    >>> round(boundary_of(0.0), 2), boundary_of(1.0)
    (1.1, 0.0)
    """
    return (1 - tau) * math.log((1 - SHARE) / SHARE) / (2 * CENTER)


def hits(tau: float) -> tuple[float, float]:
    """Recall and precision of the rare class.

    >>> [round(share, 2) for share in hits(0.0)]
    [0.46, 0.74]
    """
    found = SHARE * normal(boundary_of(tau) - CENTER)
    false_alarms = (1 - SHARE) * normal(boundary_of(tau) + CENTER)
    return found / SHARE, found / (found + false_alarms)


def boundary(tau: float = 1.0) -> Drawing:
    """Two classes, how often each has which evidence, and the boundary before and after logit adjustment.

    Args:
        tau: how much of the log prior is subtracted from the logits, -1 to 2; a negative number adds it.

    Raises:
        CourseError: tau is outside what the picture can show.
    """
    if not -1 <= tau <= 2:
        raise CourseError(f"tau is {tau:g}; choose a number from -1 to 2")
    rows = {"plain": hits(0.0), f"tau = {tau:g}": hits(tau)}
    scores = [f"recall {100 * recall:.0f} %, precision {100 * precision:.0f} %" for recall, precision in rows.values()]
    before, after = (x_of(boundary_of(amount)) for amount in (0.0, tau))
    way = "stays" if after == before else "moves toward the frequent class" if tau > 0 else "moves into the rare class"
    drawing = Drawing(
        760,
        300,
        "Two bell curves over the evidence in a text: a high one on the left for a frequent class with 90 % of the "
        "texts, and a low one on the right for a rare class with 10 %. Texts right of the boundary are predicted as "
        f"the rare class. The boundary {way}. For the rare class: "
        + "; ".join(f"{name}, {score}" for name, score in zip(rows, scores, strict=True))
        + ".",
    )
    for center, share, color in ((-CENTER, 1 - SHARE, ORANGE), (CENTER, SHARE, BLUE)):
        drawing.curve([curve_point(x / 10, center, share) for x in range(-40, 41)], color)
    drawing.line(LEFT, BASE, RIGHT, BASE)
    drawing.text(LEFT, 140, "frequent: 90 %", "start")
    drawing.text(RIGHT, 190, "rare: 10 %", "end")
    drawing.text(LEFT, BASE + 20, "looks like the frequent class", "start", 12)
    drawing.text(RIGHT, BASE + 20, "looks like the rare class", "end", 12)
    for x, color in ((before, INK), (after, GREEN)):
        drawing.line(x, 52, x, BASE, color)
    drawing.text(before, 24, "plain")
    # Beside its line on the outer side, so that the line of the plain model does not cross the words
    anchor = "middle" if after == before else "end" if after < before else "start"
    drawing.text(after, 44, f"tau = {tau:g}", anchor, bold=True)
    if before != after:
        drawing.arrow(before, 64, after, 64, LINE)
    drawing.text(500, 68, "The rare class:", "start")
    for place, lines in enumerate(zip(rows, scores, strict=True)):
        drawing.texts(500, 96 + 50 * place, lines)
    drawing.text(LEFT, 288, "Right of its boundary, a model predicts the rare class.", "start", 12)
    return drawing


def x_of(evidence: float) -> float:
    """Where an amount of evidence, -4 to 4, is in the picture, in pixels."""
    return round(LEFT + (RIGHT - LEFT) * (evidence + 4) / 8, 1)


def curve_point(x: float, center: float, share: float) -> tuple[float, float]:
    """The point of a class's curve: how many texts have this evidence."""
    return x_of(x), round(BASE - (BASE - TOP) * share / (1 - SHARE) * math.exp(-((x - center) ** 2) / 2), 1)
