"""Single weights that are set to 0: the smallest ones, or those that training moves towards 0."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .checks import check_amount


def prune_weights(model: nn.Module, amount: float, *, scores: Mapping[str, Tensor] | None = None) -> nn.Module:
    """Make a copy of a model in which the least important weights of the encoder's linear layers are 0.

    The model becomes neither smaller nor faster, because a dense matrix product multiplies zeros as well. It shows how
    many of its weights a model can lose. Source: Han et al. 2015, arXiv 1506.02626.

    Args:
        model: a transformers model. Its head is not pruned.
        amount: the share of weights to set to 0, from 0 to below 1, over all layers together.
        scores: what to rank the weights by, from `track_movement`; the lowest are set to 0. By default it is their
            absolute value, which is called magnitude pruning.

    Returns:
        The copy.

    Raises:
        ValueError: `amount` is out of range, or the scores are those of another model.

    >>> import transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
    >>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes))
    >>> encoder = prune_weights(model, 0.5).base_model
    >>> weights = torch.cat([layer.weight.flatten() for layer in encoder.modules() if isinstance(layer, nn.Linear)])
    >>> round((weights == 0).double().mean().item(), 2)
    0.5
    """
    check_amount(amount)
    model = copy.deepcopy(model)
    layers = linear_layers(model)
    if scores is None:
        scores = {name: layer.weight.detach().abs() for name, layer in layers.items()}
    shapes = {name: layer.weight.shape for name, layer in layers.items()}
    if {name: score.shape for name, score in scores.items()} != shapes:
        raise ValueError("the scores belong to another model; pass those that track_movement made for this one")
    # Not torch.nn.utils.prune: it would take the absolute value of the scores, and those of movement have a sign.
    flat = torch.cat([scores[name].flatten() for name in layers])
    is_kept = torch.ones_like(flat, dtype=torch.bool)
    # Sorting would take most of the time: these are millions of indices, and their order does not matter.
    is_kept[flat.topk(round(amount * len(flat)), largest=False, sorted=False).indices] = False
    parts = is_kept.split([layer.weight.numel() for layer in layers.values()])
    with torch.no_grad():
        for layer, part in zip(layers.values(), parts, strict=True):
            layer.weight.masked_fill_(~part.view_as(layer.weight), 0.0)
    return model


def track_movement(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Score the weights of the encoder's linear layers by their movement while an optimizer trains the model.

        score = - sum over the updates of weight x gradient

    A weight that the gradient moves away from 0 has a positive score, whatever its size. Magnitude pruning keeps the
    weights that pretraining made large; movement pruning keeps those that the task needs. Source: Sanh et al. 2020,
    arXiv 2005.07683. There, the weights with the lowest scores are 0 already while the model trains, more of them with
    each step, and can come back. Here a dense model is trained first and pruned once; for the same effect in steps,
    prune and train in turns. The advantage that the paper finds is at high sparsity, with few weights left.

    It works with any training loop: the scores are updated by a hook of the optimizer, just before each of its steps,
    with the gradient of the whole update. Updates that fp16 skips do not count.

    Args:
        model: a transformers model, on the device on which it will be trained.
        optimizer: the one that will train it.

    Returns:
        The scores, one tensor of the weight's shape per linear layer of the encoder; 0 now, and updated by training.

    Raises:
        ValueError: the optimizer does not train the encoder's linear layers.

    >>> import transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    >>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> scores = track_movement(model, optimizer)
    >>> layer = model.bert.encoder.layer[0].output.dense
    >>> layer.weight.grad = torch.ones_like(layer.weight)
    >>> before = layer.weight.detach().clone()
    >>> optimizer.step()
    >>> bool((scores["encoder.layer.0.output.dense"] == -before).all())
    True
    """
    layers = linear_layers(model)
    check_trained(layers, optimizer)
    scores = {name: torch.zeros_like(layer.weight, requires_grad=False) for name, layer in layers.items()}

    def update_scores(optimizer: Any, *_: Any) -> None:
        # A fused optimizer steps even if a gradient overflowed in fp16, and skips the update inside its kernel.
        if getattr(optimizer, "found_inf", None):
            return
        for name, layer in layers.items():
            if layer.weight.grad is not None:
                scores[name].addcmul_(layer.weight.detach(), layer.weight.grad, value=-1.0)

    optimizer.register_step_pre_hook(update_scores)
    return scores


def keep_zeros(model: nn.Module, optimizer: torch.optim.Optimizer) -> RemovableHandle:
    """Hold the weights that are 0 at 0 while an optimizer trains a pruned model.

    Without it, the first update makes other numbers of them, and the model is no longer sparse.

    Args:
        model: from `prune_weights`.
        optimizer: the one that will train this model, and not the original.

    Returns:
        A handle whose `remove()` ends it.

    Raises:
        ValueError: no weight is 0, or the optimizer does not train the encoder's linear layers.

    >>> import transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    >>> model = transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=20, **sizes))
    >>> model = prune_weights(model, 0.5)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> handle = keep_zeros(model, optimizer)
    >>> model(input_ids=torch.tensor([[1, 2]]), labels=torch.tensor([0])).loss.backward()
    >>> optimizer.step()
    >>> weights = torch.cat([layer.weight.flatten() for layer in linear_layers(model).values()])
    >>> round((weights == 0).double().mean().item(), 2)
    0.5
    """
    layers = linear_layers(model)
    check_trained(layers, optimizer)
    zeros = [(layer.weight, layer.weight.detach() == 0) for layer in layers.values()]
    if not any(is_zero.any() for _, is_zero in zeros):
        raise ValueError("no weight of the model is 0; call prune_weights first and pass its result")

    def set_zeros(*_: Any) -> None:
        with torch.no_grad():
            for weight, is_zero in zeros:
                weight.masked_fill_(is_zero, 0.0)

    return optimizer.register_step_post_hook(set_zeros)


def linear_layers(model: nn.Module) -> dict[str, nn.Linear]:
    """Find the linear layers of the encoder, in order, by their names in it."""
    encoder: Any = model.base_model
    return {name: module for name, module in encoder.named_modules() if isinstance(module, nn.Linear)}


def check_trained(layers: Mapping[str, nn.Linear], optimizer: torch.optim.Optimizer) -> None:
    """Raise ValueError unless the optimizer trains at least one of the layers."""
    trained = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not any(id(layer.weight) in trained for layer in layers.values()):
        raise ValueError(
            "the optimizer trains none of the encoder's linear layers; make a new one for this model, because pruning "
            "returns a copy"
        )
