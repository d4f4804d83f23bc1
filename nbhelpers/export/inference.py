"""Logits of a torch model or an exported model, called in the same way.

A `logits_fn` is a function from a batch to logits. `make_logits_fn` makes one from a torch model, and an `OnnxModel` is
one itself. Everything in this unit that runs a model takes a `logits_fn`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

Batch = Mapping[str, Tensor]
LogitsFn = Callable[[Batch], Tensor]  # batch -> logits [batch, classes], or [batch, turns, classes]


def make_logits_fn(model: nn.Module) -> LogitsFn:
    """Make a function from a torch model that is called like an exported model.

    Args:
        model: a transformers classifier, on any device and in any precision. It is put into evaluation mode now; after
            further training, make a new function, or call `model.eval()` yourself.

    Returns:
        A function from a batch, a dict of tensors, to logits in fp32 on the CPU.

    >>> import transformers
    >>> sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    >>> model = transformers.BertForSequenceClassification(transformers.BertConfig(num_labels=3, **sizes))
    >>> logits_fn = make_logits_fn(model)
    >>> logits_fn({"input_ids": torch.tensor([[2, 7, 3], [2, 9, 3]])}).shape
    torch.Size([2, 3])
    """
    model.eval()
    device = next(model.parameters()).device

    def logits_fn(batch: Batch) -> Tensor:
        with torch.inference_mode():
            return model(**{name: tensor.to(device) for name, tensor in batch.items()}).logits.float().cpu()

    return logits_fn


def predict(logits_fn: LogitsFn, dataloader: DataLoader[Any]) -> Tensor:
    """Compute the logits of a whole data set, in its own order even if the DataLoader shuffles.

    Args:
        logits_fn: an `OnnxModel`, or `make_logits_fn(model)`.
        dataloader: batches that are dicts of tensors. Labels are not read, and the data may have none.

    Returns:
        Logits [items, classes]. An item is a text, or a turn if the model classifies the turns of dialogues.

    >>> rows = [{"input_ids": torch.tensor([0, row])} for row in range(4)]
    >>> predict(lambda batch: batch["input_ids"].float(), DataLoader(rows, batch_size=3, shuffle=True))[:, 1]
    tensor([0., 1., 2., 3.])
    """
    logits: dict[int, Tensor] = {}  # index in the data set -> logits [turns, classes]
    # going over the indices, not the DataLoader: its batches do not tell which examples they contain
    for indices in dataloader.batch_sampler or ():
        batch = dataloader.collate_fn([dataloader.dataset[index] for index in indices])
        logits |= zip(indices, logits_per_example(logits_fn, batch), strict=True)
    return torch.cat([logits[index] for index in range(len(logits))])


def logits_per_example(logits_fn: LogitsFn, batch: Batch) -> list[Tensor]:
    """Compute the logits of each example of a batch, without those of turns that are only padding.

    Args:
        logits_fn: an `OnnxModel`, or `make_logits_fn(model)`.
        batch: a dict of tensors, with "ends" [batch, turns] if the model classifies turns. Labels are not read.

    Returns:
        For each example its logits [turns, classes]; a text counts as one turn.
    """
    logits = logits_fn({name: tensor for name, tensor in batch.items() if name != "labels"})
    if logits.ndim == 2:  # [batch, classes]
        return list(logits.unsqueeze(1))
    # a turn that only pads the batch ends at token 0
    return [turns[is_turn] for turns, is_turn in zip(logits, batch["ends"] > 0, strict=True)]
