"""Texts that are longer than a model reads: keep the head, the tail or both, or read them in windows.

An encoder such as BERT or RoBERTa reads 512 tokens. A tokenizer cuts off what is beyond that without a word. First
find out whether it matters:

    ids = tokenizer(texts, truncation=False)["input_ids"]
    print(describe_lengths(map(len, ids), max_length=512))

Then choose what the model reads. The cheapest way is another part of the text, with the same training as before:

    examples = [{"input_ids": keep_part(x, 512, "head and tail"), "labels": y} for x, y in zip(ids, labels)]

Or cut each text into overlapping windows, train on them with the label of their text, and join the logits:

    windows, text_ids = make_windows(ids, 512, overlap=64)
    examples = [{"input_ids": x, "labels": labels[text]} for x, text in zip(windows, text_ids)]
    ...
    logits = pool_windows(window_logits, text_ids)

Windows read everything and cost as much as all their tokens. A label that is true for a text may not be true for each
of its windows. Parts and pooling follow Sun et al. 2019 (arXiv 1905.05583). Copy this file into your project; it needs
numpy.

>>> keep_part([0, 11, 12, 13, 14, 15, 2], 5, "tail")
[0, 13, 14, 15, 2]
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

PARTS = ("head", "tail", "head and tail")
POOLINGS = ("mean", "max", "first", "last")
NUM_SPECIAL = 2  # <s> or [CLS] at the beginning, and </s> or [SEP] at the end


def describe_lengths(lengths: Iterable[int], max_length: int) -> dict[str, float]:
    """How many texts are longer than a model reads, and how much of them it does not see.

    Args:
        lengths: the number of tokens of each text, without truncation.
        max_length: how many tokens the model reads.

    Returns:
        "texts"; "truncated", the share of texts that are longer; "lost", the share of all tokens that are beyond
        the limit; and the "median" and the "longest" length.

    Raises:
        ValueError: there are no lengths.

    >>> describe_lengths([100, 300, 600], max_length=400)
    {'texts': 3, 'truncated': 0.3333333333333333, 'lost': 0.2, 'median': 300.0, 'longest': 600}
    """
    counted = np.fromiter(lengths, dtype=np.int64)
    if not len(counted):
        raise ValueError("lengths is empty, so there is nothing to describe; pass at least one length")
    return {
        "texts": len(counted),
        "truncated": float((counted > max_length).mean()),
        "lost": float(np.maximum(counted - max_length, 0).sum() / counted.sum()),
        "median": float(np.median(counted)),
        "longest": int(counted.max()),
    }


def keep_part(ids: Sequence[int], max_length: int, part: str = "head", head_share: float = 0.25) -> list[int]:
    """The token ids of a part of a text. The special tokens at both ends are kept, and a short text stays as it is.

    Args:
        ids: [tokens], with one special token at the beginning and one at the end.
        max_length: the largest number of tokens of the result, special tokens included; 3 or more.
        part: "head" (what a tokenizer keeps), "tail", or "head and tail".
        head_share: how much of "head and tail" is the head, 0 to 1. Sun et al. keep 128 and 382 tokens.

    Returns:
        [at most `max_length` tokens].

    Raises:
        ValueError: `part` is unknown, or a number is out of range.

    >>> keep_part([0, 11, 12, 13, 14, 15, 16, 2], 6, "head and tail", head_share=0.5)
    [0, 11, 12, 15, 16, 2]
    """
    if part not in PARTS:
        raise ValueError(f"part {part!r} is not one of {', '.join(map(repr, PARTS))}")
    if max_length <= NUM_SPECIAL or not 0 <= head_share <= 1:
        raise ValueError(f"max_length={max_length} must be above 2, and head_share={head_share} from 0 to 1")
    ids = list(ids)
    if len(ids) <= max_length:
        return ids
    room = max_length - NUM_SPECIAL
    num_head = {"head": room, "tail": 0, "head and tail": round(head_share * room)}[part]
    inner = ids[1:-1]
    # with a tail of 0 tokens, inner[-0:] would be the whole text
    return [ids[0], *inner[:num_head], *inner[len(inner) - (room - num_head) :], ids[-1]]


def make_windows(
    ids: Sequence[Sequence[int]], max_length: int, overlap: int = 0, max_windows: int | None = None
) -> tuple[list[list[int]], list[int]]:
    """Cut texts into windows. Each has the special tokens of its text at both ends.

    The windows of a text are equally long, up to one token, so that the last one is no short rest.

    Args:
        ids: [texts], each with one special token at the beginning and one at the end.
        max_length: the largest number of tokens of a window, special tokens included.
        overlap: how many tokens two neighbors share at least, so that a sentence at a cut is whole in one of them.
        max_windows: keep so many windows of a text, spread evenly over it; None keeps all.

    Returns:
        The windows, and for each the number of its text.

    Raises:
        ValueError: `max_length` is too small for the overlap, or `max_windows` is below 1.

    >>> make_windows([[0, 11, 12, 13, 14, 15, 2], [0, 21, 2]], max_length=5, overlap=1)
    ([[0, 11, 12, 13, 2], [0, 13, 14, 15, 2], [0, 21, 2]], [0, 0, 1])
    """
    room = max_length - NUM_SPECIAL
    if overlap < 0 or room <= overlap:
        raise ValueError(
            f"max_length={max_length} leaves no room for an overlap of {overlap}; it must be above overlap + 2"
        )
    if max_windows is not None and max_windows < 1:
        raise ValueError(f"max_windows is {max_windows}; keep at least 1")
    windows, text_ids = [], []
    for number, text in enumerate(ids):
        first, *inner, last = text
        count = max(1, -(-(len(inner) - overlap) // (room - overlap)))  # rounded up
        size = min(len(inner), room)
        starts = np.linspace(0, len(inner) - size, count).round().astype(int)
        if max_windows is not None and count > max_windows:
            # one window is the first one, because a tokenizer would also keep that
            starts = starts[np.linspace(0, count - 1, max_windows).round().astype(int)]
        for start in starts:
            windows.append([first, *inner[start : start + size], last])
            text_ids.append(number)
    return windows, text_ids


def pool_windows(values: ArrayLike, text_ids: Sequence[int], pooling: str = "mean") -> np.ndarray:
    """Join the logits, probabilities or vectors of the windows of each text.

    Args:
        values: [windows, columns].
        text_ids: [windows], from `make_windows`.
        pooling: "mean"; "max", the largest value of each column; "first" or "last", one window alone. Where a few
            words somewhere decide, as in the search for a complaint, "max" finds them. It also finds false alarms.

    Returns:
        [texts, columns].

    Raises:
        ValueError: `pooling` is unknown, the lengths differ, or a text has no window.

    >>> pool_windows([[1.0, 0.0], [3.0, 0.0], [5.0, 5.0]], [0, 0, 1]).tolist()
    [[2.0, 0.0], [5.0, 5.0]]
    """
    values, owner = np.asarray(values), np.asarray(text_ids)
    if pooling not in POOLINGS:
        raise ValueError(f"pooling {pooling!r} is not one of {', '.join(POOLINGS)}")
    if len(values) != len(owner) or not len(owner):
        raise ValueError(
            f"there are {len(values)} windows, but {len(owner)} text_ids; pass one for each, and at least one"
        )
    rows = []
    for text in range(owner.max() + 1):
        own = values[owner == text]
        if not len(own):
            raise ValueError(f"text {text} has no window; pass the text_ids of make_windows")
        rows.append({"mean": own.mean(0), "max": own.max(0), "first": own[0], "last": own[-1]}[pooling])
    return np.stack(rows)
