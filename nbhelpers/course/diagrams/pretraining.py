"""Diagrams of lesson 13: what becomes of the chosen tokens, and what a head of the attention looks at."""

from __future__ import annotations

from collections.abc import Sequence

from nbhelpers.course.errors import CourseError

from .drawing import BLUE, GREEN, ORANGE, PALE, PURPLE, Drawing

# token, what the model reads, what it must predict; a token that was not chosen has no target
TOKENS = [
    ("Your", "Your", ""),
    ("parcel", "<mask>", "parcel"),
    ("left", "left", ""),
    ("our", "our", ""),
    ("depot", "banana", "depot"),
    ("this", "this", ""),
    ("morning", "morning", "morning"),
]
FATES = {"parcel": ("80 %: hidden", BLUE), "depot": ("10 %: another", ORANGE), "morning": ("10 %: as it is", GREEN)}
EXAMPLE_TOKENS = ["<s>", "not", "bad", "</s>"]
EXAMPLE_WEIGHTS = [[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.0, 0.9, 0.05, 0.05], [0.25, 0.25, 0.25, 0.25]]
MAX_TOKENS = 24
CELL, LEFT, TOP = 24, 120, 110  # pixels: a cell of the picture, and where the first one is


def masking_fates() -> Drawing:
    """The three things that can become of a chosen token: hidden, replaced by another word, or left as it is."""
    said = "; ".join(
        f"{token}: the model reads {read} and must predict {target}" for token, read, target in TOKENS if target
    )
    drawing = Drawing(
        790,
        190,
        f"A text of {len(TOKENS)} tokens, what the model reads in their places, and what it must predict. {said}. "
        "The other tokens are read as they are, and nothing is predicted for them.",
    )
    for y, name in ((44, "the text"), (90, "the model reads"), (136, "it must predict")):
        drawing.text(10, y, name, "start")
    for column, (token, read, target) in enumerate(TOKENS):
        x = 130 + 94 * column
        fate, color = FATES.get(token, ("", ""))
        drawing.box(x, 26, 84, 28, token)
        drawing.box(x, 72, 84, 28, read, color)
        if target:
            drawing.box(x, 118, 84, 28, target, color, bold=True)
            drawing.text(x + 42, 168, fate, size=11)
            drawing.text(x + 42, 16, "chosen", size=11)
    return drawing


def attention_head(
    tokens: Sequence[str] | None = None, weights: Sequence[Sequence[float]] | None = None, title: str = "One head"
) -> Drawing:
    """How much each token attends to each other one: the area of a dot is the weight.

    Args:
        tokens: of the text, at most 24; longer ones are cut to nine letters.
        weights: [tokens, tokens]; a row has the weights of one token, which add up to 1.
        title: which layer and head it is.

    Raises:
        CourseError: there are too many tokens, or the weights are not those of the tokens.
    """
    tokens = EXAMPLE_TOKENS if tokens is None else list(tokens)
    weights = EXAMPLE_WEIGHTS if weights is None else [list(row) for row in weights]
    if not 0 < len(tokens) <= MAX_TOKENS or [len(row) for row in weights] != [len(tokens)] * len(tokens):
        raise CourseError(
            f"{len(tokens)} tokens and {len(weights)} rows of weights: pass at most {MAX_TOKENS} and a row for each"
        )
    most = [max(range(len(tokens)), key=row.__getitem__) for row in weights]
    said = "; ".join(f"{tokens[i]} to {tokens[j]} ({100 * weights[i][j]:.0f} %)" for i, j in enumerate(most))
    size = CELL * len(tokens)
    drawing = Drawing(
        max(600, LEFT + size + 90),
        TOP + size + 34,
        f"{title}: a table of dots, where a row shows what one token attends to. Each token most: {said}.",
    )
    drawing.text(10, 20, title, "start", bold=True)
    for i in range(len(tokens)):  # from each name to its column, behind all dots
        x = LEFT + CELL * i + CELL / 2
        drawing.line(x, TOP - 8 - 16 * (i % 4), x, TOP + size, PALE)
    for i, token in enumerate(tokens):
        drawing.text(LEFT - 8, TOP + CELL * i + 17, short(token), "end", 12)
        # Names of columns go down in steps, because slanted text would be hard to read
        drawing.text(LEFT + CELL * i + CELL / 2, TOP - 12 - 16 * (i % 4), short(token), size=11)
        for j, weight in enumerate(weights[i]):
            radius = round(11 * max(0.0, weight) ** 0.5, 1)
            if radius >= 1:
                color = PURPLE if j == most[i] else BLUE
                drawing.dot(LEFT + CELL * j + CELL / 2, TOP + CELL * i + CELL / 2, radius, color)
    caption = "Row: what this token attends to. Area of a dot: the weight. Purple: the largest."
    drawing.text(10, TOP + size + 24, caption, "start", 12)
    return drawing


def short(token: str) -> str:
    """A token of at most nine letters.

    >>> short("understanding")
    'understa…'
    """
    return token if len(token) <= 9 else f"{token[:8]}…"
