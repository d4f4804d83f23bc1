"""Diagram of lesson 9: a step along the gradient across the decision boundary, and several steps inside a ball."""

from __future__ import annotations

import itertools
import math

from .drawing import BLUE, GREEN, LINE, ORANGE, RED, Drawing

RADIUS = 70  # epsilon, in pixels
# PGD's positions relative to the text: each step is shorter than epsilon, and the last is moved back to the circle
PGD_STEPS = ((0, 0), (34, -8), (60, -30), (53.6, -45))


def adversarial_steps() -> Drawing:
    """FGM takes one step of length epsilon along the gradient; PGD takes several and stays inside the ball."""
    drawing = Drawing(
        760,
        270,
        "Two panels show the space of embeddings, with a point for a negative text and a curved boundary between "
        "negative and positive. Left, FGM: one arrow of length epsilon leads from the text along the gradient and "
        "crosses the boundary; a dashed arrow of the same length in a random direction does not. Right, PGD: three "
        "shorter arrows, each along the gradient where it starts; a circle of radius epsilon limits how far they lead.",
    )
    for left, title in ((10, "FGM: one step of length epsilon"), (390, "PGD: several steps inside the circle")):
        drawing.text(left + 180, 20, title, bold=True)
        drawing.box(left, 32, 360, 196)
        boundary = [(left + 190 + 0.003 * (y - 60) ** 2, y) for y in range(34, 227, 4)]
        drawing.curve([(round(x, 1), y) for x, y in boundary], RED)
        drawing.text(left + 14, 216, "negative", "start", 12)
        drawing.text(left + 346, 52, "positive", "end", 12)
        drawing.text(left + 262, 192, "boundary", "start", 12)
        drawing.curve(circle(left + 160, 140), LINE)
    x, y = 170, 140
    drawing.arrow(x, y, x + 62, y - 32, BLUE)
    dashes(drawing, (x, y), (x - 32, y - 62))  # in many dimensions, nearly at a right angle to the gradient
    drawing.dot(x, y, 6, ORANGE)
    drawing.text(x, y + 24, "negative text", "middle", 12)
    drawing.text(x + 78, y - 34, "gradient", "start", 12)
    drawing.text(x - 36, y - 66, "random", "end", 12)
    x = 550
    for (x1, y1), (x2, y2) in itertools.pairwise(PGD_STEPS):
        drawing.arrow(x + x1, y + y1, x + x2, y + y2, BLUE)
    drawing.dot(x, y, 6, ORANGE)
    drawing.dot(x + PGD_STEPS[-1][0], y + PGD_STEPS[-1][1], 5, GREEN)
    drawing.text(x, y + 24, "negative text", "middle", 12)
    drawing.text(x + 78, y - 50, "the last point", "start", 12)
    drawing.text(20, 252, "Circle: all points at distance epsilon from the text.", "start", 12)
    drawing.text(400, 252, "What leaves the circle is moved back to it.", "start", 12)
    return drawing


def circle(x: float, y: float) -> list[tuple[float, float]]:
    """The points of the circle of radius epsilon around a point."""
    angles = [2 * math.pi * part / 60 for part in range(61)]
    return [(round(x + RADIUS * math.cos(angle), 1), round(y + RADIUS * math.sin(angle), 1)) for angle in angles]


def dashes(drawing: Drawing, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A dashed arrow, which can be told from a solid one without its color."""
    (x1, y1), (x2, y2) = start, end
    places = [(round(x1 + (x2 - x1) * part / 9, 1), round(y1 + (y2 - y1) * part / 9, 1)) for part in range(10)]
    for (left, top), (right, bottom) in zip(places[0:8:2], places[1:9:2], strict=True):
        drawing.line(left, top, right, bottom)
    left, top = places[8]
    drawing.arrow(left, top, x2, y2)
