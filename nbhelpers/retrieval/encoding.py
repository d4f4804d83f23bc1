"""Texts become vectors: the mean of an encoder's token vectors, with length 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pool(hidden: Tensor, attention_mask: Tensor, *, normalize: bool = True) -> Tensor:
    """Compute the mean of the token vectors of each text, without padding.

    Args:
        hidden: the encoder's `last_hidden_state` [texts, tokens, hidden].
        attention_mask: [texts, tokens], 1 for tokens and 0 for padding.
        normalize: scale each vector to length 1. The inner product of two such vectors is their cosine.

    Returns:
        [texts, hidden], in fp32.

    >>> pool(torch.tensor([[[3.0, 4.0], [9.0, 12.0], [7.0, 7.0]]]), torch.tensor([[1, 1, 0]]))
    tensor([[0.6000, 0.8000]])
    """
    mask = attention_mask.unsqueeze(-1).float()  # [texts, tokens, 1]
    mean = (hidden.float() * mask).sum(1) / mask.sum(1).clamp(min=1)
    return F.normalize(mean, dim=-1) if normalize else mean


def encode(
    texts: Sequence[str],
    tokenizer: Any,
    encoder: nn.Module,
    *,
    prefix: str = "",
    max_length: int | None = None,
    batch_size: int = 32,
    normalize: bool = True,
    precision: str = "fp32",
) -> NDArray[np.float32]:
    """Turn texts into vectors, in the order of the texts. The encoder is left in evaluation mode.

    Args:
        texts: the texts.
        tokenizer: a tokenizer of transformers.
        encoder: a model of transformers without a head: its output has `last_hidden_state`.
        prefix: comes before each text. E5 wants "query: " and "passage: "; without them it is worse.
        max_length: cut longer texts to this many tokens; by default `tokenizer.model_max_length`.
        batch_size: texts of similar length that are encoded together.
        normalize: scale each vector to length 1.
        precision: "fp32", "bf16" or "fp16", for the matrix products.

    Returns:
        Vectors [texts, hidden], float32.

    Raises:
        ValueError: there is no text, one is not a string, or the precision has another name.

    In a project: `encode(["Where is the pool?"], *load("my_encoder"))`, where `load` returns tokenizer and model.
    """
    if precision not in DTYPES:
        raise ValueError(f"precision {precision!r} is not one of {', '.join(DTYPES)}; choose one of these")
    check_texts(texts)
    device = next(encoder.parameters()).device
    vectors: dict[int, NDArray[np.float32]] = {}
    by_length = sorted(range(len(texts)), key=lambda row: len(texts[row]))  # little padding within a batch
    encoder.eval()
    for start in range(0, len(texts), batch_size):
        rows = by_length[start : start + batch_size]
        batch = tokenizer(
            [prefix + texts[row] for row in rows],
            truncation=True,
            max_length=max_length,
            padding=True,
            return_tensors="pt",
        ).to(device)
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad(), torch.autocast(device.type, DTYPES[precision], enabled=precision != "fp32"):
            hidden = encoder(**inputs).last_hidden_state
        pooled = pool(hidden, inputs["attention_mask"], normalize=normalize).cpu().numpy()
        vectors |= dict(zip(rows, pooled, strict=True))
    if hasattr(tokenizer, "backend_tokenizer"):
        # Otherwise `save_pretrained` would write this padding and truncation into tokenizer.json, for every program.
        tokenizer.backend_tokenizer.no_padding()
        tokenizer.backend_tokenizer.no_truncation()
    return np.stack([vectors[row] for row in range(len(texts))])


def check_texts(texts: Sequence[str]) -> None:
    """Raise a ValueError unless there is at least one text, and all are strings.

    >>> check_texts("pool")
    Traceback (most recent call last):
    ...
    ValueError: one string was passed; pass a list of texts
    """
    if isinstance(texts, str):
        raise ValueError("one string was passed; pass a list of texts")
    if not len(texts):
        raise ValueError("there is no text to encode; pass at least one")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"text {row} is {type(text).__name__}, not a string; drop or fill missing texts first")
