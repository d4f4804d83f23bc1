"""Objectives for rare classes: functions `objective(model, batch) -> loss`, each a mean over the labeled items.

The mean is a sum divided by the number of labeled items, also with class weights. So a training loop that weighs each
micro-batch by its labeled items gets exactly the gradient of the whole batch. Dividing by the sum of the weights, as
`torch.nn.CrossEntropyLoss(weight)` does, makes the share of an item depend on the others in its micro-batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .counts import NO_LABEL, log_prior


def focal_loss(
    model: nn.Module, batch: Mapping[str, Tensor], *, gamma: float = 2.0, class_weights: Tensor | None = None
) -> Tensor:
    """Focal loss: cross-entropy in which items that the model is sure of count less.

        loss = mean of -w * (1 - p) ** gamma * log p        p: probability of the item's label, w: weight of its class

    Source: Lin et al. 2017, arXiv 1708.02002, for two classes; here p comes from a softmax. The factor belongs to each
    item. Widely copied code takes the mean cross-entropy of the batch first, so that the factor is the same for all
    items and only scales the loss; other code computes p from the weighted cross-entropy, which is no probability.

    Args:
        model: Called as `model(**inputs)` without labels; its output has `.logits`, [batch, classes] or
            [batch, tokens, classes].
        batch: The model's inputs and "labels", [batch] or [batch, tokens]; -100 marks positions without a label.
        gamma: 0 gives cross-entropy, with `class_weights` weighted cross-entropy. The paper found 2 best.
        class_weights: Weights [classes], for instance from `inverse_frequency_weights`.

    Raises:
        ValueError: `gamma` is negative, the batch has no labels, or shapes and numbers of classes do not fit.

    >>> from types import SimpleNamespace
    >>> model = lambda x: SimpleNamespace(logits=torch.tensor([[0.0, 0.0], [3.0, 0.0]]))
    >>> batch = {"x": torch.zeros(2, 1), "labels": torch.tensor([0, 0])}
    >>> round(focal_loss(model, batch).item(), 4)  # (0.5 ** 2 * 0.6931 + 0.0474 ** 2 * 0.0486) / 2
    0.0867
    >>> round(focal_loss(model, batch, gamma=0.0).item(), 4)  # (0.6931 + 0.0486) / 2
    0.3709
    """
    if not gamma >= 0:
        raise ValueError(f"gamma={gamma} would make sure items count more; pass 0 or more, such as 2.0")
    logits = compute_logits(model, batch)
    losses, labels = item_losses(logits, batch["labels"])
    # 1 - p, kept above 0: for gamma below 1 the derivative of 0 ** gamma is infinite, and the gradient would be NaN.
    error = (-torch.expm1(-losses)).clamp(min=1e-12)
    losses = error**gamma * losses
    if class_weights is not None:
        check_num_classes("class weights", len(class_weights), logits)
        losses = losses * class_weights.to(losses)[labels.clamp(min=0)]
    return mean_over_labeled(losses, labels)


def logit_adjusted_loss(
    model: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    counts: Sequence[int] | Tensor,
    tau: float = 1.0,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of logits + tau * log prior: the model learns what speaks for a class beside its frequency.

    The prior is added in the loss only. For predictions use the model's logits as they are: their softmax is that of
    equally frequent classes. Subtracting the prior from them with `adjust_logits` would apply the adjustment twice.
    Adding it back, `adjust_logits(logits, counts, -tau)`, gives probabilities for the frequencies of train.

    With tau=1 this is also balanced softmax (Ren et al. 2020, arXiv 2007.10740), which adds log n_c: that differs from
    the log prior by the same number for all classes, and softmax ignores such a number.
    Source: Menon et al. 2021, arXiv 2007.07314.

    Args:
        model, batch: As in `focal_loss`.
        counts: The training rows of each class [classes], from `count_labels`.
        tau: 1 aims at the mean recall of the classes, 0 gives cross-entropy.
        label_smoothing: The share of the target that is spread evenly over all classes, 0 to 1.

    Raises:
        ValueError: A class has no training row, the batch has no labels, or the numbers of classes do not fit.

    >>> from types import SimpleNamespace
    >>> model = lambda x: SimpleNamespace(logits=torch.zeros(1, 2))
    >>> batch = {"x": torch.zeros(1, 1), "labels": torch.tensor([1])}
    >>> round(logit_adjusted_loss(model, batch, counts=[9, 1]).item(), 4)  # -log 0.1
    2.3026
    """
    logits = compute_logits(model, batch)
    prior = log_prior(counts)
    check_num_classes("counts", len(prior), logits)
    losses, labels = item_losses(logits + tau * prior.to(logits), batch["labels"], label_smoothing)
    return mean_over_labeled(losses, labels)


def compute_logits(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Call the model on the batch without its labels, and return the logits in fp32, also under autocast."""
    if "labels" not in batch:
        raise ValueError(f"the batch has no 'labels', only {', '.join(batch)}; add 'labels' to the examples")
    # With labels among its inputs, a transformers model would compute a loss of its own as well.
    logits: Tensor = model(**{name: tensor for name, tensor in batch.items() if name != "labels"}).logits
    return logits.float()


def item_losses(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Compute the cross-entropy of each item, 0 where it has no label; return it and the labels, both [items].

    >>> item_losses(torch.zeros(2, 4), torch.tensor([1, -100]))[0]
    tensor([1.3863, 0.0000])
    """
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"labels have shape {tuple(labels.shape)}, logits {tuple(logits.shape)}; pass a label per item"
        )
    num_classes = logits.shape[-1]
    logits, labels = logits.reshape(-1, num_classes), labels.reshape(-1)
    # On a GPU, torch reports a label that is not a class as "device-side assert triggered", far from its cause.
    if (((labels >= num_classes) | (labels < 0)) & (labels != NO_LABEL)).any():
        label_range = f"labels run from {labels[labels != NO_LABEL].min()} to {labels.max()}"
        raise ValueError(f"{label_range}, but the model has {num_classes} classes; load it with the data's labels")
    return F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing), labels


def mean_over_labeled(losses: Tensor, labels: Tensor) -> Tensor:
    """Divide the sum of the losses [items] by the number of labeled items; without any label the loss is 0."""
    return losses.sum() / (labels != NO_LABEL).sum().clamp(min=1)


def check_num_classes(name: str, number: int, logits: Tensor) -> None:
    """Raise a ValueError unless there is one number for each class of the logits [..., classes]."""
    if number != logits.shape[-1]:
        raise ValueError(f"{number} {name} for {logits.shape[-1]} classes; give one for each class")
