"""Diagrams of lesson 12: tag schemes, which pieces of a word count, and windows over a long text, found entities."""

from __future__ import annotations

from collections.abc import Sequence

from nbhelpers.course.errors import CourseError

from .drawing import BLUE, GREEN, ORANGE, PURPLE, RED, Drawing

WORDS = ("Send", "Ana", "Lobo", "Tom", "'s", "keys", "to", "Lima")
SCHEMES = {
    "IOB1": ("O", "I-PER", "I-PER", "B-PER", "O", "O", "O", "I-LOC"),
    "IOB2": ("O", "B-PER", "I-PER", "B-PER", "O", "O", "O", "B-LOC"),
    "BIOES": ("O", "B-PER", "E-PER", "S-PER", "O", "O", "O", "S-LOC"),
}
COLORS = {"PER": BLUE, "LOC": GREEN}
KIND_COLORS = (BLUE, GREEN, ORANGE, PURPLE, RED)  # of the types in order; the name is written as well
MAX_WORDS = 80
TOKENS = (("[CLS]",), ("ana",), ("o", "##ye", "##lar", "##an"), ("left",), ("[SEP]",))
LABELS = ("", "B-PER", "I-PER", "O", "")
PIECES = {
    "first": "The vector of the first piece stands for the word. The other pieces are only read.",
    "mean": "The mean of the pieces' vectors stands for the word.",
    "all": "Each piece has a label of its own. A long word counts several times in the loss.",
}


def tag_schemes() -> Drawing:
    """The same sentence in three schemes. Two people stand side by side, so the schemes must divide them."""
    rows = "; ".join(f"{scheme}: {' '.join(tags)}" for scheme, tags in SCHEMES.items())
    drawing = Drawing(
        820,
        196,
        "The sentence: Send Ana Lobo Tom 's keys to Lima. Ana Lobo is a person of two words, Tom is a person, Lima a "
        f"place. {rows}.",
    )
    for i, word in enumerate(WORDS):
        kind = SCHEMES["IOB2"][i][2:]
        drawing.box(80 + 92 * i, 12, 84, 30, word, COLORS.get(kind, ""), bold=bool(kind))
    for row, (scheme, tags) in enumerate(SCHEMES.items()):
        y = 76 + 32 * row
        drawing.text(10, y, scheme, "start", bold=True)
        for i, tag in enumerate(tags):
            begins = tag[0] in "BS"
            drawing.text(122 + 92 * i, y, tag, bold=begins)
    drawing.text(10, 180, "blue: a person. green: a place. bold tags: B- and S-. Where is B- in IOB1?", "start", 12)
    return drawing


def word_pieces(pieces: str = "first") -> Drawing:
    """Which tokens of a word get its label, or give the vector that is classified.

    Args:
        pieces: "first", "mean" or "all".

    Raises:
        CourseError: pieces is none of these.
    """
    if pieces not in PIECES:
        raise CourseError(f"pieces {pieces!r} is not one of {', '.join(PIECES)}")
    drawing = Drawing(
        820,
        220,
        f"The words ana, oyelaran and left; oyelaran has the four pieces o, ye, lar and an. {PIECES[pieces]} The "
        "special tokens at both ends get no label.",
    )
    x = 10.0
    for tokens, label in zip(TOKENS, LABELS, strict=True):
        width = 84.0 * len(tokens) - 8
        word = "".join(token.removeprefix("##") for token in tokens) if label else ""
        if word:
            drawing.box(x, 10, width, 30, word)
        for i, token in enumerate(tokens):
            counts = bool(label) and (pieces != "first" or i == 0)
            drawing.box(x + 84 * i, 66, 76, 30, token, BLUE if counts else "", bold=counts)
            if label:
                drawing.arrow(x + 84 * i + 38, 40, x + 84 * i + 38, 66)
        if label:
            draw_labels(drawing, x, width, len(tokens), label, pieces)
        else:
            drawing.text(x + 38, 166, "no label")
        x += width + 18
    drawing.text(10, 208, f"{PIECES[pieces]} Gray tokens get no label.", "start", 12)
    return drawing


def draw_labels(drawing: Drawing, x: float, width: float, num_tokens: int, label: str, pieces: str) -> None:
    """Draw the label of a word below its tokens, or the labels."""
    centers = [x + 84 * i + 38 for i in range(num_tokens)]
    if pieces == "mean" and num_tokens > 1:
        middle = x + width / 2
        for center in centers:
            drawing.line(center, 96, middle, 124)
        drawing.arrow(middle, 124, middle, 148)
        drawing.text(middle, 166, label, bold=True)
        return
    for center in centers if pieces == "all" else centers[:1]:
        drawing.arrow(center, 96, center, 148)
        drawing.text(center, 166, label, bold=True)


def overlapping_windows() -> Drawing:
    """A long text, cut at the limit of the model, or read in windows that overlap."""
    drawing = Drawing(
        820,
        250,
        "A text of 30 words is too long for a model that reads 16. Truncation keeps words 1 to 16 and drops 17 to 30. "
        "Windows read words 1 to 16, 9 to 24 and 17 to 30. They classify words 1 to 12, 13 to 20 and 21 to 30, so each "
        "word once; the words around them are only read.",
    )
    rows = (
        ("truncation", 0, 16, 0, 16),
        ("window 1", 0, 16, 0, 12),
        ("window 2", 8, 24, 12, 20),
        ("window 3", 16, 30, 20, 30),
    )
    drawing.text(110, 24, "the words of a long text, from 1 to 30", "start", bold=True)
    for row, (name, start, stop, first, last) in enumerate(rows):
        y = 40 + 44 * row + (14 if row else 0)
        drawing.text(10, y + 20, name, "start")
        for i in range(30):
            x = 110 + 23 * i
            if start <= i < stop:
                drawing.box(x, y, 20, 30, str(i + 1), BLUE if first <= i < last else "", bold=first <= i < last)
            elif not row:
                drawing.box(x, y, 20, 30, "-", ORANGE)
    drawing.text(10, 240, "blue, bold: is classified. gray: is only read. orange, with a dash: is lost.", "start", 12)
    return drawing


def tagged_sentence(
    words: Sequence[str] = ("Ana", "Lobo", "left", "Lima", "."),
    found: Sequence[tuple[int, int, str]] = ((0, 2, "PER"), (3, 4, "LOC")),
    types: Sequence[str] = (),
) -> Drawing:
    """The words of a sentence, with a box around each entity and its type below.

    Args:
        words: of the sentence. Of a long one, the first 80 are drawn.
        found: (first word, the one after the last, type) of each entity, in order.
        types: all types of the corpus, so that a type has the same color in each picture; by default those found.
    """
    words = list(words)[:MAX_WORDS]
    kinds = [*types] or sorted({kind for *_, kind in found})
    starts = {start: (min(stop, len(words)), kind) for start, stop, kind in found if start < len(words)}
    spans, i = [], 0  # (text, type), where a word outside of entities has no type
    while i < len(words):
        stop, kind = starts.get(i, (i + 1, ""))
        text = " ".join(words[i:stop])
        spans.append((text if len(text) <= 60 else f"{text[:59]}…", kind))
        i = stop
    places, x, row = [], 10.0, 0
    for text, kind in spans:
        width = 8.2 * max(len(text), len(kind)) + (16 if kind else 4)  # bold texts of entities are wider
        if x + width > 810 and x > 10:
            x, row = 10.0, row + 1
        places.append((x, row, width))
        x += width + 4
    listed = "; ".join(f"{text}: {kind}" for text, kind in spans if kind) or "none"
    drawing = Drawing(
        820, 58 * (row + 1) + 8, f'The sentence "{" ".join(words)}". The entities that were found: {listed}.'
    )
    for (text, kind), (x, row, width) in zip(spans, places, strict=True):
        y = 8 + 58 * row
        if kind:
            drawing.box(x, y, width, 28, text, KIND_COLORS[kinds.index(kind) % len(KIND_COLORS)], bold=True)
            drawing.text(x + width / 2, y + 44, kind, size=11)
        else:
            drawing.text(x + width / 2, y + 18.5, text)
    return drawing
