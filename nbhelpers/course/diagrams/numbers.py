"""Diagram of lesson 1: which numbers a format can store near a weight, and whether a step reaches the next one."""

from __future__ import annotations

import math

from nbhelpers.course.errors import CourseError

from .drawing import BLUE, LINE, ORANGE, Drawing

# format -> its significant bits, the exponent of its smallest normal number, and its largest number
FORMATS = {
    "fp32": (24, -126, (2 - 2**-23) * 2.0**127),
    "fp16": (11, -14, 65504.0),
    "bf16": (8, -126, (2 - 2**-7) * 2.0**127),
}
LEFT, RIGHT = 70, 420  # ends of the number lines, in pixels


def gap(number: float, format_name: str) -> float:
    """The distance from a positive number to the next one that the format can store."""
    bits, smallest, _ = FORMATS[format_name]
    exponent = math.frexp(number)[1] - 1 if number else smallest
    return float(2.0 ** (max(exponent, smallest) - bits + 1))


def stored(number: float, format_name: str) -> float:
    """What a format stores for a number: the nearest number that it has, or infinity if it is too large.

    >>> stored(0.1, "bf16"), stored(70_000, "fp16")
    (0.10009765625, inf)
    """
    if math.isinf(number):
        return number
    width = gap(abs(number), format_name)
    rounded = round(number / width) * width  # `round` takes the even one of two equally near ones, as hardware does
    return rounded if abs(rounded) <= FORMATS[format_name][2] else math.copysign(math.inf, number)


def number_line(number: float = 0.1, step: float = 1e-5) -> Drawing:
    """The numbers that fp32, fp16 and bf16 can store near a weight, and where one step down from it ends.

    Args:
        number: the weight, above 0.
        step: what is subtracted from it, 0 or more.

    Raises:
        CourseError: number or step is outside what all three formats can show.
    """
    if not (0 < number < 1e30 and 0 <= step < 1e30):
        raise CourseError("choose a weight above 0 and a step of at least 0, both below 1e30")
    window = 2 * gap(number, "bf16")
    rows = {"exact": (number, number - step)}
    for name in FORMATS:
        before = stored(number, name)
        rows[name] = (before, stored(before - stored(step, name), name))
    drawing = Drawing(820, 330, "")
    said = []
    for place, (name, (before, after)) in enumerate(rows.items()):
        y = 40 + 76 * place
        words = outcome(name, number, before, after)
        said.append(f"{name}: {', '.join(words)}")
        drawing.text(10, y + 5, name, "start", bold=True)
        draw_line(drawing, y, name, number, window)
        for value, color, length in ((before, BLUE, -34), (after, ORANGE, 34)):
            if abs(value - number) <= window:  # what is outside the picture is only in the words
                x = x_of(value, number, window)
                drawing.arrow(x, y + length, x, y + math.copysign(9, length), color)
        drawing.texts(440, y - 4, words, size=12)
    drawing.text(10, 320, "Arrow from above: the weight. Arrow from below: the weight after one step.", "start", 12)
    drawing.alt = f"Number lines around {number:g} for a step of {step:g}, with a mark for each number that can be "
    drawing.alt += f"stored. {'. '.join(said)}."
    return drawing


def draw_line(drawing: Drawing, y: float, name: str, number: float, window: float) -> None:
    """A line with a mark for each number that the format can store; in fp32 they are too close to be told apart."""
    drawing.line(LEFT, y, RIGHT, y, LINE)
    if name == "fp32":
        drawing.box(LEFT, y - 5, RIGHT - LEFT, 10)
    elif name != "exact":
        for value in storable(name, number - window, number + window):
            x = x_of(value, number, window)
            drawing.line(x, y - 6, x, y + 6, LINE)


def storable(name: str, low: float, high: float) -> list[float]:
    """All numbers that a format can store from `low`, which is above 0, to `high`.

    >>> storable("bf16", 0.99, 1.01)  # below 1 they are closer than above
    [0.9921875, 0.99609375, 1.0, 1.0078125]
    """
    value, values = stored(low, name), []
    while value <= min(high, FORMATS[name][2]):
        if value >= low:
            values.append(value)
        value += gap(value, name)
    return values


def x_of(value: float, number: float, window: float) -> float:
    """Where a value is in the picture, in pixels."""
    return round(LEFT + (RIGHT - LEFT) * (value - number + window) / (2 * window), 1)


def outcome(name: str, number: float, before: float, after: float) -> list[str]:
    """What became of the weight, in two lines."""
    if name == "exact":
        return [f"weight {before:.7g}", f"after one step {after:.7g}"]
    if math.isinf(before):
        return ["too large to store: it becomes infinite", "and a step changes nothing"]
    off = 100 * abs(before - number) / number
    is_same = "nothing changed" if after == before else "changed"
    return [f"stored as {before:.7g} ({off:.2g} % off)", f"after one step {after:.7g}: {is_same}"]
