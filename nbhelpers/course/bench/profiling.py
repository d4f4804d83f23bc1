"""Where the time of training goes, in groups of operations with plain names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from .ceiling import PRODUCTS, time_once

# group -> names of the operations whose time, with that of the operations inside them, belongs to it
GROUPS = {
    "matrix products": {*PRODUCTS, "aten::_addmm_activation", "aten::mkldnn_linear"},
    "attention": {
        "aten::_softmax",
        "aten::_softmax_backward_data",
        "aten::scaled_dot_product_attention",
        "aten::_scaled_dot_product_flash_attention_for_cpu",
        "aten::_scaled_dot_product_flash_attention_for_cpu_backward",
        "aten::_scaled_dot_product_flash_attention",
        "aten::_scaled_dot_product_flash_attention_backward",
        "aten::_scaled_dot_product_efficient_attention",
        "aten::_scaled_dot_product_efficient_attention_backward",
        "aten::_scaled_dot_product_cudnn_attention",
        "aten::_scaled_dot_product_cudnn_attention_backward",
    },
    "dropout": {
        "aten::dropout",
        "aten::native_dropout",
        "aten::native_dropout_backward",
        "aten::bernoulli_",
        "aten::random_",
    },
    "activations and norms": {
        "aten::gelu",
        "aten::gelu_backward",
        "aten::relu",
        "aten::tanh",
        "aten::tanh_backward",
        "aten::native_layer_norm",
        "aten::native_layer_norm_backward",
    },
    "casts and copies": {"aten::copy_", "aten::_to_copy", "aten::to", "aten::clone", "aten::contiguous", "aten::cat"},
}
# torch names these after the class of the optimizer and of the DataLoader
BEGINNINGS = {
    "optimizer": ("Optimizer.", "aten::_fused_adamw", "aten::_foreach_", "aten::linalg_vector_norm"),
    "data": ("enumerate(DataLoader)",),
}
REST = "rest"


def profile(run: Callable[[], object], device: torch.device) -> dict[str, float]:
    """The share of the time of a run that each group of operations takes; "rest" is all else, such as Python.

    Args:
        run: what to profile, such as a few steps of training.
        device: on which it computes. On a GPU, the rest contains the time in which it has nothing to do.
    """
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profiler:
        seconds = time_once(run, device)
    clock = "self_device_time_total" if device.type == "cuda" else "self_cpu_time_total"
    # kernels of a GPU are events as well, but their time is also that of the operations that started them
    events = [event for event in profiler.events() or [] if event.device_type.name == "CPU"]
    rows = [(names_from(event), getattr(event, clock) / 1e6) for event in events]
    return shares(rows, seconds)


def names_from(event: Any) -> list[str]:
    """The name of an operation, followed by those of the operations that it is a part of, from the inside out."""
    names = []
    while event is not None:
        names.append(event.name)
        event = event.cpu_parent
    return names


def shares(rows: Iterable[tuple[Sequence[str], float]], seconds: float) -> dict[str, float]:
    """The share of each group in the time of a run.

    Args:
        rows: for each operation, its name and the names around it, and its own seconds, without those inside it.
        seconds: the whole run.

    >>> rows = [(["aten::mm"], 1.0), (["aten::mul", "aten::native_dropout"], 0.5), (["aten::mul"], 0.25)]
    >>> shares(rows, seconds=2.0)
    {'matrix products': 0.5, 'dropout': 0.25, 'rest': 0.25}
    """
    found = dict.fromkeys((*GROUPS, *BEGINNINGS, REST), 0.0)
    for names, own in rows:
        found[group_of(names)] += own
    grouped = {group: found[group] / seconds for group in (*GROUPS, *BEGINNINGS) if found[group]}
    return {**grouped, REST: max(0.0, 1 - sum(grouped.values()))}


def group_of(names: Sequence[str]) -> str:
    """The group of the innermost operation that belongs to one.

    >>> group_of(["aten::mul", "aten::native_dropout"]), group_of(["aten::mul"])
    ('dropout', 'rest')
    """
    for name in names:
        for group, members in GROUPS.items():
            if name in members:
                return group
        for group, beginnings in BEGINNINGS.items():
            if name.startswith(beginnings):
                return group
    return REST
