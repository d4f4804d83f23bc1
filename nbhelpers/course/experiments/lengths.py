"""Long texts, as a row of a results table asks for: "long_texts" is a part of each text, or "windows"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from nbhelpers import long_texts

OVERLAP = 32  # tokens that two windows share


def long_inputs(
    texts: Sequence[str], labels: Sequence[int], tokenizer: Any, config: Mapping[str, Any]
) -> tuple[list[dict[str, Any]], list[int]]:
    """Examples for a model, and the number of the text that each belongs to.

    Args:
        texts, labels: [items].
        tokenizer: the model's.
        config: its "long_texts" is "head", "tail", "head and tail" or "windows", and "max_length" the limit.
    """
    limit = config["max_length"]
    ids = tokenizer([config.get("prefix", "") + text for text in texts], truncation=False, verbose=False)["input_ids"]
    if config["long_texts"] == "windows":
        inputs, text_ids = long_texts.make_windows(ids, limit, OVERLAP)
    else:
        inputs = [long_texts.keep_part(x, limit, config["long_texts"]) for x in ids]
        text_ids = list(range(len(ids)))
    pairs = zip(inputs, text_ids, strict=True)
    return [{"input_ids": x, "labels": int(labels[text])} for x, text in pairs], text_ids


def join_windows(
    logits: torch.Tensor, texts: Sequence[str], labels: Sequence[int], tokenizer: Any, config: Mapping[str, Any]
) -> torch.Tensor:
    """The logits [items, classes] of texts, from those of their windows; unchanged where there are none."""
    if config.get("long_texts") != "windows":
        return logits
    _, text_ids = long_inputs(texts, labels, tokenizer, config)
    return torch.from_numpy(long_texts.pool_windows(logits.numpy(), text_ids))
