"""How much heads and hidden units matter for the loss, measured on data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .checks import PruningError
from .units import feed_forward_blocks

NO_LABEL = -100  # a position that does not count in the loss

Batch = Mapping[str, Tensor]
Objective = Callable[[nn.Module, Batch], Tensor]  # (model, batch) -> loss, the mean over the batch's labeled items

# The layer that joins the heads: in BERT and most of its relatives, in DistilBERT, in MPNet and in ModernBERT. With the
# dot in front, the attention to another model's output in a "crossattention" is left out.
ATTENTION_OUTPUTS = (".attention.output.dense", ".attention.out_lin", ".attention.attn.o", ".attn.Wo")


def head_importance(model: nn.Module, dataloader: Iterable[Batch], objective: Objective) -> list[Tensor]:
    """Measure how much each attention head matters: the mean absolute gradient of a gate.

    The gate is a factor of 1 on the head's output. To first order, the derivative is how much the loss of a text
    changes if the head is removed. Source: Michel et al. 2019, arXiv 1905.10650.

    The absolute value is taken for each text, as in the paper. Code that takes it for each batch, after the texts of
    the batch have partly cancelled each other, gives numbers that depend on the batch size.

    Args:
        model: a trained transformers model. It runs in evaluation mode, and its weights and gradients are untouched.
        dataloader: batches of labeled texts, some hundred are enough. Take them from train, and not from dev or test.
        objective: `objective(model, batch) -> loss`, the mean over the labeled items of the batch.

    Returns:
        A tensor [heads] per layer, on the model's device.

    Raises:
        PruningError: the attention layers of this architecture are not known.
        ValueError: no text has a label.

    >>> import transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 16}
    >>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes))
    >>> batch = {"input_ids": torch.tensor([[1, 2, 3]]), "labels": torch.tensor([0])}
    >>> importance = head_importance(model, [batch], lambda model, batch: model(**batch).loss)
    >>> [tuple(layer.shape) for layer in importance]
    [(4,), (4,)]
    """
    encoder: Any = model.base_model
    layers = [module for name, module in encoder.named_modules() if name.endswith(ATTENTION_OUTPUTS)]
    if not layers:
        raise PruningError(f"the attention layers of {encoder.config.model_type} are not known; use unit_importance")
    head_size = encoder.config.hidden_size // encoder.config.num_attention_heads
    return gate_gradients(model, dataloader, objective, {layer: layer.in_features // head_size for layer in layers})


def unit_importance(model: nn.Module, dataloader: Iterable[Batch], objective: Objective) -> list[Tensor]:
    """Measure how much each hidden unit of the feed-forward blocks matters: the mean absolute gradient of a gate.

    As `head_importance`, for units: the gate is a factor of 1 on a unit's activation, at all tokens of a text.

    Args:
        model, dataloader, objective: as in `head_importance`.

    Returns:
        A tensor [units] per feed-forward block, on the model's device.

    Raises:
        PruningError: the feed-forward blocks are not pairs of linear layers.
        ValueError: no text has a label.

    >>> import transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 16}
    >>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes))
    >>> batch = {"input_ids": torch.tensor([[1, 2, 3]]), "labels": torch.tensor([0])}
    >>> importance = unit_importance(model, [batch], lambda model, batch: model(**batch).loss)
    >>> [tuple(layer.shape) for layer in importance]
    [(16,), (16,)]
    """
    blocks = feed_forward_blocks(model.base_model)
    return gate_gradients(model, dataloader, objective, {second: second.in_features for _, second in blocks})


def gate_gradients(
    model: nn.Module, dataloader: Iterable[Batch], objective: Objective, num_gates: Mapping[Any, int]
) -> list[Tensor]:
    """Multiply the inputs of some layers by gates of 1, and average the absolute gradients of the gates over the texts.

    Args:
        model, dataloader, objective: as in `head_importance`.
        num_gates: for each layer, the number of equal parts of its input that have a gate each.

    Returns:
        A tensor [gates] per layer.
    """
    gates: dict[Any, Tensor] = {}  # layer -> [batch, gates], for the batch that the model is reading

    def apply_gates(layer: Any, inputs: tuple[Tensor]) -> Tensor:
        hidden = inputs[0].unflatten(-1, (num_gates[layer], -1))  # [batch, tokens, gates, width of a part]
        # A gate of its own for each text gives the gradient of each text, although the batch has one loss.
        gates.setdefault(layer, torch.ones_like(hidden[:, 0, :, 0], requires_grad=True))
        return (hidden * gates[layer][:, None, :, None]).flatten(-2)

    device, was_training = next(model.parameters()).device, model.training
    totals = [torch.zeros(number, device=device) for number in num_gates.values()]
    num_items = 0
    handles = [layer.register_forward_pre_hook(apply_gates) for layer in num_gates]
    model.eval()  # dropout would add noise
    try:
        for batch in dataloader:
            num_labeled = int((batch["labels"] != NO_LABEL).sum())
            if num_labeled == 0:
                continue
            gates.clear()
            loss = objective(model, {name: tensor.to(device) for name, tensor in batch.items()})
            # The sum over the items, in which each text's gradient does not depend on the others.
            gradients = torch.autograd.grad(loss * num_labeled, [gates[layer] for layer in num_gates])
            for total, gradient in zip(totals, gradients, strict=True):
                total += gradient.abs().sum(0)
            num_items += num_labeled
    finally:
        for handle in handles:
            handle.remove()
        model.train(was_training)
    if num_items == 0:
        raise ValueError("no text has a label, so there is no loss to measure importance by; pass labeled texts")
    return [total / num_items for total in totals]
