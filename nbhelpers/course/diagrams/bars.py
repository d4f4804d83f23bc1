"""A diagram for amounts: a bar for each, so that one sees at once how far apart they are."""

from __future__ import annotations

from collections.abc import Mapping

from nbhelpers.course.errors import CourseError

from .drawing import GREEN, Drawing

LEFT, LONGEST = 270, 330  # where the bars begin, and the length of the longest, in pixels
EXAMPLE = {"ten copies of an encoder": 903.0, "the encoder once, ten adapters": 117.1}


def bars(amounts: Mapping[str, float] | None = None, title: str = "Disk space", unit: str = "MB") -> Drawing:
    """A horizontal bar for each amount. The last one, about which the reader wants to know, is green.

    Args:
        amounts: the name of each bar (up to 32 letters) -> its length, 0 or more.
        title: what is compared.
        unit: of the amounts.

    Raises:
        CourseError: there is no amount, or one is negative, or a name is too long.
    """
    amounts = EXAMPLE if amounts is None else amounts
    if not amounts or min(amounts.values()) < 0 or max(map(len, amounts)) > 32:
        raise CourseError("pass one amount or more, each at least 0 and with a name of at most 32 letters")
    largest = max(amounts.values()) or 1
    texts = {name: f"{amount:,.1f} {unit}" for name, amount in amounts.items()}
    said = "; ".join(f"{name}: {text}" for name, text in texts.items())
    alt = f"{title}, as horizontal bars in {unit}. From top to bottom, {said}."
    drawing = Drawing(730, 34 * len(amounts) + 36, alt)
    drawing.text(10, 20, title, "start", bold=True)
    for row, (name, amount) in enumerate(amounts.items()):
        y, length = 32 + 34 * row, max(1.0, round(LONGEST * amount / largest, 1))
        drawing.text(10, y + 17, name, "start")
        drawing.box(LEFT, y, length, 24, "", GREEN if row == len(amounts) - 1 else "")
        drawing.text(LEFT + length + 8, y + 17, texts[name], "start")
    return drawing
