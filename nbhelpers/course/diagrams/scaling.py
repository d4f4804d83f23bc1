"""Diagrams of lesson 17: three loads, a batch that two processes share, and an all-reduce in a ring."""

from __future__ import annotations

from .drawing import BLUE, GREEN, ORANGE, Drawing

LOADS = (  # name, what is divided, color, what the processes say to each other
    ("many rows", ("rows 1 to 3", "rows 4 to 6", "rows 7 to 9"), BLUE, "exchange nothing"),
    ("many trials", ("trial 1", "trial 2", "trial 3"), GREEN, "exchange nothing"),
    ("one long training", ("share 1", "share 2", "share 3"), ORANGE, "exchange at every update"),
)
# What three processes have of three parts: before, after two steps, and after four
STATES = (
    ("before", ((1, 2, 3), (10, 20, 30), (100, 200, 300))),
    ("after 2 steps: one full sum in each", ((1, 222, 303), (11, 20, 333), (111, 220, 300))),
    ("after 4 steps: all sums", ((111, 222, 333),) * 3),
)


def three_loads() -> Drawing:
    """Which of three loads makes processes wait for each other."""
    drawing = Drawing(
        760,
        262,
        "Three loads, each divided among three processes. Many rows to classify, and many trials of a search: the "
        "processes exchange nothing. One long training: each process has a share of every batch, and arrows in both "
        "directions join them, because they exchange gradients at every update.",
    )
    for column, (name, parts, color, talk) in enumerate(LOADS):
        x = 30 + 245 * column
        drawing.text(x + 105, 26, name, bold=True)
        for row, part in enumerate(parts):
            y = 44 + 62 * row
            drawing.box(x + 20, y, 170, 38, f"process {row + 1}: {part}", color)
            if row and color == ORANGE:
                drawing.arrow(x + 85, y - 24, x + 85, y)
                drawing.arrow(x + 125, y, x + 125, y - 24)
        drawing.text(x + 105, 240, talk, size=13)
    return drawing


def data_parallel() -> Drawing:
    """One update of two processes: shares of a batch, gradients, their sum, the same step in both."""
    drawing = Drawing(
        820,
        250,
        "One update in two processes. A batch of six texts is divided: each process gets three of them. Each has the "
        "whole model and computes the gradient of its share. An all-reduce adds up both gradients and gives the sum to "
        "both. Both take the same step, so the models stay equal.",
    )
    drawing.text(66, 24, "one batch", bold=True)
    for text in range(6):
        drawing.box(26, 36 + 32 * text, 80, 26, f"text {text + 1}", BLUE if text < 3 else ORANGE)
    for process, color in enumerate((BLUE, ORANGE)):
        y = 56 + 100 * process
        drawing.text(215, y - 12, f"process {process + 1}", bold=True)
        drawing.arrow(110, y + 26, 152, y + 26)
        drawing.box(156, y, 118, 52, "the whole\nmodel", color)
        drawing.arrow(276, y + 26, 312, y + 26)
        drawing.box(316, y, 118, 52, "gradient of\nits 3 texts", color)
        drawing.box(664, y, 134, 52, "the same step,\nthe same model", GREEN)
        middle = 130
        drawing.arrow(436, y + 26, 480, middle - 14 + 28 * process)
        drawing.arrow(612, middle - 14 + 28 * process, 660, y + 26)
    drawing.box(484, 92, 126, 76, "all-reduce:\nadd up, and give\nthe sum to both", GREEN)
    drawing.text(410, 242, "Only the gradients travel. (DDP then divides the sum by the number of processes.)", size=12)
    return drawing


def ring() -> Drawing:
    """The numbers of three processes before, during and after an all-reduce in a ring."""
    drawing = Drawing(
        780,
        236,
        "An all-reduce of three processes in a ring. Each has three numbers: 1, 2, 3; 10, 20, 30; and 100, 200, 300. "
        "In each step, every process sends one number to the next one, and the last to the first. After two steps each "
        "process has one complete sum. After two more steps all have the sums 111, 222 and 333.",
    )
    for panel, (name, state) in enumerate(STATES):
        left = 96 + 236 * panel
        drawing.text(left + 92, 24, name, bold=True)
        for process, numbers in enumerate(state):
            y = 40 + 56 * process
            if panel == 0:
                drawing.text(14, y + 22, f"process {process + 1}", "start")
            for part, number in enumerate(numbers):
                complete = number in (111, 222, 333)
                drawing.box(left + 62 * part, y, 56, 34, str(number), GREEN if complete else "", bold=complete)
            if process and panel < 2:
                drawing.arrow(left + 90, y - 22, left + 90, y - 2)
        if panel < 2:  # from the last process back to the first
            drawing.line(left + 180, 169, left + 192, 169)
            drawing.line(left + 192, 169, left + 192, 57)
            drawing.arrow(left + 192, 57, left + 183, 57)
        if panel:
            drawing.arrow(left - 34, 112, left - 10, 112)
    drawing.text(
        390, 222, "Each process sends to the next one, and the last one to the first. Green: a complete sum.", size=12
    )
    return drawing
