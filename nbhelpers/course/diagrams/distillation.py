"""Diagrams of lesson 10: a teacher and its student side by side, and the layers that a student can take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nbhelpers.course.errors import CourseError

from .drawing import BLUE, GREEN, LINE, ORANGE, PURPLE, Drawing

NUM_LAYERS, KEPT = 6, (0, 2, 4)  # of the teacher, and those that the student takes
SETS = {"lower": (0, 1, 2), "upper": (3, 4, 5), "every second": (0, 2, 4)}
LEFT, WIDTH = 150, 570  # where the layers begin, and how much room they have, in pixels


def teacher_student() -> Drawing:
    """One text goes through both models; their logits are compared, and perhaps their hidden states."""
    drawing = Drawing(
        790,
        280,
        "One text goes through a teacher with six layers and through a student with three of them. The student's "
        "logits are compared with the teacher's by the KL divergence, and with the label by the cross-entropy. The "
        "hidden states of both last layers can be compared as well. Only the student is trained.",
    )
    drawing.text(110, 26, "teacher: its weights stay", "start", bold=True)
    drawing.text(110, 252, "student: trained", "start", bold=True)
    drawing.box(10, 116, 76, 40, "one text")
    for row, (y, layers) in enumerate(((40, range(NUM_LAYERS)), (192, KEPT))):
        drawing.arrow(86, 136, 108, y + 20)
        drawing.box(110, y, 100, 40, "embeddings")
        x = 210
        for layer in layers:
            place = 232 + 60 * layer
            drawing.arrow(x, y + 20, place, y + 20)
            drawing.box(place, y, 38, 40, str(layer), BLUE if row else "")
            x = place + 38
        drawing.arrow(x, y + 20, 602, y + 20)
        drawing.box(604, y, 74, 40, "logits", ORANGE)
    drawing.box(714, 192, 66, 40, "label", GREEN)
    drawing.line(641, 80, 641, 192, ORANGE)
    drawing.texts(650, 128, ["KL: the same", "probabilities?"])
    drawing.line(678, 212, 714, 212, GREEN)
    drawing.text(784, 260, "cross-entropy: the right class?", "end")
    drawing.line(551, 80, 491, 192, PURPLE)
    drawing.text(508, 128, "optional: similar", "end")
    drawing.text(500, 146, "hidden states?", "end")
    return drawing


def student_layers(sets: Mapping[str, Sequence[int]] | None = None, num_layers: int = NUM_LAYERS) -> Drawing:
    """The teacher's layers, and below them the layers that each student takes.

    Args:
        sets: the name of each student (up to 18 letters) -> the numbers of its layers, from 0.
        num_layers: of the teacher, up to 24.

    Raises:
        CourseError: there is no student, a name is too long, or there is no such layer.
    """
    sets = SETS if sets is None else sets
    numbers = [number for layers in sets.values() for number in layers]
    if not numbers or max(map(len, sets)) > 18 or min(numbers) < 0 or max(numbers) >= num_layers or num_layers > 24:
        raise CourseError(f"pass layers from 0 to {num_layers - 1} (of at most 24), with names of at most 18 letters")
    said = "; ".join(f"{name}: {', '.join(map(str, layers))}" for name, layers in sets.items())
    alt = f"A row of {num_layers} boxes for the layers of the teacher, and below it a row for each student, in which "
    drawing = Drawing(750, 44 * len(sets) + 90, f"{alt}only the layers that it takes have a box. {said}.")
    step = WIDTH / num_layers
    width = min(56, step - 6)
    rows = {"teacher": range(num_layers), **sets}
    for row, (name, layers) in enumerate(rows.items()):
        y = 10 + 44 * row
        drawing.text(10, y + 21, name, "start", bold=not row)
        drawing.arrow(LEFT - 14, y + 16, LEFT + WIDTH + 4, y + 16, LINE)
        for layer in layers:
            drawing.box(round(LEFT + step * layer, 1), y, round(width, 1), 32, str(layer), BLUE if row else "")
    drawing.text(10, 44 * len(rows) + 28, "A text passes from left to right. What is left out is skipped.", "start", 12)
    return drawing
