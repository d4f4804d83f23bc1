"""The optimizer and the learning-rate schedule, and which parameters they train."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import nn

SCHEDULES = {"linear": "linear", "cosine": "cosine", "constant": "constant_with_warmup"}  # our name -> transformers'


def is_encoder(model: nn.Module, name: str) -> bool:
    """Tell whether the parameter of this name belongs to the pretrained encoder. If not, it belongs to the head.

    Args:
        model: A transformers model with a head.
        name: As in `model.named_parameters()`; the prefixes that DDP, torch.compile and peft add are understood.

    Raises:
        ValueError: The model does not name its encoder with `base_model_prefix`, as transformers models do.

    >>> model = nn.Module()
    >>> model.base_model_prefix = "bert"
    >>> is_encoder(model, "bert.pooler.dense.bias"), is_encoder(model, "classifier.bias")
    (True, False)
    """
    if not hasattr(model, "base_model_prefix"):
        raise ValueError(f"a {type(model).__name__} has no base_model_prefix; pass a transformers model with a head")
    inner_name = re.sub(r"^(module\.|_orig_mod\.|base_model\.model\.)+", "", name)
    return inner_name.startswith(f"{model.base_model_prefix}.")


def freeze_encoder(model: nn.Module) -> None:
    """Leave only the head trainable: turn off `requires_grad` for all parameters of the encoder.

    Raises:
        ValueError: The model does not name its encoder with `base_model_prefix`.
    """
    for name, parameter in model.named_parameters():
        if is_encoder(model, name):
            parameter.requires_grad_(False)


def make_optimizer(
    model: nn.Module,
    lr: float,
    *,
    head_lr: float | None = None,
    layer_decay: float = 1.0,
    weight_decay: float = 0.01,
) -> torch.optim.AdamW:
    """Make a fused AdamW over the trainable parameters. Biases, LayerNorm weights and IA3 factors get no weight decay.

    Args:
        model: A transformers model with a head.
        lr: Peak learning rate of the encoder's last layer.
        head_lr: Peak learning rate of the head; by default `lr`. A new head usually needs a higher one.
        layer_decay: Layer-wise learning-rate decay (Howard and Ruder 2018, arXiv 1801.06146): each layer has the
            learning rate of the layer above times this factor, and the embeddings count as one more layer below the
            first. 1.0 turns it off.
        weight_decay: For weight matrices and embeddings.

    Raises:
        ValueError: No parameter is trainable, or the model does not name its encoder with `base_model_prefix`.

    >>> model = nn.Module()
    >>> model.base_model_prefix, model.bert, model.classifier = "bert", nn.Linear(4, 4), nn.Linear(4, 2)
    >>> optimizer = make_optimizer(model, lr=2e-5, head_lr=1e-3)
    >>> [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]
    [(2e-05, 0.01), (2e-05, 0.0), (0.001, 0.01), (0.001, 0.0)]
    """
    layers = layer_numbers(model)
    last_layer = max(layers.values(), default=0)
    parameters = defaultdict(list)  # (learning rate, weight decay) -> parameters
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        if not is_encoder(model, name):
            parameter_lr = lr if head_lr is None else head_lr
        elif name in layers or "embeddings" in name:
            layer = layers.get(name, -1)  # the embeddings are below layer 0
            parameter_lr = lr * layer_decay ** (last_layer - layer)
        else:
            parameter_lr = lr  # a pooler or a final norm, which come after the last layer
        # Weights have two dimensions or more; biases and LayerNorm weights have one. The factors of IA3 have a second
        # dimension of size 1, and without effect they are 1, so that decay towards 0 would not be neutral.
        decays = parameter.ndim > 1 and ".ia3_l." not in name
        parameters[parameter_lr, weight_decay if decays else 0.0].append(parameter)
    if not parameters:
        raise ValueError("no parameter of the model is trainable; set requires_grad on some of them before training")
    groups = [{"params": group, "lr": rate, "weight_decay": decay} for (rate, decay), group in parameters.items()]
    # A fused optimizer updates all parameters in one kernel, which is faster; not every device has one.
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    # Each group has its own learning rate. `lr` becomes the optimizer's default, where `current_lr` reads it.
    return torch.optim.AdamW(groups, lr=lr, fused=fused)


def layer_numbers(model: nn.Module) -> dict[str, int]:
    """Find the number of the encoder layer that each parameter is in; parameters outside the layers are left out."""
    # BERT and RoBERTa have "encoder.layer.3.", ModernBERT has "layers.3.".
    matches = {name: re.search(r"\.layers?\.(\d+)\.", name) for name, _ in model.named_parameters()}
    return {name: int(match[1]) for name, match in matches.items() if match}


def make_scheduler(
    optimizer: torch.optim.Optimizer, num_steps: int, *, schedule: str = "linear", warmup_ratio: float = 0.1
) -> torch.optim.lr_scheduler.LRScheduler:
    """Make the learning-rate schedule: a linear warm-up, then "linear" or "cosine" down to 0, or "constant".

    Args:
        optimizer: From `make_optimizer`; its learning rates are the peaks.
        num_steps: Updates in the whole run: `updates_per_epoch(...)` times the number of epochs.
        schedule: "linear", "cosine" or "constant".
        warmup_ratio: The share of the steps, from 0 to below 1, in which the learning rate rises from 0 to its peak.

    Raises:
        ValueError: The schedule has another name, or `warmup_ratio` is outside its range.

    >>> optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    >>> scheduler, rates = make_scheduler(optimizer, num_steps=4, warmup_ratio=0.25), []
    >>> for _ in range(4):
    ...     rates.append(round(scheduler.get_last_lr()[0], 2))
    ...     optimizer.step()
    ...     scheduler.step()
    >>> rates
    [0.0, 1.0, 0.67, 0.33]
    """
    check_schedule(schedule, warmup_ratio)
    num_warmup_steps = math.ceil(warmup_ratio * num_steps)
    return transformers.get_scheduler(SCHEDULES[schedule], optimizer, num_warmup_steps, num_steps)


def current_lr(optimizer: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.LRScheduler) -> float:
    """Compute the learning rate of the encoder's last layer: the `lr` of `make_optimizer`, times the schedule."""
    rates = zip(scheduler.get_last_lr(), scheduler.base_lrs, strict=True)
    # All groups follow the same schedule, but one whose peak is 0 (a layer held fixed) cannot tell how far it is.
    schedule_factor = max((rate / peak for rate, peak in rates if peak), default=0.0)
    return optimizer.defaults["lr"] * schedule_factor


def check_schedule(schedule: str, warmup_ratio: float) -> None:
    """Raise a ValueError for an unknown schedule or a warm-up ratio outside 0 to 1."""
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule {schedule!r} is not one of {', '.join(SCHEDULES)}; choose one of these")
    if not 0 <= warmup_ratio < 1:
        raise ValueError(f"warmup_ratio={warmup_ratio} is not a share of all steps; give a number from 0 to below 1")


def check_settings(
    model: nn.Module,
    optimizer: Any,
    num_epochs: float,
    gradient_accumulation_steps: int,
    patience: int | None = None,
    evaluate: Callable[..., Any] | None = None,
) -> None:
    """Raise a ValueError for settings with which training would run, but train nothing or never stop early."""
    if gradient_accumulation_steps < 1:
        raise ValueError(f"gradient_accumulation_steps={gradient_accumulation_steps} must be at least 1")
    if num_epochs <= 0:
        raise ValueError(f"num_epochs={num_epochs} must be more than 0")
    if patience is not None and evaluate is None:
        raise ValueError(f"patience={patience} needs a score after each epoch; pass a function as evaluate=")
    # Loading or adapting a model after its optimizer was made replaces parameters without any error.
    optimized = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    if not any(id(parameter) in optimized for parameter in model.parameters()):
        raise ValueError("the optimizer has no parameter of this model; call make_optimizer with this model")
