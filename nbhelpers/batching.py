"""Batches for short texts: tokenize once, group texts of similar length, and pad each batch only to its longest text.

MELD's turns have about 12 tokens. Padding each of them to 128 would spend nine tenths of the work on padding. How to
use it: copy this file into your project (it needs torch, and a transformers tokenizer), tokenize, and iterate:

    examples = tokenize(["I love it.", "No."], tokenizer, labels=[1, 0])
    dataloader = make_dataloader(examples, tokenizer.pad_token_id, max_tokens=4096, batch_size=32)
    for epoch in range(3):
        dataloader.batch_sampler.set_epoch(epoch)
        for batch in dataloader:
            loss = model(**batch).loss
"""

from __future__ import annotations

import itertools
import random
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

NO_LABEL = -100  # torch's and transformers' mark for a position that does not count in the loss


def tokenize(
    texts: Sequence[str],
    tokenizer: Any,
    *,
    pairs: Sequence[str] | None = None,
    labels: Sequence[Any] | None = None,
    max_length: int | None = None,
) -> list[dict[str, Any]]:
    """Turn texts into examples: one dict per text with "input_ids" (a list without padding) and, if given, "labels".

    Token types are left out. They are all 0 then, also for pairs, whose texts are told apart by the separator between
    them, as in RoBERTa. So no program that uses the model later has to pass them.

    Args:
        texts: Strings [items].
        tokenizer: A transformers tokenizer; it adds its special tokens.
        pairs: Strings [items], the second text of each pair. The longer text of a pair is cut first.
        labels: Integers [items], or, where an item can have several labels, 0 and 1 [items, classes].
        max_length: Cut longer texts to this many tokens; by default `tokenizer.model_max_length`.

    Raises:
        ValueError: The columns differ in length, a text is not a string, or the model reads fewer tokens.

    >>> def tokenizer(texts, truncation, max_length):  # a stand-in: each word becomes its length
    ...     return {"input_ids": [[0, *map(len, text.split()), 2] for text in texts]}
    >>> tokenize(["I love it."], tokenizer, labels=[1])
    [{'input_ids': [0, 1, 4, 3, 2], 'labels': 1}]
    """
    texts, labels = list(texts), None if labels is None else list(labels)  # by position, whatever index they have
    for name, column in (("labels", labels), ("pairs", pairs)):
        if column is not None and len(column) != len(texts):
            raise ValueError(f"there are {len(texts)} texts, but {len(column)} {name}; each text needs exactly one")
    for row, text in enumerate([*texts, *([] if pairs is None else pairs)]):
        if not isinstance(text, str):
            raise ValueError(f"text {row} is {type(text).__name__}, not a string; drop or fill missing texts first")
    if max_length and max_length > getattr(tokenizer, "model_max_length", max_length):
        raise ValueError(f"max_length={max_length}, but the model reads at most {tokenizer.model_max_length} tokens")
    if not texts:  # tokenizers raise an IndexError for an empty list
        return []
    both = (texts,) if pairs is None else (texts, list(pairs))
    encoded = tokenizer(*both, truncation=True, max_length=max_length)
    columns = {"input_ids": encoded["input_ids"]}
    if hasattr(tokenizer, "backend_tokenizer"):
        # Otherwise `save_pretrained` would write this truncation into tokenizer.json, for every program.
        tokenizer.backend_tokenizer.no_truncation()
    if labels is not None:
        columns["labels"] = [list(x) if isinstance(x, list | tuple) else int(x) for x in labels]
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


class Collator:
    """Turn a list of examples into one batch of tensors, padded to the longest example.

    Args:
        pad_token_id: Fills "input_ids": 1 for RoBERTa, 0 for BERT; take `tokenizer.pad_token_id`.
        pad_to_multiple_of: Round the padded length up to a multiple of this, such as 8 for the tensor cores of a GPU.

    Returns (when called):
        "input_ids" and "attention_mask" [batch, tokens], and "labels" [batch]. Labels that are lists (of each token, or
        of each turn) become [batch, longest list], filled with -100. Other columns are handled like the labels and
        filled with 0. A column of strings raises a ValueError.

    >>> batch = Collator(pad_token_id=1)([{"input_ids": [0, 7, 2], "labels": 4}, {"input_ids": [0, 2], "labels": 5}])
    >>> batch["input_ids"].tolist(), batch["attention_mask"].tolist(), batch["labels"].tolist()
    ([[0, 7, 2], [0, 2, 1]], [[1, 1, 1], [1, 1, 0]], [4, 5])
    """

    def __init__(self, pad_token_id: int, pad_to_multiple_of: int = 1) -> None:
        self.padding_values = {"input_ids": pad_token_id, "labels": NO_LABEL}
        self.pad_to_multiple_of = pad_to_multiple_of

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        lengths = [len(example["input_ids"]) for example in examples]
        padded_length = round_up(max(lengths), self.pad_to_multiple_of)
        attention_mask = [[1] * length + [0] * (padded_length - length) for length in lengths]
        batch = {"attention_mask": torch.tensor(attention_mask)}
        for name in examples[0]:
            column = [example[name] for example in examples]
            if isinstance(column[0], str):
                raise ValueError(f"column {name!r} holds strings; keep only the model's inputs and the labels")
            if isinstance(column[0], list):
                sizes = [len(row) for row in column]
                # A list per token must become as long as "input_ids". A list per turn is shorter, and rounding its
                # length up would only add work.
                size = padded_length if sizes == lengths else max(sizes)
                padding = self.padding_values.get(name, 0)
                column = [row + [padding] * (size - len(row)) for row in column]
            batch[name] = torch.tensor(column)
        return batch


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
) -> DataLoader[Any]:
    """Make a DataLoader that gives padded batches of similar length (see `TokenBudgetSampler` and `Collator`).

    Call `dataloader.batch_sampler.set_epoch(epoch)` before each pass; otherwise all epochs have the same order.

    Args:
        examples: From `tokenize`, or any dicts with "input_ids" [tokens]. `lengths` are their tokens, if known.
        pad_token_id, pad_to_multiple_of: As in `Collator`.
        max_tokens, batch_size, shuffle, seed: As in `TokenBudgetSampler`.

    Raises:
        ValueError: There are no examples, or a limit is below 1.

    >>> examples = [{"input_ids": [5] * length, "labels": 0} for length in (2, 3, 9)]
    >>> dataloader = make_dataloader(examples, pad_token_id=0, max_tokens=10)
    >>> sorted(tuple(batch["input_ids"].shape) for batch in dataloader)
    [(1, 9), (2, 3)]
    """
    known = [len(example["input_ids"]) for example in examples] if lengths is None else lengths
    padded = (round_up(int(length), pad_to_multiple_of) for length in known)
    sampler = TokenBudgetSampler(list(padded), max_tokens, batch_size, shuffle=shuffle, seed=seed)
    collator = Collator(pad_token_id, pad_to_multiple_of)
    # A DataLoader draws a number at each start. From a generator of its own it does not change the random numbers of
    # dropout: otherwise evaluating on dev would change the training that follows.
    generator = torch.Generator().manual_seed(seed)
    return DataLoader(examples, batch_sampler=sampler, collate_fn=collator, generator=generator)  # type: ignore[arg-type]


def round_up(length: int, multiple: int) -> int:
    """Round a length up to the next multiple.

    >>> round_up(9, 8), round_up(16, 8)
    (16, 16)
    """
    return -(-length // multiple) * multiple


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
