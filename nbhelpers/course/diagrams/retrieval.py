"""Diagrams of lesson 15: two ways to compare a question with an answer, and the negatives of a batch."""

from __future__ import annotations

from nbhelpers.course.errors import CourseError

from .drawing import BLUE, GREEN, ORANGE, RED, Drawing

SIDE = 62  # of a cell, in pixels
LEFT, TOP = 250, 60  # where the cells begin
QUESTIONS = ("Who takes my old sofa?", "Is the pool open today?", "Lost my bus pass!", "Sofa pickup price?")
ANSWERS = (("bulky", "waste"), ("pool", "hours"), ("lost", "passes"), ("bulky", "waste"))


def two_readers() -> Drawing:
    """An encoder that reads question and answer separately, and a cross-encoder that reads both together."""
    drawing = Drawing(
        760,
        270,
        "Two ways to compare a question with an answer. On the left, an encoder reads the question and the answer "
        "separately. Each becomes a vector, and their cosine is the score. The vectors of the answers can be computed "
        "in advance. On the right, a cross-encoder reads question and answer together as one text, and its head gives "
        "the score. It must read every pair.",
    )
    drawing.text(180, 22, "encoder: separately", bold=True)
    for x, name, vector in ((90, "question", "vector"), (270, "answer", "vector,\nkept in the index")):
        drawing.box(x - 65, 40, 130, 32, name, BLUE)
        drawing.arrow(x, 72, x, 92)
        drawing.box(x - 65, 92, 130, 32, "encoder")
        drawing.arrow(x, 124, x, 146)
        drawing.box(x - 65, 146, 130, 42, vector, GREEN)
        drawing.arrow(x, 188, 180 + (x - 180) / 3, 212)
    drawing.box(120, 212, 120, 32, "cosine", ORANGE)
    drawing.text(180, 262, "answers are read once, in advance", size=12)
    drawing.text(570, 22, "cross-encoder: together", bold=True)
    drawing.box(450, 40, 240, 32, "question [SEP] answer", BLUE)
    drawing.arrow(570, 72, 570, 92)
    drawing.box(505, 92, 130, 32, "encoder")
    drawing.arrow(570, 124, 570, 150)
    drawing.box(505, 150, 130, 32, "head")
    drawing.arrow(570, 182, 570, 212)
    drawing.box(510, 212, 120, 32, "score", ORANGE)
    drawing.text(570, 262, "each pair is read, so only the ten best", size=12)
    return drawing


def in_batch_negatives(question: int = 1) -> Drawing:
    """The cosines of a batch: the right answer of a question, its negatives, and a copy that must not be one.

    Args:
        question: which of the four questions is explained, 1 to 4.

    Raises:
        CourseError: there is no such question.
    """
    if not 1 <= question <= len(QUESTIONS):
        raise CourseError(f"question {question}: choose a number from 1 to {len(QUESTIONS)}")
    chosen = question - 1
    copies = [c for c, answer in enumerate(ANSWERS) if answer == ANSWERS[chosen] and c != chosen]
    said = [f"Question {question} has answer {question}."]
    said += [f"Answer {copies[0] + 1} is the same text, so it is left out."] if copies else []
    said += [f"The other {len(ANSWERS) - 1 - len(copies)} are its negatives."]
    drawing = Drawing(
        760,
        375,
        "A table with four questions in the rows and their four answers in the columns. The diagonal cells are the "
        f"right pairs, the other cells negatives. Answers 1 and 4 are the same text. {' '.join(said)}",
    )
    for column, words in enumerate(ANSWERS):
        center = LEFT + SIDE * column + SIDE / 2
        drawing.text(center, 16, f"answer {column + 1}", size=11, bold=True)
        drawing.text(center, 33, words[0], size=12)
        drawing.text(center, 48, words[1], size=12)
    for row, text in enumerate(QUESTIONS):
        middle = TOP + SIDE * row + SIDE / 2
        drawing.text(LEFT - 12, middle + 4, f"{row + 1}. {text}", "end", bold=row == chosen)
        for column, words in enumerate(ANSWERS):
            draw_cell(drawing, row, column, words == ANSWERS[row], bold=row == chosen)
    right = LEFT + SIDE * len(ANSWERS) + 24
    for place, (color, meaning) in enumerate(
        ((GREEN, "right: should be near"), (ORANGE, "negative: should be far"), (RED, "right as well: left out"))
    ):
        y = TOP + 20 + 40 * place
        drawing.box(right, y, 22, 22, "=-x"[place], color)
        drawing.text(right + 32, y + 16, meaning, "start")
    drawing.texts(20, 328, said)
    return drawing


def draw_cell(drawing: Drawing, row: int, column: int, is_right: bool, bold: bool) -> None:
    """A cell of the table: = for the pair itself, x for a copy of the answer, - for a negative."""
    sign, color = ("=", GREEN) if row == column else ("x", RED) if is_right else ("-", ORANGE)
    drawing.box(LEFT + SIDE * column + 3, TOP + SIDE * row + 3, SIDE - 6, SIDE - 6, sign, color, bold)
