"""F1 of each class, of all classes and of the rarest ones, fast enough to be computed thousands of times."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .counts import NO_LABEL


def f1_per_class(labels: Tensor, predictions: Tensor, num_classes: int) -> Tensor:
    """Compute the F1 of each class, float64 [classes]: 2 * hits / (gold rows + predicted rows), and 0 for 0 / 0.

    Args:
        labels: Gold classes [items]; rows with -100 do not count.
        predictions: Predicted classes [items].
        num_classes: The number of classes.

    Raises:
        ValueError: The columns differ in length.

    >>> f1_per_class(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), num_classes=3)
    tensor([0.6667, 0.6667, 0.0000], dtype=torch.float64)
    """
    if labels.shape != predictions.shape:
        raise ValueError(f"{len(labels)} labels, but {len(predictions)} predictions; pass the same rows in both")
    labels, predictions = labels[labels != NO_LABEL], predictions[labels != NO_LABEL]
    columns = (labels[labels == predictions], labels, predictions)
    hits, gold, predicted = (torch.bincount(column, minlength=num_classes).double() for column in columns)
    return 2 * hits / (gold + predicted).clamp(min=1)


def macro_f1(labels: Tensor, predictions: Tensor, num_classes: int) -> float:
    """Compute the mean F1 of all classes, as scikit-learn does with `labels=range(num_classes), zero_division=0`.

    >>> round(macro_f1(torch.tensor([0, 0, 1]), torch.tensor([0, 1, 1]), num_classes=2), 4)
    0.6667
    """
    return f1_per_class(labels, predictions, num_classes).mean().item()


def rarest_classes(counts: Sequence[int] | Tensor, k: int) -> list[int]:
    """List the k classes with the fewest training rows, the rarest first; in a tie the lower class number.

    Counted in train, so that the list is the same for all splits and does not depend on the rows that are scored.

    Raises:
        ValueError: There are fewer than k classes, or k is below 1.

    >>> rarest_classes([50, 3, 20, 3], k=3)
    [1, 3, 2]
    """
    rows = torch.as_tensor(counts)
    if not 1 <= k <= len(rows):
        raise ValueError(f"k={k}, but there are {len(rows)} classes; pass a number from 1 to {len(rows)}")
    return rows.argsort(stable=True)[:k].tolist()


def rarest_f1(labels: Tensor, predictions: Tensor, counts: Sequence[int] | Tensor, k: int) -> float:
    """Compute the mean F1 of the k rarest classes. A class with few rows in `labels` makes it a very uncertain number.

    Args:
        labels: Gold classes [items]; rows with -100 do not count.
        predictions: Predicted classes [items].
        counts: The training rows of each class [classes], from `count_labels`.
        k: How many of the rarest classes.

    >>> rarest_f1(torch.tensor([0, 0, 1]), torch.tensor([0, 0, 0]), counts=[50, 3], k=1)
    0.0
    """
    return f1_per_class(labels, predictions, len(counts))[rarest_classes(counts, k)].mean().item()
