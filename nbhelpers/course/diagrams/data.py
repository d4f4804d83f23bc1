"""Diagrams of lessons 2 and 3: tokens and padding, what fine-tuning changes, and the training loop."""

from __future__ import annotations

from .drawing import BLUE, GREEN, ORANGE, Drawing

TEXTS = (["[CLS]", "you", "did", "what", "?", "[SEP]"], ["[CLS]", "fine", ".", "[SEP]"])


def padding() -> Drawing:
    """Two texts become a rectangle of tokens, and the shorter one is filled up."""
    drawing = Drawing(
        680,
        170,
        "Two texts as tokens in a rectangle of two lines and six columns. The text 'You did what?' fills its "
        "line. The text 'Fine.' has four tokens, and two cells of padding fill its line. Below, the attention "
        "mask has a 1 for each token and a 0 for each padding.",
    )
    for row, tokens in enumerate(TEXTS):
        drawing.text(10, 32 + 36 * row, ("You did what?", "Fine.")[row], "start")
        for column in range(6):
            x, y = 130 + 80 * column, 12 + 36 * row
            is_token = column < len(tokens)
            drawing.box(x, y, 74, 30, tokens[column] if is_token else "[PAD]", BLUE if is_token else ORANGE)
    drawing.text(10, 116, "attention mask", "start")
    for row, tokens in enumerate(TEXTS):
        for column in range(6):
            drawing.text(167 + 80 * column, 116 + 22 * row, "1" if column < len(tokens) else "0")
    drawing.text(
        10, 162, "The padding is computed as well. The mask keeps other tokens from attending to it.", "start", 12
    )
    return drawing


def fine_tuning() -> Drawing:
    """What changes in training: nothing but the head, everything, or an adapter."""
    drawing = Drawing(
        760,
        190,
        "Three ways to train. Frozen encoder: only the head is trained. Fine-tuning: encoder and head are "
        "trained. LoRA: small matrices beside the encoder's layers and the head are trained, the encoder itself "
        "stays as it is.",
    )
    for i, (name, encoder, adapter) in enumerate(
        (("frozen encoder", "", False), ("fine-tuning", GREEN, False), ("LoRA (lesson 4)", "", True))
    ):
        x = 20 + 250 * i
        drawing.text(x + 105, 22, name, bold=True)
        drawing.box(x, 36, 150, 70, "encoder", encoder)
        if adapter:
            drawing.box(x + 158, 46, 56, 50, "A, B", GREEN)
        drawing.arrow(x + 75, 106, x + 75, 122)
        drawing.box(x, 122, 150, 30, "head", GREEN)
    drawing.text(20, 180, "green: trained. gray: stays as it was.", "start", 12)
    return drawing


def loop() -> Drawing:
    """The five steps of training, again and again."""
    drawing = Drawing(
        790,
        150,
        "The training loop: take a batch; predict and compute the loss; compute the gradients, which say how each "
        "weight changes the loss; the optimizer takes a small step; set the gradients to zero; then the next "
        "batch.",
    )
    steps = (
        "batch",
        "predict,\ncompute the loss",
        "backward:\ngradients",
        "optimizer:\nsmall step",
        "gradients\nto zero",
    )
    for i, step in enumerate(steps):
        drawing.box(10 + 156 * i, 20, 130, 56, step, BLUE if i else "")
        if i:
            drawing.arrow(140 + 156 * (i - 1), 48, 166 + 156 * (i - 1), 48)
    drawing.line(699, 76, 699, 112)
    drawing.line(699, 112, 75, 112)
    drawing.arrow(75, 112, 75, 76)
    drawing.text(387, 104, "the next batch, until all were seen: one epoch")
    drawing.text(387, 136, "After each epoch: score the dev split, and remember the best weights.", size=12)
    return drawing
