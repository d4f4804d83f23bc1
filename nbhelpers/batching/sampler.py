"""Which examples make a batch, and how much padding they need."""

from __future__ import annotations

import itertools
import random
from array import array
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler


class TokenBudgetSampler(Sampler[list[int]]):
    """Draw batches of similar length with at most `max_tokens` tokens (padding included) and `batch_size` items.

    Items are sorted by length, with equal lengths in random order. The sorted items are cut into batches, and the
    batches are shuffled. The cuts depend on the lengths alone, so every epoch has the same number of batches:
    learning-rate schedules and resuming rely on that. The order depends on `seed` and the epoch, and not on random
    numbers that were drawn before.

    Sorting by length has two costs, and `batch_size` limits both. A long text counts a little more in the mean over its
    batch, because there are fewer of them. And short texts ("Yeah."), mostly neutral, end up in the same batches.

    Args:
        lengths: The number of tokens of each item.
        max_tokens: The token budget of a batch. A longer item gets a batch of its own.
        batch_size: The largest number of items in a batch; None sets no limit.
        shuffle: False keeps the batches sorted, for evaluation.
        seed: For the order.

    Raises:
        ValueError: `lengths` is empty, or a limit is below 1.

    >>> sampler = TokenBudgetSampler([3, 9, 3, 4, 20], max_tokens=12, shuffle=False)
    >>> list(sampler)
    [[0, 2, 3], [1], [4]]
    """

    def __init__(
        self,
        lengths: Sequence[int],
        max_tokens: int,
        batch_size: int | None = None,
        *,
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        if not len(lengths):
            raise ValueError("there is nothing to batch: lengths is empty; pass at least one example")
        if max_tokens < 1 or (batch_size is not None and batch_size < 1):
            raise ValueError(f"max_tokens={max_tokens} and batch_size={batch_size} must both be at least 1")
        self.lengths, self.shuffle, self.seed, self.epoch = torch.tensor(array("q", lengths)), shuffle, seed, 0
        self.cuts = [0]  # the position in the sorted items where each batch starts, and at last their number
        for position, length in enumerate(self.lengths.sort().values.tolist()):
            num_items = position - self.cuts[-1] + 1  # in the current batch, this item included
            # The items are sorted, so this one is the longest of its batch and all others are padded to its length.
            too_large = num_items * length > max_tokens or (batch_size is not None and num_items > batch_size)
            if num_items > 1 and too_large:
                self.cuts.append(position)
        self.cuts.append(len(self.lengths))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, whose order the next pass has."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.cuts) - 1

    def __iter__(self) -> Iterator[list[int]]:
        rng = random.Random(f"{self.seed}-{self.epoch}")  # its own generator: dropout's random numbers are untouched
        items, batches = array("q", range(len(self.lengths))), list(itertools.pairwise(self.cuts))
        if self.shuffle:
            rng.shuffle(items)
            rng.shuffle(batches)
        order = torch.tensor(items)
        order = order[self.lengths[order].argsort(stable=True)]  # equal lengths stay in shuffled order
        yield from (order[start:end].tolist() for start, end in batches)


def padding_share(lengths: Sequence[int], batches: Sequence[Sequence[int]] | None = None, padded_to: int = 0) -> float:
    """Compute the share of padding among all tokens that the model would process, from 0 (no padding) to below 1.

    Args:
        lengths: The number of tokens of each item; without items, a ValueError is raised.
        batches: The indices of the items in each batch, which is padded to its longest item; by default one batch.
        padded_to: Pad every item to at least this length, as `padding="max_length"` does in many tutorials.

    >>> padding_share([3, 9], padded_to=128), padding_share([3, 9]), padding_share([3, 9], batches=[[0], [1]])
    (0.953125, 0.33333333333333337, 0.0)
    """
    if not len(lengths):
        raise ValueError("lengths is empty, so there is no padding to measure; pass at least one length")
    batches = [range(len(lengths))] if batches is None else batches
    num_tokens = sum(lengths[item] for batch in batches for item in batch)
    num_processed = sum(len(batch) * max([padded_to, *(lengths[item] for item in batch)]) for batch in batches)
    return 1 - num_tokens / num_processed
