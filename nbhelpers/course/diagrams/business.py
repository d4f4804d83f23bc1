"""Diagrams of lesson 14: from a file to a service, and what becomes of a thousand messages at a threshold."""

from __future__ import annotations

from nbhelpers.course.errors import CourseError

from .drawing import BLUE, GREEN, ORANGE, RED, Drawing

STEPS = (  # command, what goes in or comes out, what it answers
    ("train", "file.csv", "a folder with\nmodel and card"),
    ("evaluate", "new.csv", "how good on\nnew rows?"),
    ("predict", "all.csv", "a label for\nevery row"),
    ("serve", "messages", "an answer\nwithin milliseconds"),
)
NUM_MESSAGES = 1000
LEFT, WIDTH = 150, 460  # of the bars of `alarms`, in pixels


def file_to_service() -> Drawing:
    """The four commands in their order, what each reads, and what each gives; above them the decision they serve."""
    drawing = Drawing(
        740,
        210,
        "From a file to a service in four commands. nbhelpers train reads file.csv and writes a folder with the model "
        "and its card. evaluate reads new.csv and says how good it is. predict reads all.csv and labels every row. "
        "serve answers messages. A box says: decide, with costs, thresholds, a person. An arrow leads from it to the "
        "step from evaluate to predict. This decision is the subject of the lesson.",
    )
    for i, (command, reads, gives) in enumerate(STEPS):
        x = 10 + 185 * i
        drawing.text(x + 80, 68, reads, size=12)
        drawing.arrow(x + 80, 74, x + 80, 92)
        drawing.box(x, 94, 160, 36, f"nbhelpers {command}", BLUE)
        drawing.arrow(x + 80, 130, x + 80, 150)
        for j, line in enumerate(gives.split("\n")):
            drawing.text(x + 80, 166 + 17 * j, line, size=12)
        if i:
            drawing.arrow(x - 25, 112, x - 2, 112)
    drawing.box(195, 6, 345, 34, "decide: costs, thresholds, a person", GREEN, bold=True)
    drawing.arrow(363, 40, 363, 109)  # to the step from evaluate to predict
    return drawing


def alarms(share_outside: float = 0.3, in_scope_recall: float = 0.95, outside_accepted: float = 0.6) -> Drawing:
    """What becomes of a thousand messages, of which a share is outside: two bars, and who is right among the rejected.

    Args:
        share_outside: of the messages, 0 to 1.
        in_scope_recall: the share of messages inside that the threshold accepts, 0 to 1.
        outside_accepted: the share of messages outside that it accepts, 0 to 1.

    Raises:
        CourseError: a number is not from 0 to 1.
    """
    rates = {"share_outside": share_outside, "in_scope_recall": in_scope_recall, "outside_accepted": outside_accepted}
    for name, rate in rates.items():
        if not 0 <= rate <= 1:
            raise CourseError(f"{name} is {rate:g}; choose a number from 0 to 1")
    outside = round(NUM_MESSAGES * share_outside)
    inside = NUM_MESSAGES - outside
    missed, false_alarms = round(outside * outside_accepted), round(inside * (1 - in_scope_recall))
    found, rejected = outside - missed, outside - missed + false_alarms
    right = f"{100 * found / rejected:.0f} % of the rejections" if rejected else "none"
    said = f"{rejected} messages are rejected: {found} are outside, {false_alarms} are not. Right: {right}."
    drawing = Drawing(
        740,
        170,
        f"Two bars for {NUM_MESSAGES:,} messages. Of {inside} inside, {inside - false_alarms} are accepted and "
        f"{false_alarms} rejected. Of {outside} outside, {missed} are accepted and {found} rejected. {said}",
    )
    bars = (("inside", inside, inside - false_alarms, BLUE, ORANGE), ("outside", outside, missed, RED, GREEN))
    for row, (name, total, accepted, color, other) in enumerate(bars):
        y, scale = 20 + 54 * row, WIDTH / NUM_MESSAGES
        drawing.text(10, y + 20, f"{name}: {total}", "start", bold=True)
        middle = round(LEFT + scale * accepted, 1)
        if accepted:
            drawing.box(LEFT, y, round(scale * accepted, 1), 30, "", color)
        if total > accepted:
            drawing.box(middle, y, max(2.0, round(scale * (total - accepted), 1)), 30, "", other)
        words = f"{accepted} accepted (left part), {total - accepted} rejected (right part)"
        drawing.text(LEFT, y + 46, words, "start", 12)
    drawing.text(10, 150, said, "start")
    return drawing
