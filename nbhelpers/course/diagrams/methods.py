"""Diagrams of lessons 4 and 5: the low-rank update, and two passes with dropout."""

from __future__ import annotations

from .drawing import BLUE, GREEN, ORANGE, Drawing

MASKS = ((1, 1, 0, 1, 1, 0, 1, 1), (0, 1, 1, 1, 0, 1, 1, 1))  # the units that dropout keeps in each pass


def low_rank() -> Drawing:
    """W stays, and the product of two thin matrices is added to it."""
    drawing = Drawing(
        720,
        250,
        "A large square matrix W, which is frozen, plus alpha divided by r, times the product of a tall thin "
        "matrix B and a wide flat matrix A. Only A and B are trained. W has d_out times d_in numbers, A and B "
        "together have r times the sum of both.",
    )
    drawing.box(20, 30, 150, 150, "W\n(frozen)")
    drawing.text(95, 205, "d_out x d_in", size=12)
    drawing.text(205, 110, "+", size=24)
    drawing.text(262, 110, "alpha / r  x", size=14)
    drawing.box(320, 30, 30, 150, "B", GREEN)
    drawing.text(335, 205, "d_out x r", size=12)
    drawing.text(370, 110, "x", size=16)
    drawing.box(395, 90, 150, 30, "A", GREEN)
    drawing.text(470, 145, "r x d_in", size=12)
    drawing.texts(575, 84, ["green: trained", "B starts at zero,", "so at first", "nothing changes"], size=12)
    drawing.text(
        20, 238, "384 x 384 numbers in W: 147,456.  With r = 8, A and B have 8 x (384 + 384) = 6,144.", "start", 12
    )
    return drawing


def two_passes() -> Drawing:
    """The same text goes through the model twice, with different units switched off."""
    drawing = Drawing(
        760,
        230,
        "One text goes through the same model twice. In each pass dropout switches off different units, so the "
        "predictions p and q differ. Both are compared with the label by a cross-entropy, and with each other by "
        "the KL divergence.",
    )
    drawing.box(10, 90, 110, 40, "one text")
    for row, (mask, name, share) in enumerate(zip(MASKS, "pq", ("joy 62 %", "joy 48 %"), strict=True)):
        y = 40 + 110 * row
        drawing.arrow(120, 110, 170, y + 20)
        drawing.box(170, y, 190, 40, "", BLUE)
        for unit, kept in enumerate(mask):
            drawing.dot(186 + 22 * unit, y + 20, 7, BLUE if kept else "#c4ccd4")
        drawing.text(265, y - 8, f"pass {row + 1}: same weights, different units off", size=12)
        drawing.arrow(360, y + 20, 410, y + 20)
        drawing.box(410, y, 110, 40, f"{name}: {share}", ORANGE)
        drawing.text(545, y + 24, f"CE_{row + 1}: is it the label?", "start")
    drawing.line(465, 80, 465, 150)
    drawing.text(545, 119, "KL: do both passes agree?", "start", bold=True)
    drawing.line(465, 115, 538, 115)
    return drawing
