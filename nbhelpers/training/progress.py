"""What the loop remembers: the rows of its history, and the weights of the best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn


class History:
    """The measurements of a run, one dict per row.

    Args:
        log: Called with each row as soon as it is added, for instance to print it or to update a plot.

    >>> history = History(log=print)
    >>> history.add(step=1, train_loss=0.7)
    {'step': 1, 'train_loss': 0.7}
    >>> history.rows
    [{'step': 1, 'train_loss': 0.7}]
    """

    def __init__(self, log: Callable[[dict[str, float]], None]) -> None:
        self.rows: list[dict[str, float]] = []
        self.log = log

    def add(self, **row: float) -> None:
        """Append a row and pass it to `log`."""
        self.rows.append(row)
        self.log(row)


class BestWeights:
    """The weights of the epoch with the best dev score, and early stopping.

    Fine-tuning on a small data set overfits after a few epochs, so the last epoch is often not the best one.

    Args:
        patience: Stop after this many epochs in a row without a better score; None never stops.
        threshold: For patience, a score counts as better if it exceeds the best one so far by more than this. The
            weights are kept for any gain, as with transformers' EarlyStoppingCallback.

    >>> model, best = nn.Linear(1, 1), BestWeights(patience=1)
    >>> best.update(model, dev_score=0.6)
    >>> best.update(model, dev_score=0.5)
    >>> best.score, best.patience_is_used_up
    (0.6, True)
    """

    def __init__(self, patience: int | None = None, threshold: float = 0.0) -> None:
        self.patience, self.threshold = patience, threshold
        self.score = -math.inf
        self.weights: dict[str, Tensor] | None = None
        self.epochs_without_gain = 0

    def update(self, model: nn.Module, dev_score: float) -> None:
        """Take in the dev score of an epoch, and copy the model's weights if it is the best so far."""
        gained = dev_score - self.score > self.threshold
        self.epochs_without_gain = 0 if gained else self.epochs_without_gain + 1
        if dev_score > self.score:
            self.score = dev_score
            # A copy, because training changes the weights in place; on the CPU, because GPU memory is scarce.
            self.weights = {name: tensor.detach().to("cpu", copy=True) for name, tensor in model.state_dict().items()}

    @property
    def patience_is_used_up(self) -> bool:
        """Whether as many epochs in a row as `patience` allows brought no better score."""
        return self.patience is not None and self.epochs_without_gain >= self.patience

    def restore(self, model: nn.Module) -> None:
        """Load the best weights into the model. Without any score the model stays as it is."""
        if self.weights is not None:
            model.load_state_dict(self.weights)
