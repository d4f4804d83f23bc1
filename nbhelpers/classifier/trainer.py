"""The Trainer of a classifier: it reports progress, and it halves its batches when the GPU has too little memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import transformers

from nbhelpers import training


class Step(NamedTuple):
    """How far a training is: updates that are done, all of them, likewise the epoch, and the last dev score."""

    update: int
    num_updates: int
    epoch: int
    num_epochs: int
    score: float | None
    score_name: str = "weighted F1"


Progress = Callable[[Step], None]


class OutOfMemory(Exception):
    """The device has too little memory for the batches as they are."""


class Trainer(training.Trainer):
    """`training.Trainer` that computes each batch in `num_parts` parts, one after another.

    The gradient is that of the whole batch, because the loss counts every labeled item of an update the same.
    """

    num_parts = 1

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> torch.Tensor:
        """Compute the loss and its gradient. Raises OutOfMemory where the device has no room for it."""
        try:
            losses = [
                super(Trainer, self).training_step(model, part, num_items_in_batch)
                for part in parts(inputs, self.num_parts)
            ]
        except torch.OutOfMemoryError as error:
            raise OutOfMemory from error
        return torch.stack(losses).sum()


def parts(batch: dict[str, Any], num_parts: int) -> list[dict[str, Any]]:
    """Cut a batch into parts with about the same number of examples, without empty ones.

    >>> [part["labels"].tolist() for part in parts({"labels": torch.tensor([0, 1, 2])}, 2)]
    [[0, 1], [2]]
    """
    chunks = {name: tensor.chunk(num_parts) for name, tensor in batch.items()}
    return [dict(zip(chunks, tensors, strict=True)) for tensors in zip(*chunks.values(), strict=True)]


class ProgressCallback(transformers.TrainerCallback):
    """Reports each update and each dev score of a run.

    Args:
        progress: the function to call.
        start: where the phase begins: updates and epochs of earlier phases, and of all phases.
        metric: the name of the dev score.
    """

    def __init__(self, progress: Progress, start: Step, metric: str) -> None:
        self.progress, self.start, self.metric = progress, start, f"eval_{metric}"
        self.score: float | None = None

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        update, epoch = self.start.update + state.global_step, self.start.epoch + math.ceil(state.epoch - 1e-6)
        self.progress(self.start._replace(update=update, epoch=epoch, score=self.score))

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any = None, **_: Any) -> None:
        self.score = (metrics or {}).get(self.metric, self.score)
        self.on_step_end(args, state, control)
