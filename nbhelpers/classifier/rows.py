"""The rows of a split or of a file, and what a model says of them.

Nothing here needs torch, so `predict` with an exported model starts in half the time and takes half the memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from nbhelpers import serving

CHUNK = 10_000  # texts that are tokens at the same time
BATCH_TOKENS = 1024  # more of them do not fit into the cache of a CPU, which makes each token slower


class Rows(NamedTuple):
    """The rows of a split. `pairs`, `speakers` and `dialogue_ids` are empty where the corpus has no such column.

    Texts and pairs of a large corpus are columns of `datasets`, which read from the disk what is asked for.
    """

    texts: list[Any]  # where each word has a label, lists of words
    labels: list[Any]  # class ids, or, where a text can have several labels, or each word one, lists of them
    pairs: list[str]
    speakers: list[str]
    dialogue_ids: list[int]


def logits_of(model: serving.Model, rows: Rows) -> list[Any]:
    """The logits [rows, classes] of parts of the rows, in their order. A dialogue is a part, or some texts are."""
    if rows.dialogue_ids:
        ids = np.array(rows.dialogue_ids)
        starts = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1), len(ids)]
        examples = []
        for start, stop in itertools.pairwise(starts):
            speakers = rows.speakers[start:stop] or [""] * (stop - start)
            examples += model.encode_dialogue(rows.texts[start:stop], speakers, model.future)
        return compute(model, examples)
    parts = []
    for start in range(0, len(rows.texts), CHUNK):
        texts, pairs = rows.texts[start : start + CHUNK], rows.pairs[start : start + CHUNK]
        parts.append(
            np.concatenate(compute(model, model.encode(list(zip(texts, pairs, strict=True)) if pairs else texts)))
        )
    return parts


def compute(model: serving.Model, examples: Sequence[Any]) -> list[Any]:
    """The logits of each example. Examples of similar length are computed together, because padding costs time."""
    logits: list[Any] = [None] * len(examples)
    for chosen in batches_by_length([len(example["input_ids"]) for example in examples], BATCH_TOKENS):
        for i, rows in zip(chosen, model.predict([examples[i] for i in chosen]), strict=True):
            logits[i] = rows
    return logits


def batches_by_length(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Yield positions, from the shortest example to the longest, in batches of at most `max_tokens`, with padding.

    >>> list(batches_by_length([5, 2, 3, 9], max_tokens=8))
    [[1, 2], [0], [3]]
    """
    batch: list[int] = []
    for i in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and lengths[i] * (len(batch) + 1) > max_tokens:
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
