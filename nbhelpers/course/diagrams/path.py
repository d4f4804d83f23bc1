"""The picture that opens each lesson: the path from a text to probabilities, with a part of it highlighted."""

from __future__ import annotations

from collections.abc import Sequence

from .drawing import BLUE, Drawing

# step -> its box, what comes out of it, and what it does
STEPS = {
    "text": ("text", '"You did what?"', "what somebody wrote or said"),
    "tokens": ("tokens", "[CLS] you did what ? [SEP]", "words, or pieces of them, as numbers"),
    "encoder": ("encoder", "6 x 384 numbers", "a vector for each token, which depends on all tokens"),
    "pooling": ("pooling", "384 numbers", "one vector for the text: the mean"),
    "head": ("head", "a number for each class", "one linear layer: these numbers are the logits"),
    "softmax": ("softmax", "surprise 71 %, anger 20 %, ...", "probabilities, which add up to 1"),
}


def path(highlight: str | Sequence[str] = ()) -> Drawing:
    """The six steps from a text to probabilities.

    Args:
        highlight: the names of the steps that the lesson is about: "text", "tokens", "encoder", "pooling", "head",
            "softmax".
    """
    chosen = {highlight} if isinstance(highlight, str) else set(highlight)
    alt = "From a text to probabilities: " + "; ".join(
        f"{name}{' (this lesson)' if step in chosen else ''}: {example}" for step, (name, example, _) in STEPS.items()
    )
    drawing = Drawing(820, 40 * len(STEPS) + 16, f"{alt}.")
    for row, (step, (name, example, meaning)) in enumerate(STEPS.items()):
        y = 10 + 40 * row
        drawing.box(10, y, 100, 28, name, BLUE if step in chosen else "", bold=step in chosen)
        if row:
            drawing.arrow(60, y - 12, 60, y)
        drawing.text(130, y + 19, example, "start", bold=step in chosen)
        drawing.text(400, y + 19, meaning, "start")
    return drawing
