"""The speed of training steps, whoever makes them.

This file needs only torch, so that it also measures programs in environments of their own.
"""

from __future__ import annotations

import time
from typing import Any

import torch


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all it was given."""
    getattr(torch, device.type).synchronize()


class Meter:
    """Counts the tokens of each step of a model, and its time from the second step on.

    The first step is not timed, because it allocates memory. Ways that group texts by length make batches of very
    different size, so the speed is that of tokens without padding, told as texts of the mean length.

    Args:
        model: a torch module. Each call of it is a step; it is given "attention_mask" by name or in a dict.

    >>> model = torch.nn.Module()
    >>> model.weight, model.forward = torch.nn.Parameter(torch.zeros(1)), lambda attention_mask: None
    >>> meter = Meter(model)
    >>> for _ in range(3):
    ...     model(attention_mask=torch.ones(2, 5))
    >>> meter.texts_per_second(mean_tokens=5) > 0  # that of the last two steps
    True
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.tokens: list[Any] = []
        self.start = 0.0
        model.register_forward_pre_hook(self, with_kwargs=True)

    def __call__(self, model: Any, args: Any, inputs: Any) -> None:
        """Note that a step begins."""
        # no number yet, because a GPU would have to finish first
        self.tokens.append((inputs or args[0])["attention_mask"].sum())
        if len(self.tokens) == 2:
            self.start = self.now()

    def now(self) -> float:
        """The time when the device has finished all it was given."""
        synchronize(next(self.model.parameters()).device)
        return time.perf_counter()

    def texts_per_second(self, mean_tokens: float) -> float:
        """The speed of all steps but the first. Call it when the last one is done."""
        seconds = self.now() - self.start
        return float(sum(self.tokens[1:])) / mean_tokens / seconds
