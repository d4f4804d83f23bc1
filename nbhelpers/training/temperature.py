"""Write a temperature into a model, so that every program which loads it returns calibrated probabilities."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .optimizer import is_encoder


def scale_logits(model: Any, temperature: float) -> None:
    """Divide the logits of a classifier by a temperature, in place. No predicted label changes.

    The weights and the bias of the last linear layer are divided, because the logits are its output. So nothing has to
    know the temperature later: not the export, not the service, and no other program. Do it after the training.

    Args:
        model: A transformers model with a head. An adapter may be on its encoder, but not on its head.
        temperature: More than 0, for instance from temperature scaling on dev (Guo et al. 2017, arXiv 1706.04599).
            Above 1 it makes probabilities less extreme.

    Raises:
        ValueError: The temperature is not a positive number, or the last layer of the head gives no logits.

    >>> import transformers
    >>> sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    >>> config = transformers.BertConfig(**sizes, vocab_size=100, num_labels=3)
    >>> model = transformers.BertForSequenceClassification(config).eval()
    >>> before = model(torch.tensor([[2, 7, 3]])).logits
    >>> scale_logits(model, 2.0)
    >>> torch.allclose(model(torch.tensor([[2, 7, 3]])).logits, before / 2, atol=1e-6)
    True
    """
    if not (math.isfinite(temperature) and temperature > 0):
        raise ValueError(f"temperature {temperature} is not a positive number")
    # Where peft trains a copy of the head, the copy comes after the original.
    linear = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not is_encoder(model, f"{name}.weight")
    ]
    num_labels = model.config.num_labels
    name, last = linear[-1] if linear else ("", None)
    if last is None or last.out_features != num_labels or "lora_" in name:
        raise ValueError(
            f"a {type(model).__name__} has no linear layer of its own with {num_labels} outputs at its end; pass a "
            "transformers classifier, with adapters of its head merged"
        )
    with torch.no_grad():
        for parameter in last.parameters():
            parameter.div_(temperature)
