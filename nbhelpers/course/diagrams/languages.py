"""Diagrams of lesson 16: three tokenizers on one word, the parts of a long text, and which model for which task."""

from __future__ import annotations

from nbhelpers.course.errors import CourseError

from .drawing import BLUE, GREEN, LINE, ORANGE, RED, Drawing

TOKENIZERS = (  # name, pieces, color, what it means
    ("BERT: pieces of English", ["[UNK]", "[UNK]"], RED, "both characters are lost"),
    ("RoBERTa: bytes", ["å¿", "«", "éĢ", "Ĵ"], ORANGE, "nothing is lost, but in parts"),
    ("XLM-R, e5: 100 languages", ["▁", "快递"], GREEN, "nothing is lost, the word is whole"),
)
LEFT, WIDTH = 190, 540  # where the bars of a long text begin, and how long the whole text is, in pixels


def three_tokenizers() -> Drawing:
    """How three kinds of vocabularies read the Chinese word for the delivery of a parcel."""
    said = "; ".join(f"{name}, {len(pieces)} tokens, {meaning}" for name, pieces, _, meaning in TOKENIZERS)
    drawing = Drawing(
        760, 190, f"Three tokenizers read a Chinese word of two characters, which means delivery. {said}."
    )
    drawing.text(20, 26, "快递 (delivery) in three vocabularies", "start", bold=True)
    for row, (name, pieces, color, meaning) in enumerate(TOKENIZERS):
        y = 44 + 48 * row
        drawing.text(20, y + 22, name, "start")
        width = 62 if len(pieces) == 2 else 36
        for i, piece in enumerate(pieces):
            drawing.box(230 + (width + 6) * i, y, width, 34, piece, color)
        drawing.text(480, y + 22, meaning, "start", 12)
    return drawing


def long_text(num_tokens: int = 900, max_length: int = 512, head_share: float = 0.25, overlap: int = 64) -> Drawing:
    """Which tokens of a text a model reads: head, tail, head and tail, and windows.

    Args:
        num_tokens: of the text, without special tokens; 10 to 4,000.
        max_length: how many tokens the model reads, two special ones included; 8 to 4,000.
        head_share: how much of "head and tail" is the head, 0 to 1.
        overlap: tokens that two windows share, 0 to half of `max_length`.

    Raises:
        CourseError: a number is outside of what the picture can show.
    """
    if not (10 <= num_tokens <= 4000 and 8 <= max_length <= 4000 and 0 <= head_share <= 1):
        raise CourseError("choose 10 to 4,000 tokens, a max_length of 8 to 4,000, and a head_share of 0 to 1")
    if not 0 <= overlap <= max_length // 2:
        raise CourseError(f"an overlap of {overlap} is more than half of {max_length} tokens, or negative")
    room = max_length - 2  # for the text, between the special tokens
    read = min(num_tokens, room)
    head = round(read * head_share)
    count = max(1, -(-(num_tokens - overlap) // (room - overlap)))
    starts = [round((num_tokens - read) * i / max(1, count - 1)) for i in range(count)]
    lost = num_tokens - read
    windows = "1 window" if count == 1 else f"{count} windows"
    rows = {
        "head": [(0, read)],
        "tail": [(lost, num_tokens)],
        "head and tail": [(0, head), (num_tokens - (read - head), num_tokens)],
        windows: [(start, start + read) for start in starts],
    }
    said = f"head, tail, and head and tail leave out {lost:,}; all is read in {windows}, {count * read:,} tokens in sum"
    drawing = Drawing(
        760, 240, f"A text of {num_tokens:,} tokens, and what a model that reads {room:,} at a time sees: {said}."
    )
    limit = f"the model reads {room:,} at a time, and 2 special ones"
    drawing.text(20, 24, f"A text of {num_tokens:,} tokens; {limit}", "start", bold=True)
    scale = WIDTH / num_tokens
    for row, (name, spans) in enumerate(rows.items()):
        y = 42 + 44 * row
        drawing.text(20, y + 20, name, "start")
        drawing.box(LEFT, y, WIDTH, 28)
        for i, (start, end) in enumerate(spans):
            if end > start:
                # neighboring windows alternate between two heights, so that one sees where they overlap
                shift = 4 * (i % 2) - 2 if name == windows else 0
                place = round(LEFT + start * scale, 1)
                drawing.box(place, y + 4 + shift, round((end - start) * scale, 1), 20, "", BLUE if shift > 0 else GREEN)
    left_out = f"Head, tail, or both leave out {100 * lost / num_tokens:.0f} % of the text."
    drawing.text(LEFT, 228, f"Gray is not read. {left_out}", "start", 12)
    return drawing


def which_model() -> Drawing:
    """Questions that lead to a bag of words, an encoder, or a prompted large model."""
    drawing = Drawing(
        760,
        330,
        "Three questions, one below the other, each with an arrow to an answer at the right. Fewer than 200 labels, "
        "and no way to get more: prompt a large model, and check it on the labels you have. A bag of words is good "
        "enough on your dev split: keep it. Several languages: fine-tune a multilingual encoder, and score each "
        "language. One language: fine-tune an encoder for this language.",
    )
    steps = (
        ("fewer than 200 labels,\nand no way to get more?", "prompt a large model;\ncheck it on your labels", ORANGE),
        ("is a bag of words good enough\non your dev split?", "keep it: trained in seconds,\neasy to explain", GREEN),
        ("several languages?", "multilingual encoder,\nfine-tuned; score each language", BLUE),
        ("one language", "encoder for this language,\nfine-tuned", BLUE),
    )
    for row, (question, answer, color) in enumerate(steps):
        y = 14 + 78 * row
        drawing.box(20, y, 290, 54, question)
        drawing.box(470, y, 270, 54, answer, color)
        drawing.arrow(310, y + 27, 466, y + 27)
        if row < 3:
            drawing.text(388, y + 19, "yes", size=12)
            drawing.arrow(165, y + 54, 165, y + 76, LINE)
            drawing.text(178, y + 70, "no", "start", 12)
    return drawing
