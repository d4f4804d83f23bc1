"""Oversampling: training batches in which rows of rare classes come more often."""

from __future__ import annotations

import collections
import math
import random
from collections.abc import Iterator, Sequence

from torch import Tensor
from torch.utils.data import Sampler

from .counts import NO_LABEL


class BalancedSampler(Sampler[list[int]]):
    """Draw training batches in which rows of rare classes are repeated. An epoch has as many rows as the data.

    On average, a row of class c comes n_c ** -power times per epoch, scaled to mean 1: the same numbers as
    `inverse_frequency_weights`. With 9 rows of one class and 1 of another, power 1 draws the single row 5 times, and 5
    of the other 9 rows; which ones, changes with the epoch. Each class gets its share of an epoch to within one row.
    The number of updates is the same as without the sampler, so the two can be compared.

    It takes the place of class weights or logit adjustment: with both, the correction would be applied twice. Use it
    for training only, because an evaluation must see every row once.

    Args:
        labels: The class of each row [rows], without -100.
        batch_size: Rows per batch; one batch of an epoch may have fewer.
        power: 0 draws every row once, 1 draws all classes equally often. 0.5 is between the two: square-root sampling
            (Kang et al. 2020, arXiv 1910.09217; their q is 1 - power).
        lengths: The number of tokens of each row. If given, a batch has rows of similar length, and less padding.
        seed: For the draws and their order, which depend on the seed and the epoch alone.

    Raises:
        ValueError: There are no rows, a row has no label, or a setting is out of range.

    >>> sampler = BalancedSampler([0] * 9 + [1], batch_size=5)
    >>> sum(row == 9 for batch in sampler for row in batch), len(sampler)
    (5, 2)
    """

    def __init__(
        self,
        labels: Sequence[int] | Tensor,
        batch_size: int,
        *,
        power: float = 1.0,
        lengths: Sequence[int] | None = None,
        seed: int = 0,
    ) -> None:
        self.labels = [int(label) for label in labels]
        if not self.labels or NO_LABEL in self.labels:
            raise ValueError("labels is empty or contains -100; pass the class of every row, and at least one row")
        if batch_size < 1 or not 0 <= power <= 1:
            raise ValueError(f"batch_size={batch_size} must be at least 1, and power={power} from 0 to 1")
        if lengths is not None and len(lengths) != len(self.labels):
            raise ValueError(f"{len(self.labels)} labels, but {len(lengths)} lengths; pass one of each for every row")
        counts = collections.Counter(self.labels)
        scale = len(self.labels) / sum(count ** (1 - power) for count in counts.values())
        self.repeats = {label: scale * count**-power for label, count in counts.items()}
        self.batch_size, self.seed, self.epoch = batch_size, seed, 0
        self.lengths = None if lengths is None else list(lengths)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch, from 0, whose draws the next pass has."""
        self.epoch = epoch

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        rng = random.Random(f"{self.seed}-{self.epoch}")  # its own generator: dropout's random numbers are untouched
        rows = self.draw(rng)
        if self.lengths is not None:
            rows.sort(key=self.lengths.__getitem__)  # the sort is stable, so equal lengths stay in shuffled order
        batches = [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]
        rng.shuffle(batches)
        yield from batches

    def draw(self, rng: random.Random) -> list[int]:
        """Draw the rows of an epoch, in random order.

        Systematic sampling: the rows lie on a line, one after the other and class by class. Each is as long as the
        number of its repeats, and is drawn once for each tooth of a comb that lies above it. The teeth are 1 apart.
        Independent draws with these chances, as in torch's WeightedRandomSampler, would have larger chance differences
        between epochs.
        """
        rows = list(range(len(self.labels)))
        rng.shuffle(rows)
        rows.sort(key=self.labels.__getitem__)
        # Not closer to a whole number than 0.0005, so that rounding cannot change the number of teeth.
        position = (rng.randrange(1000) + 0.5) / 1000
        drawn = []
        for row in rows:
            end = position + self.repeats[self.labels[row]]
            drawn += [row] * (math.floor(end) - math.floor(position))
            position = end
        rng.shuffle(drawn)
        return drawn
