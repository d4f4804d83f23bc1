"""Attention heads that are removed, so that the model becomes smaller and faster."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from .checks import PruningError, check_amount, check_importance

# The layers for queries, keys, values and the output. In these architectures `forward` infers the number of heads from
# their width. MPNet cannot lose single heads, because all its layers share one position bias per head.
BERT_ATTENTION = ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense")
DISTILBERT_ATTENTION = ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin")
ATTENTION_LAYERS = {
    "bert": BERT_ATTENTION,
    "camembert": BERT_ATTENTION,
    "distilbert": DISTILBERT_ATTENTION,
    "electra": BERT_ATTENTION,
    "roberta": BERT_ATTENTION,
    "xlm-roberta": BERT_ATTENTION,
}


def prune_heads(model: nn.Module, amount: float, *, importance: Sequence[Tensor] | None = None) -> nn.Module:
    """Make a smaller copy of a model that lacks the least important attention heads, over all layers together.

    The importance is divided by its norm in each layer before heads of different layers are compared, as in Michel et
    al. 2019, arXiv 1905.10650. At least one head remains in each layer. Train the copy for an epoch afterwards.

    `from_pretrained` refuses the saved copy, and must not be told to `ignore_mismatched_sizes`, which would give it
    random heads. For transformers the width of a head is hidden_size / num_attention_heads, so no configuration tells
    of fewer heads of the same width, not even if all layers lose equally many. (transformers 5 has neither
    `prune_heads` nor `head_mask`.) Load the folder with `load_pruned`, or export the model to ONNX, where the graph has
    the new sizes.

    Attention's four matrices are a third of an encoder layer of the usual sizes, so half of the heads is a sixth of it.

    Args:
        model: a transformers model of an architecture in `ATTENTION_LAYERS`.
        amount: the share of heads to remove, from 0 to below 1.
        importance: a tensor [heads] per layer, from `head_importance`. By default it is the product of two norms: that
            of a head's weights for values and that of its weights in the output layer.

    Returns:
        The copy.

    Raises:
        ValueError: `amount` is out of range, or the importance is that of another model.
        PruningError: the architecture is not in `ATTENTION_LAYERS`.

    >>> import transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 16}
    >>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes))
    >>> smaller = prune_heads(model, 0.5, importance=[torch.tensor([3.0, 1, 2, 1]), torch.tensor([1.0, 9, 1, 1])])
    >>> [layer.attention.self.query.out_features // 2 for layer in smaller.bert.encoder.layer]
    [3, 1]
    """
    check_amount(amount)
    model = copy.deepcopy(model)
    blocks, head_size = attention_blocks(model), size_of_head(model)
    if importance is None:
        importance = [weight_norms(block, head_size) for block in blocks.values()]
    check_importance(importance, [block[0].out_features // head_size for block in blocks.values()])
    scores = [layer / layer.norm().clamp(min=1e-20) for layer in importance]
    for layer in scores:
        layer[layer.argmax()] = math.inf  # one head stays, because a layer without heads cannot run
    flat = torch.cat(scores)
    num_removed = min(round(amount * len(flat)), len(flat) - len(scores))
    is_kept = torch.ones_like(flat, dtype=torch.bool)
    is_kept[flat.topk(num_removed, largest=False).indices] = False
    parts = is_kept.split([len(layer) for layer in scores])
    for block, part in zip(blocks.values(), parts, strict=True):
        keep_heads(block, part.nonzero().flatten(), head_size)
    return model


def load_pruned(model: nn.Module, folder: str | Path) -> nn.Module:
    """Load the folder of a model that has lost heads: make the layers of a full model smaller and fill in the weights.

        config = transformers.AutoConfig.from_pretrained(folder)
        model = load_pruned(transformers.AutoModelForSequenceClassification.from_config(config), folder)

    Args:
        model: any model of the same class and configuration. It is changed in place.
        folder: where `save_pretrained` wrote the pruned model.

    Returns:
        The model, in evaluation mode.

    Raises:
        PruningError: the folder has the weights of another model, or the architecture is not in `ATTENTION_LAYERS`.
    """
    weights, head_size = load_file(Path(folder) / "model.safetensors"), size_of_head(model)
    for name, block in attention_blocks(model).items():
        saved = weights.get(f"{name}.weight")  # of the queries, [heads x head size, hidden size]
        num_kept = 0 if saved is None else len(saved) // head_size
        if not 1 <= num_kept <= block[0].out_features // head_size:
            raise PruningError(f"{folder} has no fitting weights of {name}; pass a model made from its configuration")
        keep_heads(block, torch.arange(num_kept), head_size)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise PruningError(
            f"{folder} has the weights of another model; pass one made from its configuration"
        ) from error
    return model.eval()


def attention_blocks(model: nn.Module) -> dict[str, tuple[Any, ...]]:
    """Find the layers for queries, keys, values and the output, by the name of the first, for each layer in order.

    Raises:
        PruningError: the architecture is not in `ATTENTION_LAYERS`.
    """
    config: Any = model.config
    model_type = config.model_type
    if model_type not in ATTENTION_LAYERS:
        raise PruningError(
            f"the heads of {model_type} cannot be removed, only those of {', '.join(ATTENTION_LAYERS)}; use prune_units"
        )
    query, *others = ATTENTION_LAYERS[model_type]
    modules = dict(model.named_modules())
    return {
        name: (modules[name], *(modules[name.removesuffix(query) + other] for other in others))
        for name in modules
        if name.endswith(f".{query}")
    }


def keep_heads(block: tuple[Any, ...], heads: Tensor, head_size: int) -> None:
    """Remove all but some heads from the four layers of an attention block, in place.

    Args:
        block: the layers for queries, keys, values and the output.
        heads: the numbers of the heads that stay.
        head_size: the width of a head.
    """
    *inputs, output = block
    heads = heads.to(output.weight.device)
    rows = (heads[:, None] * head_size + torch.arange(head_size, device=heads.device)).flatten()
    for layer in inputs:
        layer.weight, layer.bias = nn.Parameter(layer.weight[rows].detach()), nn.Parameter(layer.bias[rows].detach())
        layer.out_features = len(rows)
    output.weight = nn.Parameter(output.weight[:, rows].detach().contiguous())
    output.in_features = len(rows)


def weight_norms(block: tuple[Any, ...], head_size: int) -> Tensor:
    """The product of the norms of each head's weights for values and in the output layer: [heads]."""
    value, output = block[2].weight.detach(), block[3].weight.detach()
    return value.unflatten(0, (-1, head_size)).norm(dim=(1, 2)) * output.unflatten(1, (-1, head_size)).norm(dim=(0, 2))


def size_of_head(model: nn.Module) -> int:
    """The width of a head as transformers computes it, which is the same before and after heads are removed."""
    config: Any = model.config
    return int(config.hidden_size // config.num_attention_heads)
