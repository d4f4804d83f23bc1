"""Pruning: remove weights, or whole hidden units, from a trained encoder, and see how much it can lose.

How to use it: copy this file into your project (it needs torch and a transformers model). Both functions return a copy
and leave the model as it is:

    sparse = prune_weights(model, 0.3)     # 30 % of the weights are 0; neither smaller nor faster
    smaller = prune_units(model, 0.1)      # 10 % of the hidden units are gone; smaller and faster
    smaller.save_pretrained("smaller")     # loads like any other model

Train the model again for an epoch afterwards, so that the remaining weights make up for the removed ones. Then compare
its score on dev with that of the original.

>>> import transformers
>>> sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
>>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes))
>>> sparse, smaller = prune_weights(model, 0.3), prune_units(model, 0.1)
>>> query = "bert.encoder.layer.0.attention.self.query"
>>> bool((sparse.get_submodule(query).weight == 0).any()), bool((model.get_submodule(query).weight == 0).any())
(True, False)
>>> smaller.config.intermediate_size, model.config.intermediate_size
(36, 40)
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn
from torch.nn.utils import prune

# the two linear layers of a feed-forward block: in BERT and most of its relatives, and in DistilBERT
FEED_FORWARD_LAYERS = {"intermediate.dense": "output.dense", "ffn.lin1": "ffn.lin2"}
FEED_FORWARD_SIZES = ("intermediate_size", "hidden_dim")  # what their configurations call the number of hidden units


class PruningError(ValueError):
    """A model whose architecture cannot be pruned in this way. The message says which, and what to do."""


def prune_weights(model: nn.Module, amount: float) -> nn.Module:
    """Make a copy of a model in which the smallest weights of the encoder's linear layers are 0.

    The model becomes neither smaller nor faster, because a dense matrix product multiplies zeros as well. It shows how
    many of its weights a model can lose. Source: Han et al. 2015, arXiv 1506.02626.

    Args:
        model: a transformers model. Its head is not pruned.
        amount: the share of weights to set to 0, from 0 to below 1. They are the smallest by absolute value, over all
            layers together.

    Returns:
        The copy.

    Raises:
        ValueError: `amount` is out of range.

    >>> import torch, transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
    >>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes))
    >>> encoder = prune_weights(model, 0.5).base_model
    >>> weights = torch.cat([layer.weight.flatten() for layer in encoder.modules() if isinstance(layer, nn.Linear)])
    >>> round((weights == 0).double().mean().item(), 2)
    0.5
    """
    check_amount(amount)
    model = copy.deepcopy(model)
    encoder: Any = model.base_model
    weights = [(module, "weight") for module in encoder.modules() if isinstance(module, nn.Linear)]
    prune.global_unstructured(weights, prune.L1Unstructured, amount=amount)
    # torch keeps the weights and a mask of zeros and ones apart until this makes them one tensor again
    for module, name in weights:
        prune.remove(module, name)
    return model


def prune_units(model: nn.Module, amount: float) -> nn.Module:
    """Make a smaller copy of a model: every feed-forward block of the encoder loses some of its hidden units.

    In each block, the units with the smallest product of two norms are removed: the norm of the weights that go in and
    of those that come out. The configuration gets the new size, so the copy can be saved and loaded like any other
    model. Train it for an epoch afterwards. Source, for whole units: Li et al. 2017, arXiv 1608.08710.

    Args:
        model: a transformers model.
        amount: the share of hidden units to remove, from 0 to below 1. At least one unit remains.

    Returns:
        The copy.

    Raises:
        ValueError: `amount` is out of range.
        PruningError: the feed-forward blocks are not pairs of linear layers; ModernBERT's, for instance, are gated.

    >>> import transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
    >>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes))
    >>> smaller = prune_units(model, 0.25)
    >>> smaller.bert.encoder.layer[0].intermediate.dense.out_features, smaller.config.intermediate_size
    (30, 30)
    """
    check_amount(amount)
    model = copy.deepcopy(model)
    encoder: Any = model.base_model
    blocks = feed_forward_blocks(encoder)
    # the same number in every block, because the configuration has one size for all
    num_kept = max(1, round((1 - amount) * blocks[0][0].out_features))
    for first, second in blocks:
        importance = first.weight.norm(dim=1) * second.weight.norm(dim=0)  # [units]
        kept = importance.topk(num_kept).indices.sort().values
        first.weight, first.bias = nn.Parameter(first.weight[kept].detach()), nn.Parameter(first.bias[kept].detach())
        # safetensors refuses to save a slice that is not contiguous
        second.weight = nn.Parameter(second.weight[:, kept].detach().contiguous())
        first.out_features = second.in_features = num_kept
    for config in (model.config, encoder.config):  # two objects where a classifier wraps a whole encoder
        setattr(config, next(name for name in FEED_FORWARD_SIZES if hasattr(config, name)), num_kept)
    return model


def feed_forward_blocks(encoder: Any) -> list[tuple[Any, Any]]:
    """Find the two linear layers of each feed-forward block, in order.

    Raises:
        PruningError: there are none with the usual names.
    """
    modules = dict(encoder.named_modules())
    blocks = [
        (modules[name], modules[name.removesuffix(first) + second])
        for name in modules
        for first, second in FEED_FORWARD_LAYERS.items()
        if name.endswith(f".{first}")  # with the dot, so that no other name that ends alike is taken
    ]
    if not blocks:
        raise PruningError(
            f"the feed-forward blocks of {encoder.config.model_type} are of a kind that cannot be pruned; "
            "use prune_weights"
        )
    return blocks


def check_amount(amount: float) -> None:
    """Raise ValueError unless a share is one that can be removed."""
    if not 0 <= amount < 1:
        raise ValueError(f"amount={amount}: pass the share to remove, from 0 to below 1")
