"""A DataLoader of padded batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader

from .collator import Collator, round_up, smallest_that_holds
from .sampler import TokenBudgetSampler


def make_dataloader(
    examples: Sequence[Mapping[str, Any]],
    pad_token_id: int,
    *,
    max_tokens: int = 4096,
    batch_size: int | None = 32,
    shuffle: bool = True,
    seed: int = 0,
    pad_to_multiple_of: int = 1,
    lengths: Sequence[int] | None = None,
    padded_lengths: Sequence[int] | None = None,
) -> DataLoader[Any]:
    """Make a DataLoader that gives padded batches of similar length (see `TokenBudgetSampler` and `Collator`).

    Call `dataloader.batch_sampler.set_epoch(epoch)` before each pass; otherwise all epochs have the same order.

    Args:
        examples: From `tokenize`, or any dicts with "input_ids" [tokens]. `lengths` are their tokens, if known.
        pad_token_id, pad_to_multiple_of: As in `Collator`.
        max_tokens, batch_size, shuffle, seed: As in `TokenBudgetSampler`.
        padded_lengths: Pad to one of these lengths, and fill up batches that are not full, so that there is one shape
            of batch for each length. CUDA graphs need few shapes. See `shapes` of `Collator`.

    Raises:
        ValueError: There are no examples, an example is longer than all `padded_lengths`, or a limit is below 1.

    >>> examples = [{"input_ids": [5] * length, "labels": 0} for length in (2, 3, 9)]
    >>> dataloader = make_dataloader(examples, pad_token_id=0, max_tokens=10)
    >>> sorted(tuple(batch["input_ids"].shape) for batch in dataloader)
    [(1, 9), (2, 3)]
    >>> dataloader = make_dataloader(examples, pad_token_id=0, max_tokens=16, padded_lengths=(4, 16))
    >>> sorted(tuple(batch["input_ids"].shape) for batch in dataloader)
    [(1, 16), (4, 4)]
    """
    known = [len(example["input_ids"]) for example in examples] if lengths is None else lengths
    if padded_lengths:
        padded = [smallest_that_holds(int(length), padded_lengths) for length in known]
        shapes = {length: min(batch_size or max_tokens, max(1, max_tokens // length)) for length in padded_lengths}
        collator = Collator(pad_token_id, shapes=shapes)
    else:
        padded = [round_up(int(length), pad_to_multiple_of) for length in known]
        collator = Collator(pad_token_id, pad_to_multiple_of)
    sampler = TokenBudgetSampler(padded, max_tokens, batch_size, shuffle=shuffle, seed=seed)
    # A DataLoader draws a number at each start. From a generator of its own it does not change the random numbers of
    # dropout: otherwise evaluating on dev would change the training that follows.
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(examples, batch_sampler=sampler, collate_fn=collator, generator=generator)  # type: ignore[arg-type]
