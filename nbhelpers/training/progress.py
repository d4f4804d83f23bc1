"""What the loop remembers: the rows of its history, and the weights of the best epoch."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor, nn


class History:
    """The measurements of a run, one dict per row: a row for each update and a row for each dev score.

    Args:
        log: Called with each row as soon as there is one, for instance to print it or to update a plot.
        steps_per_epoch: Updates in one epoch, from `updates_per_epoch`.

    >>> history = History(log=print, steps_per_epoch=2)
    >>> history.add_update(train_loss=0.7, lr=1e-5)
    {'step': 1, 'epoch': 0.5, 'train_loss': 0.7, 'lr': 1e-05}
    >>> len(history.rows)
    1
    """

    def __init__(self, log: Callable[[dict[str, float]], None], steps_per_epoch: int) -> None:
        self.log, self.steps_per_epoch = log, steps_per_epoch
        self.rows: list[dict[str, float]] = []
        self.step = 0  # updates so far

    def add_update(self, train_loss: float, lr: float) -> None:
        """Add a row for an update. Its epoch is a fraction, so that losses and dev scores can share an axis."""
        self.step += 1
        self.add({"step": self.step, "epoch": self.step / self.steps_per_epoch, "train_loss": train_loss, "lr": lr})

    def add_score(self, epoch: int, dev_score: float) -> None:
        """Add a row for the dev score after an epoch."""
        self.add({"step": self.step, "epoch": epoch, "dev_score": dev_score})

    def add(self, row: dict[str, float]) -> None:
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
        """Take in the dev score of an epoch, and copy the model's weights if it is the best so far.

        Raises:
            ValueError: The score is NaN, which is neither better nor worse than another one.
        """
        if math.isnan(dev_score):
            raise ValueError("the dev score is NaN, so no epoch can be the best; look at what `evaluate` computes")
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
