"""Attention as one operation of ONNX, registered with transformers under the name ATTENTION.

transformers computes attention by a function that it looks up by name. The usual ones become a dozen operations of
ONNX per layer; the one here becomes the single operation `Attention`, which onnxruntime computes faster.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, masking_utils

ATTENTION = "onnx_attention"
OPSET = 23  # the first version of ONNX's operations that has Attention


def onnx_attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scaling: float | None = None, **_: Any
) -> tuple[Tensor, None]:
    """Compute attention with the signature that transformers asks for.

    Args:
        module: the attention layer. It is not used.
        query, key, value: [batch, heads, tokens, head size].
        mask: [batch, 1, tokens, tokens] booleans from `onnx_attention_mask`; True where a token may attend to another.
        scaling: the factor of the products of query and key; by default one over the root of the head size.

    Returns:
        [batch, tokens, heads, head size], and None in place of the attention weights.
    """
    num_heads = query.shape[1]
    # The operation takes [batch, tokens, heads * head size]. transformers has just changed that layout to the one with
    # heads; changing it back costs nothing, because the exporter removes the two steps together.
    flat = [tensor.transpose(1, 2).flatten(2) for tensor in (query, key, value)]
    attention: Any = torch.onnx.ops.attention
    output = attention(*flat, mask, q_num_heads=num_heads, kv_num_heads=key.shape[1], scale=scaling)[0]
    return output.unflatten(2, (num_heads, -1)), None


def onnx_attention_mask(*, q_length: int, attention_mask: Tensor, mask_function: Any, **options: Any) -> Tensor | None:
    """Make the mask that tells which tokens each token may attend to, with the signature that transformers asks for.

    Args:
        q_length: the number of tokens.
        attention_mask: [batch, tokens], 0 for padding.
        mask_function: transformers' rule for which tokens see each other; every token sees every other one by default.
        options: what else transformers passes to the function it calls for a mask.

    Returns:
        [batch, 1, tokens, tokens] booleans.
    """
    # the general way becomes dozens of operations in the graph, which this common case does not need
    if mask_function is masking_utils.bidirectional_mask_function:
        return attention_mask[:, None, None, :].bool().expand(-1, 1, q_length, -1)
    options |= {"q_length": q_length, "attention_mask": attention_mask, "mask_function": mask_function}
    return masking_utils.sdpa_mask(**options)


AttentionInterface.register(ATTENTION, onnx_attention)
AttentionMaskInterface.register(ATTENTION, onnx_attention_mask)


def replace_attention(model: Any) -> bool:
    """Make a model compute attention in the way that exports best. The model is changed.

    Args:
        model: a transformers model.

    Returns:
        Whether attention is now one operation, which needs OPSET. Otherwise it is transformers' "eager" attention, the
        step-by-step one that every architecture has.
    """
    # With OPSET, torch makes one operation of rotary position embeddings as well, which onnxruntime 1.31 cannot run.
    rotary = getattr(model.config, "rope_parameters", None) is not None
    is_replaceable = model.base_model._can_set_attn_implementation() and not rotary
    model.set_attn_implementation(ATTENTION if is_replaceable else "eager")
    return is_replaceable
