"""Diagrams of lesson 6: windows against whole dialogues, and the causal mask."""

from __future__ import annotations

from .drawing import BLUE, GREEN, Drawing

TURNS = ("Ann: The bus left.", "Bo: Again?", "Ann: Again.", "Bo: Call a taxi.")


def windows() -> Drawing:
    """A window for each turn, or one pass over the whole dialogue."""
    drawing = Drawing(
        800,
        250,
        "Left: windows. Each of the four turns is an input of its own, together with the two turns before it, so "
        "the encoder reads nine turns in all. Right: the whole dialogue is one input of four turns, and each turn "
        "is classified from its own tokens.",
    )
    drawing.text(200, 22, "windows of two earlier turns: four inputs", bold=True)
    for i in range(len(TURNS)):
        for j in range(max(0, i - 2), i + 1):
            x = 20 + 122 * (j - max(0, i - 2))
            drawing.box(x, 36 + 46 * i, 116, 34, f"turn {j + 1}", BLUE if j == i else "", bold=j == i)
    drawing.text(610, 22, "the whole dialogue: one input", bold=True)
    for i, turn in enumerate(TURNS):
        drawing.box(440, 36 + 46 * i, 200, 34, turn, BLUE)
        drawing.arrow(640, 53 + 46 * i, 680, 53 + 46 * i)
        drawing.text(690, 57 + 46 * i, f"label {i + 1}", "start")
    drawing.text(20, 240, "blue: is classified. gray: is only read.", "start", 12)
    return drawing


def causal_mask() -> Drawing:
    """Which token may attend to which, if a turn must not see what comes after it."""
    turns = (1, 1, 2, 2, 2, 3)
    drawing = Drawing(
        640,
        270,
        "A square of six tokens by six tokens. Tokens 1 and 2 are turn 1, tokens 3 to 5 turn 2, token 6 turn 3. A "
        "token may attend to all tokens of its own turn and of earlier turns; later turns are hidden.",
    )
    drawing.text(250, 20, "may attend to a token of")
    for i, line in enumerate(turns):
        drawing.text(126 + 44 * i, 44, f"turn {line}", size=11)
        drawing.text(95, 76 + 36 * i, f"turn {line}", "end", 11)
        for j, column in enumerate(turns):
            color = (GREEN if column == line else BLUE) if column <= line else ""
            drawing.box(106 + 44 * j, 54 + 36 * i, 40, 32, "" if color else "-", color)
    drawing.texts(400, 100, ["green: its own turn", "blue: earlier turns", "gray: later turns, hidden"])
    drawing.texts(400, 180, ["A window would need", "a pass for each turn;", "the mask needs one."], size=12)
    return drawing
