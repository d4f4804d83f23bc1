"""What the loop and the Trainer need to know about batches: their size, their device, how many make an update."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

Batch = Mapping[str, Tensor]  # the model's inputs and "labels"
Objective = Callable[[nn.Module, Batch], Tensor]  # (model, batch) -> loss, the mean over the batch's labeled items

NO_LABEL = -100  # torch's and transformers' mark for a position that does not count in the loss


def to_device(batch: Batch, device: torch.device) -> dict[str, Tensor]:
    """Copy every tensor of the batch to the device that the model is on.

    >>> to_device({"labels": torch.tensor([1, 0])}, torch.device("cpu"))
    {'labels': tensor([1, 0])}
    """
    return {name: tensor.to(device) for name, tensor in batch.items()}


def num_labeled(batch: Batch) -> int:
    """Count the labels that are not -100: the number of items that the batch's mean loss was divided by.

    >>> num_labeled({"labels": torch.tensor([[2, 0, -100], [1, -100, -100]])})
    3
    """
    if "labels" not in batch:
        raise ValueError(f"the batch has no 'labels', only {', '.join(batch)}; add 'labels' to the examples")
    return int((batch["labels"] != NO_LABEL).sum())


def group_batches(dataloader: Iterable[Batch], gradient_accumulation_steps: int) -> Iterator[tuple[list[Batch], int]]:
    """Go through one epoch in groups of batches; each group is used for one update of the weights.

    Yields:
        The batches of one update (the last update of an epoch may have fewer), and the number of their labeled items,
        at least 1. Divide by this number to average over the update as a whole: the mean of the batches' means would
        be wrong where the batches differ in size.

    >>> batches = [{"labels": torch.tensor([0, 1])}, {"labels": torch.tensor([1])}, {"labels": torch.tensor([-100])}]
    >>> [(len(micro_batches), num_items) for micro_batches, num_items in group_batches(batches, 2)]
    [(2, 3), (1, 1)]
    """
    iterator = iter(dataloader)
    while micro_batches := list(itertools.islice(iterator, gradient_accumulation_steps)):
        # Without any label the loss is 0; a divisor of 1 keeps it 0 instead of NaN.
        yield micro_batches, max(1, sum(num_labeled(batch) for batch in micro_batches))


def updates_per_epoch(dataloader: DataLoader[Any], gradient_accumulation_steps: int = 1) -> int:
    """Count the updates of the weights in one pass over the data. `make_scheduler` needs their number in advance.

    >>> updates_per_epoch(DataLoader([0] * 10, batch_size=2), gradient_accumulation_steps=2)  # 2 + 2 + 1 batches
    3
    """
    return math.ceil(len(dataloader) / gradient_accumulation_steps)


def set_epoch(dataloader: DataLoader[Any], epoch: int) -> None:
    """Tell the batch sampler which epoch comes next, so that each epoch has an order of its own.

    Samplers without `set_epoch`, such as torch's, draw a new order by themselves; they are left alone.
    """
    sampler: Any = dataloader.batch_sampler
    if hasattr(sampler, "set_epoch"):
        sampler.set_epoch(epoch)
