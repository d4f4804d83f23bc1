"""Batches for short texts: tokenize once, sort by length, cut by a token budget, pad only to the longest of the batch.

MELD's turns have about 12 tokens; padding each to 128 spends nine tenths of the work on padding.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler


def tokenize(
    texts: Sequence[str], tokenizer: Any, *, labels: Sequence[int] | None = None, max_length: int | None = None
) -> list[dict[str, Any]]:
    """Texts -> examples: one dict per text with "input_ids" (a list, not padded) and, when given, its "labels".

    Args:
        texts: [items] strings.
        tokenizer: a transformers tokenizer; it adds its special tokens. Token types are left out: for single texts
            they are all 0, which is what BERT assumes without them, and RoBERTa has none.
        labels: [items] integers.
        max_length: longer texts are cut to this many tokens; default `tokenizer.model_max_length`.

    Raises ValueError when texts and labels differ in number, or a text is not a string.
    """
    if labels is not None and len(labels) != len(texts):
        raise ValueError(f"{len(texts)} texts, but {len(labels)} labels; each text needs exactly one")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"text {row} is {type(text).__name__}, not a string; drop or fill missing texts first")
    if len(texts) == 0:
        return []
    input_ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    if labels is None:
        return [{"input_ids": ids} for ids in input_ids]
    return [{"input_ids": ids, "labels": int(label)} for ids, label in zip(input_ids, labels, strict=True)]


class Collator:
    """Examples -> one batch of tensors, padded to the longest example (rounded up to a multiple, if asked).

    A class and not a closure so that a DataLoader's worker processes can receive it.

    Args:
        pad_token_id: what fills "input_ids" (RoBERTa 1, BERT 0: take `tokenizer.pad_token_id`).
        pad_to_multiple_of: round the length up; 8 suits GPU tensor cores, on a CPU it only adds work.

    Raises ValueError (when called) for a column of strings.

    Returns (when called): "input_ids" and "attention_mask" [batch, tokens], "labels" [batch] or, for labels that are
    lists (one per token, or one per turn of a dialogue), [batch, longest list] filled with -100.

    >>> batch = Collator(pad_token_id=1)([{"input_ids": [0, 7, 2], "labels": 4}, {"input_ids": [0, 2], "labels": 5}])
    >>> batch["input_ids"].tolist(), batch["attention_mask"].tolist(), batch["labels"].tolist()
    ([[0, 7, 2], [0, 2, 1]], [[1, 1, 1], [1, 1, 0]], [4, 5])
    """

    def __init__(self, pad_token_id: int, pad_to_multiple_of: int = 1) -> None:
        self.fill = {"input_ids": pad_token_id, "labels": -100}  # all else is filled with 0
        self.pad_to_multiple_of = pad_to_multiple_of

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        lengths = [len(example["input_ids"]) for example in examples]
        width = -(-max(lengths) // self.pad_to_multiple_of) * self.pad_to_multiple_of  # rounded up
        batch = {"attention_mask": torch.tensor([[1] * n + [0] * (width - n) for n in lengths])}
        for name in examples[0]:
            column = [example[name] for example in examples]
            if isinstance(column[0], str):
                raise ValueError(f"column {name!r} holds strings; keep only what the model reads, and labels")
            if isinstance(column[0], list):
                sizes = [len(row) for row in column]
                longest = width if sizes == lengths else max(sizes)  # one entry per token, or fewer: one per turn
                column = [row + [self.fill.get(name, 0)] * (longest - len(row)) for row in column]
            batch[name] = torch.tensor(column)
        return batch


class TokenBudgetSampler(Sampler[list[int]]):
    """Batches of similar length that hold at most `max_tokens` tokens (padding included) and `batch_size` items.

    Items are sorted by length, equal lengths in random order, the sorted row is cut into batches, and the batches are
    shuffled. Cuts depend on the lengths alone, so the number of batches is the same in each epoch: learning-rate
    schedules and resuming rely on that. The order depends on `seed` and the epoch, not on what ran before.

    The price: a batch of short texts holds more items than one of long texts, so that in a mean over the batch a long
    text weighs a little more, and labels that go with length ("Yeah." is neutral) come together. `batch_size` bounds
    both.

    Args:
        lengths: tokens of each item.
        max_tokens: budget of one batch. One longer item still gets a batch of its own.
        batch_size: at most this many items.
        shuffle: False keeps sorted batches, for evaluation.
        seed: of the order.

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
        if len(lengths) == 0:
            raise ValueError("there is nothing to batch: lengths is empty")
        if max_tokens < 1 or (batch_size is not None and batch_size < 1):
            raise ValueError(f"max_tokens={max_tokens}, batch_size={batch_size}: both must be at least 1")
        self.lengths, self.shuffle, self.seed, self.epoch = list(lengths), shuffle, seed, 0
        self.cuts = [0]  # positions in the sorted row where a batch starts
        for position, length in enumerate(sorted(self.lengths)):
            items = position - self.cuts[-1] + 1  # with this one; sorted, so it is the longest of its batch
            if items > 1 and (items * length > max_tokens or items > (batch_size or items)):
                self.cuts.append(position)
        self.cuts.append(len(self.lengths))

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next pass gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.cuts) - 1

    def __iter__(self) -> Iterator[list[int]]:
        order = list(range(len(self.lengths)))
        rng = random.Random(f"{self.seed}-{self.epoch}")
        if self.shuffle:
            rng.shuffle(order)
        order.sort(key=self.lengths.__getitem__)  # stable: equal lengths stay in shuffled order
        batches = [order[start:end] for start, end in zip(self.cuts, self.cuts[1:], strict=False)]
        if self.shuffle:
            rng.shuffle(batches)
        yield from batches


def make_dataloader(
    examples: Sequence[Mapping[str, Any]],
    pad_token_id: int,
    *,
    max_tokens: int = 4096,
    batch_size: int | None = 32,
    shuffle: bool = True,
    seed: int = 0,
    pad_to_multiple_of: int = 1,
) -> DataLoader[Any]:
    """A DataLoader of padded token-budget batches over the examples that `tokenize` gives.

    It draws from a generator of its own: reading the dev set does not change the dropout of the training that follows.
    Call `dataloader.batch_sampler.set_epoch(epoch)` before each pass (`training.fit` does); else all have the same order.

    >>> batches = make_dataloader([{"input_ids": [5] * n, "labels": 0} for n in (2, 3, 9)], pad_token_id=0, max_tokens=10)
    >>> sorted(tuple(batch["input_ids"].shape) for batch in batches)
    [(1, 9), (2, 3)]
    """
    lengths = [
        -(-len(example["input_ids"]) // pad_to_multiple_of) * pad_to_multiple_of for example in examples
    ]  # as padded
    sampler = TokenBudgetSampler(lengths, max_tokens, batch_size, shuffle=shuffle, seed=seed)
    collate, generator = Collator(pad_token_id, pad_to_multiple_of), torch.Generator().manual_seed(seed)
    return DataLoader(examples, batch_sampler=sampler, collate_fn=collate, generator=generator)  # type: ignore[arg-type]


def padding_share(lengths: Sequence[int], batches: Sequence[Sequence[int]] | None = None, padded_to: int = 0) -> float:
    """The share of padding among all tokens the model would process: 0 (none) to 1.

    Args:
        lengths: tokens of each item.
        batches: indices of each batch, each padded to its longest item; default: one batch of everything.
        padded_to: pad every item to at least this length (the `padding="max_length"` of many tutorials).

    >>> padding_share([3, 9], padded_to=128), padding_share([3, 9]), padding_share([3, 9], batches=[[0], [1]])
    (0.953125, 0.33333333333333337, 0.0)
    """
    if len(lengths) == 0:
        raise ValueError("there are no lengths to add up")
    batches = [range(len(lengths))] if batches is None else batches
    processed = sum(len(batch) * max([padded_to, *(lengths[i] for i in batch)]) for batch in batches)
    return 1 - sum(lengths[i] for batch in batches for i in batch) / processed
