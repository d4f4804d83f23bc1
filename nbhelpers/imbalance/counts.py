"""How often each class occurs in train, and what follows from it: priors and class weights."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

NO_LABEL = -100  # torch's and transformers' mark for a position that does not count in the loss


def count_labels(labels: Sequence[int] | Tensor, num_classes: int) -> Tensor:
    """Count the training rows of each class.

    Args:
        labels: The training labels, integers of any shape, also a numpy array or a pandas column; -100 does not count.
        num_classes: The number of classes.

    Returns:
        Integers [classes].

    Raises:
        ValueError: A label is not a class.

    >>> count_labels([0, 0, 1, -100], num_classes=3)
    tensor([2, 1, 0])
    """
    values = torch.tensor(getattr(labels, "tolist", lambda: list(labels))(), dtype=torch.int64).flatten()
    values = values[values != NO_LABEL]
    outside = values[(values < 0) | (values >= num_classes)]
    if len(outside):
        raise ValueError(f"label {outside[0]} is not one of the classes 0 to {num_classes - 1}; check num_classes")
    return torch.bincount(values, minlength=num_classes)


def log_prior(counts: Sequence[int] | Tensor) -> Tensor:
    """Compute the logarithm of each class's share of the training rows, float32 [classes].

    Args:
        counts: The training rows of each class [classes], from `count_labels`. If a sampler changes how often classes
            occur in training, count what it draws.

    Raises:
        ValueError: A class has no row. Its prior is 0, and the logarithm of 0 is not a number to compute with. Public
            code often adds 1e-12 to the priors. Subtracting such a log prior adds 27.6 to the logit of the class,
            so that it is predicted for every row.

    >>> log_prior([9, 1]).exp()
    tensor([0.9000, 0.1000])
    """
    rows = check_counts(counts)
    return (rows / rows.sum()).log().float()


def inverse_frequency_weights(counts: Sequence[int] | Tensor, *, power: float = 1.0) -> Tensor:
    """Compute class weights proportional to 1 / n_c ** power (n_c: training rows of class c), with mean 1 over rows.

    Mean 1 over the training rows, because then the loss and the gradient are as large as without weights, and the
    learning rate still fits. Weights with mean 1 over the classes, as many papers have them, make the loss smaller by
    a factor that depends on the imbalance: 0.36 for 9 and 1 rows. For SGD that is a change of learning rate in
    disguise. AdamW divides by the size of the gradient, but its loss cannot be compared with that of other runs.

    Args:
        counts: The training rows of each class [classes], from `count_labels`.
        power: 1 lets every class contribute equally (scikit-learn's "balanced"), 0.5 is the square root of it, and 0
            gives all rows the same weight.

    Returns:
        Weights [classes], float32.

    Raises:
        ValueError: A class has no row, so that its weight would be infinite.

    >>> inverse_frequency_weights([9, 1])  # 10 rows / (2 classes * 9), and 10 / (2 * 1)
    tensor([0.5556, 5.0000])
    >>> inverse_frequency_weights([9, 1], power=0.5)  # 1/3 and 1, times 10 / (9 * 1/3 + 1)
    tensor([0.8333, 2.5000])
    """
    rows = check_counts(counts)
    return with_mean_1(rows**-power, rows)


def effective_number_weights(counts: Sequence[int] | Tensor, *, beta: float = 0.999) -> Tensor:
    """Compute class weights proportional to 1 / E_c, where E_c is the effective number of rows, with mean 1 over rows.

        E_c = (1 - beta ** n_c) / (1 - beta)

    The idea is that rows of a class overlap, so that more of them bring less and less; E_c approaches 1 / (1 - beta).
    For classes with far fewer rows than that, the weights are those of the inverse frequency; classes with far more
    all have the same weight. Source: Cui et al. 2019, arXiv 1901.05555, which divides by the mean over classes
    instead (see `inverse_frequency_weights`) and tries beta = 0.9, 0.99, 0.999 and 0.9999.

    Args:
        counts: The training rows of each class [classes], from `count_labels`.
        beta: Above 0 and below 1.

    Returns:
        Weights [classes], float32.

    Raises:
        ValueError: A class has no row, or `beta` is out of range.

    >>> effective_number_weights([2, 1], beta=0.5)  # E = 1.5 and 1: weights in the ratio 2 to 3
    tensor([0.8571, 1.2857])
    """
    if not 0 < beta < 1:
        raise ValueError(f"beta={beta}: pass a number above 0 and below 1, such as 0.999")
    rows = check_counts(counts)
    # 1 - beta ** n without the rounding error of the subtraction, which is large where beta is close to 1
    effective_number = -torch.expm1(rows * torch.tensor(beta, dtype=torch.float64).log())
    return with_mean_1(1 / effective_number, rows)  # the factor 1 - beta cancels


def with_mean_1(weights: Tensor, rows: Tensor) -> Tensor:
    """Scale class weights [classes] so that their mean over all training rows is 1."""
    return (weights * rows.sum() / (weights * rows).sum()).float()


def check_counts(counts: Sequence[int] | Tensor) -> Tensor:
    """Check that every class has a training row, and return the counts in double precision on the CPU, [classes].

    >>> check_counts([5, 0])
    Traceback (most recent call last):
    ...
    ValueError: class 1 has no training row, so its prior is 0; merge it with another class or leave it out
    """
    rows = torch.as_tensor(counts, dtype=torch.float64, device="cpu")
    if not (rows > 0).all():
        empty = ", ".join(str(index) for index in (~(rows > 0)).nonzero().flatten().tolist())
        raise ValueError(
            f"class {empty} has no training row, so its prior is 0; merge it with another class or leave it out"
        )
    return rows
