"""From examples to one batch of tensors, with padding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

NO_LABEL = -100  # torch's and transformers' mark for a position that does not count in the loss


class Collator:
    """Turn a list of examples into one batch of tensors, padded to the longest example.

    Args:
        pad_token_id: Fills "input_ids": 1 for RoBERTa, 0 for BERT; take `tokenizer.pad_token_id`.
        pad_to_multiple_of: Round the padded length up to a multiple of this, such as 8 for the tensor cores of a GPU.
        shapes: Padded length -> number of items. Pad to the smallest of these lengths, and fill the batch up to that
            number with items that consist of one padding token and have no label. An objective that is a mean over the
            labeled items is the same with them. Not for items with several labels.

    Returns (when called):
        "input_ids" and "attention_mask" [batch, tokens], and "labels" [batch]. Labels that are lists (of each token, or
        of each turn) become [batch, longest list], filled with -100. Other columns are handled like the labels and
        filled with 0. A column of strings raises a ValueError.

    >>> batch = Collator(pad_token_id=1)([{"input_ids": [0, 7, 2], "labels": 4}, {"input_ids": [0, 2], "labels": 5}])
    >>> batch["input_ids"].tolist(), batch["attention_mask"].tolist(), batch["labels"].tolist()
    ([[0, 7, 2], [0, 2, 1]], [[1, 1, 1], [1, 1, 0]], [4, 5])
    """

    def __init__(self, pad_token_id: int, pad_to_multiple_of: int = 1, shapes: Mapping[int, int] | None = None) -> None:
        self.padding_values = {"input_ids": pad_token_id, "labels": NO_LABEL}
        self.pad_to_multiple_of = pad_to_multiple_of
        self.shapes = shapes

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        lengths = [len(example["input_ids"]) for example in examples]
        padded_length = round_up(max(lengths), self.pad_to_multiple_of)
        num_fillers = 0
        if self.shapes:
            padded_length = smallest_that_holds(max(lengths), self.shapes)
            num_fillers = self.shapes[padded_length] - len(examples)
        # A filler has one token that counts: attention to none would be NaN.
        attention_mask = [[1] * length + [0] * (padded_length - length) for length in (*lengths, *[1] * num_fillers)]
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
                column = [row + [padding] * (size - len(row)) for row in column + [[]] * num_fillers]
            else:
                column += [self.padding_values.get(name, 0)] * num_fillers
            batch[name] = torch.tensor(column)
        return batch


def round_up(length: int, multiple: int) -> int:
    """Round a length up to the next multiple.

    >>> round_up(9, 8), round_up(16, 8)
    (16, 16)
    """
    return -(-length // multiple) * multiple


def smallest_that_holds(length: int, lengths: Iterable[int]) -> int:
    """Return the smallest of some lengths that is not below this one; raise a ValueError if there is none.

    >>> smallest_that_holds(9, (8, 16, 32))
    16
    """
    longer = [each for each in lengths if each >= length]
    if not longer:
        raise ValueError(f"an item has {length} tokens, but the longest shape has {max(lengths)}; add a longer one")
    return min(longer)
