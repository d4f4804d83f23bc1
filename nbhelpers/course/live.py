"""`LiveTraining`: a progress bar and the loss while a model trains. The last picture stays in the notebook."""

from __future__ import annotations

import time
from typing import Any

from IPython.display import display

from nbhelpers.course.diagrams.drawing import BLUE, GREEN, LINE, Drawing

WIDTH, HEIGHT, LEFT, TOP, BASE = 640, 196, 60, 34, 146  # pixels; the loss is drawn from TOP to BASE
SECONDS_BETWEEN = 0.5


class LiveTraining:
    """Pass it to `training.fit` as `log`. Every half second it draws how far the training is.

    Args:
        num_epochs: of the training; part of an epoch is possible.

    >>> live = LiveTraining(num_epochs=1)
    >>> live.rows = [{"epoch": 0.5, "train_loss": 1.5}, {"epoch": 1, "train_loss": 0.5}, {"epoch": 1, "dev_score": 0.6}]
    >>> live.drawing().alt
    'Epoch 1.0 of 1. Loss of the batches from 1.50 to 0.50. Score on dev after each epoch, in percent: 60.0.'
    """

    def __init__(self, num_epochs: float) -> None:
        self.num_epochs = num_epochs
        self.rows: list[dict[str, float]] = []
        self.started = self.drawn = time.monotonic()
        self.handle: Any = None

    def __call__(self, row: dict[str, float]) -> None:
        """Take a row of the history, and draw if the last picture is old, or if this may be the last row."""
        self.rows.append(row)
        is_last = "dev_score" in row or row["epoch"] >= self.num_epochs
        if not is_last and time.monotonic() - self.drawn < SECONDS_BETWEEN:
            return
        self.drawn = time.monotonic()
        if self.handle is None:
            self.handle = display(self.drawing(), display_id=True)
        else:
            self.handle.update(self.drawing())

    def drawing(self) -> Drawing:
        """The progress bar, the loss of each batch as a line, and the score on dev at the end of each epoch."""
        losses = [(row["epoch"], row["train_loss"]) for row in self.rows if "train_loss" in row]
        scores = [(row["epoch"], 100 * row["dev_score"]) for row in self.rows if "dev_score" in row]
        done = self.rows[-1]["epoch"] / self.num_epochs
        alt = f"Epoch {self.rows[-1]['epoch']:.1f} of {round(self.num_epochs, 1):g}. "
        alt += f"Loss of the batches from {losses[0][1]:.2f} to {losses[-1][1]:.2f}." if losses else ""
        if scores:
            numbers = ", ".join(f"{score:.1f}" for _, score in scores)
            alt += f" Score on dev after each epoch, in percent: {numbers}."
        drawing = Drawing(WIDTH, HEIGHT, alt)
        drawing.box(LEFT, 8, WIDTH - LEFT - 10, 14)
        drawing.box(LEFT, 8, (WIDTH - LEFT - 10) * min(done, 1), 14, color=BLUE)
        highest = max((loss for _, loss in losses), default=1.0)
        points = [self.place(epoch, loss / highest) for epoch, loss in losses]
        drawing.curve(points, BLUE)
        drawing.line(LEFT, BASE, WIDTH - 10, BASE)
        drawing.text(LEFT - 6, TOP + 12, f"{highest:.2f}", anchor="end")
        drawing.text(LEFT - 6, BASE + 4, "0", anchor="end")
        for epoch, score in scores:
            x, _ = self.place(epoch, 0)
            drawing.line(x, TOP, x, BASE, LINE)
            drawing.dot(x, BASE, 4, GREEN)
            drawing.text(x, BASE + 20, f"dev {score:.1f} %", anchor="end")
        shown = "The loss of each batch, and the score on dev." if scores else "The loss of each batch."
        drawing.text(LEFT, BASE + 40, f"{shown} {self.time_left(done)}", anchor="start")
        return drawing

    def place(self, epoch: float, height: float) -> tuple[float, float]:
        """The point of a picture for an epoch and a height from 0 to 1."""
        x = LEFT + (WIDTH - LEFT - 10) * epoch / self.num_epochs
        return round(x, 1), round(BASE - (BASE - TOP) * height, 1)

    def time_left(self, done: float) -> str:
        """How long the rest will take at the pace so far, or how long all of it took."""
        seconds = time.monotonic() - self.started
        if done >= 1:
            return f"This took {seconds:.0f} s."
        return f"About {seconds * (1 - done) / max(done, 0.01):.0f} s left."
