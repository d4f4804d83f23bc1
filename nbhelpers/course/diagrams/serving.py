"""Diagrams of lesson 7: the path of a request through the service, and rounding to 8 bits."""

from __future__ import annotations

from .drawing import BLUE, GREEN, LINE, ORANGE, RED, Drawing

WEIGHTS = (-0.9, -0.31, 0.05, 0.42, 1.27)


def request() -> Drawing:
    """What happens to a request between its arrival and the answer."""
    drawing = Drawing(
        820,
        210,
        "The path of a request: checks refuse what is empty, too long or too much at once, with a sentence; the text "
        "becomes tokens; the request waits in a queue; requests of similar length are computed together in one batch; "
        "the answer goes back with label, probabilities and the version of the model.",
    )
    steps = (
        ("request", ""),
        ("checks", RED),
        ("tokens", ""),
        ("queue", ORANGE),
        ("one batch\nof several", BLUE),
        ("answer", GREEN),
    )
    for i, (step, color) in enumerate(steps):
        drawing.box(10 + 136 * i, 50, 108, 50, step, color)
        if i:
            drawing.arrow(118 + 136 * (i - 1), 75, 146 + 136 * (i - 1), 75)
    drawing.text(200, 34, "refused, with one sentence", size=12)
    drawing.line(200, 50, 200, 40, LINE)
    for i, name in enumerate(("others that", "arrived", "meanwhile")):
        drawing.text(472, 126 + 16 * i, name, size=12)
    drawing.arrow(472, 114, 472, 102)
    drawing.text(608, 126, "similar lengths,", size=12)
    drawing.text(608, 142, "little padding", size=12)
    drawing.text(
        10,
        198,
        "The latency of a request runs from the moment it is due to its answer: waiting counts as well.",
        "start",
        12,
    )
    return drawing


def rounding() -> Drawing:
    """Weights on a line, and the steps that 8 bits can hold."""
    drawing = Drawing(
        760,
        190,
        "Five weights on a number line, from -0.9 to 1.27. The largest, 1.27, becomes step 127, so one step is 0.01. "
        "Each weight is rounded to the nearest step: -90, -31, 5, 42 and 127.",
    )
    drawing.line(30, 70, 730, 70)
    for weight in WEIGHTS:
        x = 380 + 270 * weight
        drawing.dot(x, 70, 6, BLUE)
        drawing.text(x, 54, f"{weight:g}")
        drawing.arrow(x, 78, x, 104)
        drawing.text(x, 122, f"{round(weight * 100)}", bold=True)
    drawing.texts(30, 32, ["weights in fp32: 4 bytes each"], size=12)
    drawing.texts(30, 148, ["steps in int8: 1 byte each"], size=12)
    drawing.text(
        30, 178, "The weight with the largest absolute value sets the size of a step: 1.27 / 127 = 0.01.", "start", 12
    )
    return drawing
