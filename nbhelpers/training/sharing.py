"""Several processes train one model: each computes its share of every batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from .batches import NO_LABEL, set_epoch


class SharedBatches(Sampler[list[int]]):
    """The share of one process of each batch: every `num_processes`-th item, beginning with its own number.

    Unlike torch's DistributedSampler, no item is repeated. All processes have the same number of batches, and together
    they read exactly the batches of a single process, so learning rates and schedules stay as they are. The items of a
    token-budget batch are sorted by length, so the shares are of about the same length.

    A batch with fewer items than processes gives a process nothing to do. It then gets an item of the batch without its
    label, written as -1 minus its number, because all processes must take part in each update.

    Args:
        batches: A batch sampler that gives lists of item numbers, the same in each process.
        process: The number of this process, from 0.
        num_processes: How many there are.

    >>> [list(SharedBatches([[0, 1, 2], [3]], process, 2)) for process in (0, 1)]
    [[[0, 2], [3]], [[1], [-4]]]
    """

    def __init__(self, batches: Any, process: int, num_processes: int) -> None:
        self.batches, self.process, self.num_processes = batches, process, num_processes

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next pass has."""
        if hasattr(self.batches, "set_epoch"):
            self.batches.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            yield batch[self.process :: self.num_processes] or [-1 - batch[0]]


class SharedExamples(Dataset[Mapping[str, Any]]):
    """A data set in which -1 minus the number of an item gives the item without its label."""

    def __init__(self, examples: Any) -> None:
        self.examples = examples

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, number: int) -> Mapping[str, Any]:
        if number >= 0:
            return dict(self.examples[number])
        example = dict(self.examples[-1 - number])
        labels = example["labels"]
        if isinstance(labels, list | tuple):
            return {**example, "labels": [NO_LABEL] * len(labels)}
        return {**example, "labels": torch.full_like(labels, NO_LABEL) if torch.is_tensor(labels) else NO_LABEL}


def share(dataloader: DataLoader[Any], process: int, num_processes: int) -> DataLoader[Any]:
    """Return a DataLoader with the share of one process.

    Args:
        dataloader: Its order must be the same in all processes, as with a batch sampler that has a seed and
            `set_epoch`, or without shuffling.
        process: The number of this process, from 0.
        num_processes: How many there are.

    Raises:
        ValueError: Its order differs between processes.
    """
    sampler = dataloader.batch_sampler
    shuffled = isinstance(getattr(sampler, "sampler", None), torch.utils.data.RandomSampler)
    if shuffled and not hasattr(sampler, "set_epoch"):
        raise ValueError("each process would shuffle in its own order; pass a batch sampler with set_epoch")
    set_epoch(dataloader, 0)
    return DataLoader(
        SharedExamples(dataloader.dataset),
        batch_sampler=SharedBatches(sampler, process, num_processes),
        collate_fn=dataloader.collate_fn,
        generator=dataloader.generator,
    )
