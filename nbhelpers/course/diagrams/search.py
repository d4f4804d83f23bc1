"""Diagrams of lesson 11: a grid against random points, and trials that halving stops."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .drawing import BLUE, GREEN, LINE, ORANGE, Drawing

SIDE = 180  # of the square of a panel, in pixels
GRID = [(x, y) for y in (0.17, 0.5, 0.83) for x in (0.17, 0.5, 0.83)]
RANDOM = [
    (0.06, 0.62),
    (0.19, 0.21),
    (0.28, 0.88),
    (0.39, 0.44),
    (0.52, 0.08),
    (0.61, 0.71),
    (0.73, 0.34),
    (0.84, 0.93),
    (0.95, 0.53),
]
# The scores of eight trials after epochs 1 to 8, and after how many epochs halving stops each
TRIALS = (
    ((50, 62, 67, 69, 70, 71, 71, 72), 8),
    ((46, 58, 63, 66, 68, 69, 70, 70), 8),
    ((20, 34, 50, 62, 70, 74, 77, 79), 2),  # would have won
    ((40, 51, 56, 59, 61, 62, 62, 63), 2),
    ((36, 46, 50, 53, 55, 56, 57, 57), 2),
    ((30, 40, 45, 48, 50, 51, 51, 52), 2),
    ((25, 29, 33, 37, 40, 42, 44, 45), 2),
    ((15, 20, 24, 28, 31, 33, 35, 37), 2),
)


def search_points() -> Drawing:
    """Nine trials on a grid and nine random ones, where only one of two settings matters."""
    drawing = Drawing(
        760,
        340,
        "Two squares with nine points each; a point is a trial, with its value of the setting that matters on the "
        "horizontal axis. Above each square a curve shows the score for each value, with a narrow peak. On the "
        "left the points are a grid, and try three learning rates. On the right they are random, and try nine learning "
        "rates, one of them near the peak. The best trials are green.",
    )
    for left, name, points in (
        (150, "grid: 9 trials, 3 learning rates", GRID),
        (500, "random: 9 trials, 9 learning rates", RANDOM),
    ):
        draw_points(drawing, left, points)
        drawing.text(left + SIDE / 2, 20, name, bold=True)
        drawing.text(left + SIDE / 2, 328, "learning rate (matters)", size=12)
    drawing.texts(20, 62, ["score for each", "learning rate"], size=12)
    drawing.texts(20, 205, ["a setting that", "does not matter"], size=12)
    drawing.texts(352, 165, ["green: the trials", "with the best score"], size=12)
    return drawing


def draw_points(drawing: Drawing, left: float, points: Sequence[tuple[float, float]]) -> None:
    """A panel: a square with points, the curve of the score above it, and where on the curve each point is."""
    top = 130
    drawing.box(left, top, SIDE, SIDE)
    for x, y in points:
        column = left + SIDE * x
        drawing.line(column, top + SIDE * y, column, height(x), "#c4ccd4")
    drawing.curve([(left + SIDE * i / 60, height(i / 60)) for i in range(61)], BLUE)
    best = max(points, key=lambda point: score(point[0]))
    for x, y in points:
        column, color = left + SIDE * x, GREEN if score(x) == score(best[0]) else LINE
        drawing.dot(column, top + SIDE * y, 6 if color == GREEN else 4.5, color)
        drawing.dot(column, height(x), 4 if color == GREEN else 3, color)


def score(x: float) -> float:
    """How good a value of the setting that matters is, from 0 to 1."""
    return 0.15 + 0.85 * math.exp(-(((x - 0.71) / 0.11) ** 2))


def height(x: float) -> float:
    """Where the score for a value is in the picture."""
    return round(112 - 70 * score(x), 1)


def halving() -> Drawing:
    """Learning curves of eight trials; after two epochs, the best quarter goes on."""
    drawing = Drawing(
        760,
        290,
        "Learning curves of eight trials over eight epochs. After epoch 2, halving lets the best quarter go on, which "
        "are two trials. It stops the other six. Pale lines show how these would have gone on: one of them was slow at "
        "first and would have ended above the two that were kept.",
    )
    for scores, stop in TRIALS:
        points = [(60 + 55 * epoch, round(262 - 2.7 * value, 1)) for epoch, value in enumerate(scores, start=1)]
        drawing.curve(points, "#c4ccd4")
        drawing.curve(points[:stop], GREEN if stop == 8 else ORANGE)
        drawing.dot(*points[stop - 1], 4, GREEN if stop == 8 else ORANGE)
    drawing.line(60, 262, 530, 262)
    drawing.line(170, 22, 170, 262, LINE)
    drawing.text(178, 20, "halving decides here", "start", 12)
    for epoch in range(1, 9):
        drawing.text(60 + 55 * epoch, 280, str(epoch), size=12)
    drawing.text(56, 280, "epoch", size=12)
    drawing.text(50, 60, "score", size=12)
    drawing.text(515, 45, "would have won, but was stopped", "start", 12)
    drawing.text(515, 72, "green: the best quarter went on", "start", 12)
    drawing.texts(515, 160, ["orange: stopped", "pale: how these would have gone on"], size=12)
    return drawing
