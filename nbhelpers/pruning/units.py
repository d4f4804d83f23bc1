"""Hidden units of the feed-forward blocks that are removed, so that the model becomes smaller and faster."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from .checks import PruningError, check_amount, check_importance

# the two linear layers of a feed-forward block: in BERT and most of its relatives, and in DistilBERT
FEED_FORWARD_LAYERS = {"intermediate.dense": "output.dense", "ffn.lin1": "ffn.lin2"}
FEED_FORWARD_SIZES = ("intermediate_size", "hidden_dim")  # what their configurations call the number of hidden units


def prune_units(model: nn.Module, amount: float, *, importance: Sequence[Tensor] | None = None) -> nn.Module:
    """Make a smaller copy of a model: every feed-forward block of the encoder loses some of its hidden units.

    In each block, the least important units are removed. The configuration gets the new size, so the copy can be saved
    and loaded like any other model. Train it for an epoch afterwards. Source, for whole units: Li et al. 2017, arXiv
    1608.08710.

    Args:
        model: a transformers model.
        amount: the share of hidden units to remove, from 0 to below 1. At least one unit remains.
        importance: a tensor [units] per block, from `unit_importance`. By default it is the product of two norms: that
            of the weights that go into a unit and that of those that come out.

    Returns:
        The copy.

    Raises:
        ValueError: `amount` is out of range, or the importance is that of another model.
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
    if importance is None:
        importance = [first.weight.norm(dim=1) * second.weight.norm(dim=0) for first, second in blocks]
    check_importance(importance, [first.out_features for first, _ in blocks])
    # the same number in every block, because the configuration has one size for all
    num_kept = max(1, round((1 - amount) * blocks[0][0].out_features))
    for (first, second), block_importance in zip(blocks, importance, strict=True):
        kept = block_importance.topk(num_kept).indices.sort().values.to(first.weight.device)
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
