"""Attention masks over the turns of a dialogue: a turn sees itself and earlier turns, but none that come later.

With such a mask, one pass over a dialogue gives for every turn the logits that it would have as the last turn. That is
what a service needs while a talk is still going on, and it costs one pass instead of one per turn.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def turn_of_each_token(starts: Tensor, ends: Tensor, num_tokens: int) -> Tensor:
    """Number the tokens of each dialogue by the turn they belong to.

    Tokens before the first turn to classify have the number 0. The tokens of the turns have 1, 2, 3, and so on.

    Args:
        starts, ends: [batch, turns], the first token of each turn and the one after its last; ends 0 means no turn.
        num_tokens: length of the padded input.

    Returns:
        [batch, tokens] integers.

    `[CLS] a [SEP] b c [SEP]` has the turns a (token 1) and b c (tokens 3 and 4). Each has the separator after it:

    >>> turn_of_each_token(torch.tensor([[1, 3]]), torch.tensor([[2, 5]]), num_tokens=6)
    tensor([[0, 1, 1, 2, 2, 2]])
    """
    position = torch.arange(num_tokens, device=starts.device)  # [tokens]
    # A turn keeps one separator after it, at position `end`, because as the last turn it would have exactly one. So the
    # next turn begins behind that separator; of RoBERTa's two separators the second belongs to the next turn.
    is_turn = (ends > 0).unsqueeze(-1)  # [batch, turns, 1]; shorter dialogues of a batch are filled up with ends 0
    after_turn = (position > ends.unsqueeze(-1)) & is_turn  # [batch, turns, tokens]
    in_first_or_later = (position >= starts[:, :1]).long()  # [batch, tokens]
    return in_first_or_later + after_turn.sum(1)


def causal_turn_mask(turn: Tensor, attention_mask: Tensor) -> Tensor:
    """Which tokens each token may attend to: those of its own turn and of earlier turns, but not padding.

    Tokens of the same turn see each other in both directions, as a text without dialogue would. Turns before the first
    one to classify all have the number 0, so they see each other as well.

    Args:
        turn: [batch, tokens], from `turn_of_each_token`.
        attention_mask: [batch, tokens], 1 for tokens and 0 for padding.

    Returns:
        [batch, tokens, tokens] of booleans: entry (i, j) is True when token i may attend to token j.

    >>> causal_turn_mask(torch.tensor([[1, 1, 2]]), torch.tensor([[1, 1, 1]])).int()
    tensor([[[1, 1, 0],
             [1, 1, 0],
             [1, 1, 1]]], dtype=torch.int32)
    """
    same_or_earlier = turn.unsqueeze(1) <= turn.unsqueeze(2)  # [batch, token, token it may attend to]
    return same_or_earlier & attention_mask.bool().unsqueeze(1)


def mask_for_encoder(may_attend: Tensor, config: Any, dtype: torch.dtype) -> Any:
    """Bring a mask per token into the form that an encoder of transformers takes as its `attention_mask`.

    Args:
        may_attend: [batch, tokens, tokens] of booleans, from `causal_turn_mask`.
        config: the encoder's configuration.
        dtype: of the model's weights.

    Returns:
        A tensor [batch, 1, tokens, tokens]. For an encoder with two kinds of layers, such as ModernBERT, a dict with
        one such tensor per kind: in some of its layers a token only sees tokens near it.

    Raises:
        ValueError: the encoder is a DeBERTa, whose attention takes no mask per token.
    """
    if "deberta" in config.model_type:
        raise ValueError(f"{config.model_type} takes no mask per token, so causal_turns=True cannot work; set it False")
    if "sliding_attention" not in getattr(config, "layer_types", ()):
        return for_attention(may_attend, config, dtype)
    position = torch.arange(may_attend.shape[-1], device=may_attend.device)
    near = (position - position.unsqueeze(1)).abs() <= config.sliding_window  # [tokens, tokens]
    return {
        "full_attention": for_attention(may_attend, config, dtype),
        "sliding_attention": for_attention(may_attend & near, config, dtype),
    }


def for_attention(may_attend: Tensor, config: Any, dtype: torch.dtype) -> Tensor:
    """The same mask with a dimension for the heads, as numbers where the attention adds it to its scores."""
    if config._attn_implementation == "eager":
        # the lowest finite number and not -inf: a row of nothing but -inf would give NaN in the softmax
        lowest = torch.finfo(dtype).min
        may_attend = torch.zeros_like(may_attend, dtype=dtype).masked_fill(~may_attend, lowest)
    return may_attend.unsqueeze(1)  # [batch, 1, tokens, tokens]
