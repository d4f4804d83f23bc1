"""The error of this unit, and the checks that several of its functions need."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class PruningError(ValueError):
    """A model whose architecture cannot be pruned in this way. The message says which, and what to do."""


def check_amount(amount: float) -> None:
    """Raise ValueError unless a share is one that can be removed."""
    if not 0 <= amount < 1:
        raise ValueError(f"amount={amount}: pass the share to remove, from 0 to below 1")


def check_importance(importance: Sequence[Tensor], sizes: Sequence[int]) -> None:
    """Raise ValueError unless there is one number for each part of each layer.

    Args:
        importance: a tensor [parts] per layer.
        sizes: the number of heads or units of each layer.
    """
    found = [tensor.numel() for tensor in importance]
    if found != list(sizes):
        raise ValueError(
            f"the importance has {found} numbers for the layers, but the model has {list(sizes)} parts; measure it on "
            "the model that you prune"
        )
