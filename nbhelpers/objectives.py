"""Training objectives: what a step minimises.

An objective is any function `objective(model, batch) -> loss` where `batch` is a dict of tensors with "labels" and
`loss` is the mean over the batch's labelled items (labels that are not -100). Set its options with
`functools.partial`. Keeping to that mean is what lets a trainer add up micro-batches correctly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

IGNORED = -100  # the label of a position that has none: padding, or a sub-token that is not its word's first


def cross_entropy(
    model: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of the model's logits, averaged over the labelled items of the batch.

    Args:
        model: called as `model(**inputs)` without labels; its answer has `.logits` [batch, classes] or
            [batch, tokens, classes].
        batch: the model's inputs and "labels" [batch] or [batch, tokens]; -100 marks positions without a label.
        class_weights: [classes], for instance from `class_weights`. Weighted losses are divided by the number of
            items. `torch.nn.CrossEntropyLoss(weight)` divides by the sum of the items' weights instead, which makes an
            item's share depend on its neighbours in the batch and on how the batch is cut into micro-batches.
        label_smoothing: the share of the target spread evenly over all classes, 0 to 1 (Szegedy et al. 2016,
            arXiv 1512.00567).

    Returns: a scalar; 0 (with a gradient) when no item is labelled.

    Raises ValueError when the batch has no labels, or a label is not a class of the model.

    >>> from types import SimpleNamespace
    >>> model = lambda input_ids: SimpleNamespace(logits=torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
    >>> batch = {"input_ids": torch.zeros(2, 1), "labels": torch.tensor([0, 1])}
    >>> round(cross_entropy(model, batch).item(), 4)  # (0.1269 + 0.6931) / 2
    0.41
    >>> round(cross_entropy(model, batch, class_weights=torch.tensor([1.0, 3.0])).item(), 4)
    1.1032
    """
    logits = answer(model, batch, "labels")
    return mean_loss(logits, batch["labels"], class_weights=class_weights, label_smoothing=label_smoothing)


def mean_loss(
    logits: Tensor, labels: Tensor, *, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """The loss of `cross_entropy` for logits [..., classes] that are there already and labels [...].

    >>> round(mean_loss(torch.zeros(2, 4), torch.tensor([1, -100])).item(), 4)  # ln 4; the second item does not count
    1.3863
    """
    num_classes = logits.shape[-1]
    logits, labels = logits.float().reshape(-1, num_classes), labels.reshape(-1)
    if logits.shape[0] != labels.shape[0]:
        raise ValueError(f"{logits.shape[0]} rows of logits, but {labels.shape[0]} labels; each item needs one of each")
    if class_weights is not None and len(class_weights) != num_classes:
        raise ValueError(f"{len(class_weights)} class weights for {num_classes} classes; give one for each class")
    if (((labels >= num_classes) | (labels < 0)) & (labels != IGNORED)).any():
        raise ValueError(
            f"labels run from {labels[labels != IGNORED].min().item()} to {labels.max().item()}, but the model has "
            f"{num_classes} classes; load it with as many labels as the data has"
        )
    losses = F.cross_entropy(
        logits, labels, ignore_index=IGNORED, reduction="none", label_smoothing=label_smoothing,
        weight=None if class_weights is None else class_weights.to(logits),
    )  # fmt: skip
    return losses.sum() / (labels != IGNORED).sum().clamp(min=1)


def r_drop(
    model: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    alpha: float = 1.0,
    doubled: bool = True,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """R-Drop (Liang et al. 2021, arXiv 2106.14448): two passes with different dropout should agree.

        loss = CE_1 + CE_2 + alpha * (KL(p_1 || p_2) + KL(p_2 || p_1)) / 2

    each term a mean over the labelled items. In evaluation mode there is nothing to agree on, and the loss is
    `cross_entropy`. The gradient of this loss is about twice as long as that of `cross_entropy`; mind that where
    gradients are clipped.

    `alpha` is the paper's. Elsewhere the same letter means something else: a loss written as (CE_1 + CE_2) / 2 +
    a * (KL + KL) / 2 (the README of dropreg/R-Drop) has a = alpha / 2. Its copy of transformers' RoBERTa trains on
    CE_1 alone and sums the KL over the batch, so that its weight grows with the batch size; no alpha makes that equal
    to the paper.

    Args:
        model, batch, class_weights, label_smoothing: as in `cross_entropy`; both passes get the same.
        alpha: 0 gives two passes without the agreement. The paper tried 0.1, 0.5 and 1.0 on GLUE.
        doubled: True makes one pass over the batch twice, False two passes. Both draw a dropout mask for each copy.

    Returns: a scalar.

    Raises ValueError when the model has no dropout: both passes would be the same, and the KL term exactly 0.

    >>> model = nn.Sequential(nn.Dropout(0.5)).eval()
    >>> model.forward = lambda x: __import__("types").SimpleNamespace(logits=x)
    >>> batch = {"x": torch.tensor([[2.0, 0.0]]), "labels": torch.tensor([0])}
    >>> round(r_drop(model, batch).item(), 4)  # evaluation: one pass, no KL
    0.1269
    """
    if not model.training:
        return cross_entropy(model, batch, class_weights=class_weights, label_smoothing=label_smoothing)
    if not any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules()):
        raise ValueError("the model has no dropout, so R-Drop has nothing to compare; set one, or use cross_entropy")
    if doubled:
        twice = {name: torch.cat([value, value]) for name, value in batch.items()}
        first, second = answer(model, twice, "labels").chunk(2)
    else:
        first, second = answer(model, batch, "labels"), answer(model, batch, "labels")
    labels = batch["labels"]
    options = {"class_weights": class_weights, "label_smoothing": label_smoothing}
    loss = mean_loss(first, labels, **options) + mean_loss(second, labels, **options)  # type: ignore[arg-type]
    return loss + alpha * disagreement(first, second, labels)


def disagreement(first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
    """(KL(p || q) + KL(q || p)) / 2 of two sets of logits [..., classes], averaged over the labelled items [...].

    >>> round(disagreement(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([0])).item(), 4)
    0.4621
    """
    p, q = first.float().log_softmax(-1), second.float().log_softmax(-1)
    both = ((p.exp() - q.exp()) * (p - q)).sum(-1) / 2  # KL(p||q) + KL(q||p) = sum (p - q) (log p - log q)
    labelled = labels != IGNORED
    return both[labelled].sum() / labelled.sum().clamp(min=1)


def emotion_shift(
    model: nn.Module, batch: Mapping[str, Tensor], *, weight: float = 1.0, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy, and a term that asks whether the emotion changes from each turn of a dialogue to the next.

        loss = CE + weight * BCE(1 - sum_c p_t(c) p_t+1(c), label_t != label_t+1)

    where BCE is added up over neighbouring turns and, as CE, divided by the number of labelled turns. The probability
    of a change is that of two independent draws from the two turns' own distributions, so the term has no parameters.

    Args:
        model, batch, label_smoothing: as in `cross_entropy`, with logits [batch, turns, classes] and labels
            [batch, turns]; a pair counts when both its turns are labelled.
        weight: of the term; 0 leaves `cross_entropy`.

    >>> from types import SimpleNamespace
    >>> model = lambda x: SimpleNamespace(logits=torch.tensor([[[9.0, 0.0], [9.0, 0.0]]]))
    >>> batch = {"x": torch.zeros(1, 2), "labels": torch.tensor([[0, 1]])}  # it changes, but the model says it does not
    >>> round(emotion_shift(model, batch, weight=0.0).item(), 2), round(emotion_shift(model, batch).item(), 2)
    (4.5, 8.65)
    """
    logits, labels = answer(model, batch, "labels"), batch["labels"]
    if logits.ndim != 3:
        raise ValueError(f"logits have shape {tuple(logits.shape)}; pass whole dialogues: [batch, turns, classes]")
    loss = mean_loss(logits, labels, label_smoothing=label_smoothing)
    p = logits.float().log_softmax(-1)
    same = torch.logsumexp(p[:, :-1] + p[:, 1:], -1).clamp(max=-1e-6)  # log of the probability of no change
    changed = labels[:, :-1] != labels[:, 1:]
    terms = -torch.where(changed, torch.log(-torch.expm1(same)), same)  # [batch, turns - 1]
    pairs = (labels[:, :-1] != IGNORED) & (labels[:, 1:] != IGNORED)
    return loss + weight * terms[pairs].sum() / (labels != IGNORED).sum().clamp(min=1)


def multi_task(
    model: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    second: str = "sentiments",
    num_second: int = 3,
    weight: float = 0.5,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of two tasks that share one model, for instance emotion and sentiment: CE_1 + weight * CE_2.

    Args:
        model: its logits' last `num_second` classes are the second task's, the others the first's.
        batch: as in `cross_entropy`, and the second task's labels under the name `second`, of the same shape. An item
            without a label (-100) counts in neither task.
        weight: of the second task; 0 trains the first alone.

    >>> from types import SimpleNamespace
    >>> model = lambda x: SimpleNamespace(logits=torch.zeros(1, 7))
    >>> batch = {"x": torch.zeros(1, 1), "labels": torch.tensor([3]), "sentiments": torch.tensor([2])}
    >>> round(multi_task(model, batch).item(), 4)  # ln 4 + ln 3 / 2
    1.9356
    """
    logits, labels = answer(model, batch, "labels", second), batch["labels"]
    both = torch.where(labels == IGNORED, IGNORED, batch[second])
    loss = mean_loss(logits[..., :-num_second], labels, label_smoothing=label_smoothing)
    return loss + weight * mean_loss(logits[..., -num_second:], both, label_smoothing=label_smoothing)


def answer(model: nn.Module, batch: Mapping[str, Tensor], *targets: str) -> Tensor:
    """The model's logits for the batch without its targets. Raises ValueError when a target is not there."""
    for name in targets:
        if name not in batch:
            raise ValueError(f"the batch has no {name!r}, only {', '.join(batch)}; add them to the examples")
    return model(**{name: value for name, value in batch.items() if name not in targets}).logits


def class_weights(labels: Sequence[int] | Tensor, num_classes: int, *, power: float = 1.0) -> Tensor:
    """Weights in proportion to 1 / n_c ** power, their mean over the items 1.

    With power 1 they are n / (K * n_c), scikit-learn's "balanced", and each class contributes equally; 0 weighs all
    items alike; 0.5, the square root, lies between.

    Computed from the training labels, never pasted: the weights printed in MELD's own README stand in another order
    than its label map (declare-lab/MELD issue 51).

    Args:
        labels: the training labels, integers [items].
        num_classes: K.
        power: the exponent above; the greater, the more rare classes weigh.

    Returns: [K], float32. Raises ValueError when a class has no item: its weight would be infinite.

    >>> class_weights([0, 0, 0, 1], num_classes=2)
    tensor([0.6667, 2.0000])
    """
    labels = torch.as_tensor(labels).flatten()
    counts = torch.bincount(labels[labels != IGNORED], minlength=num_classes)
    if len(counts) > num_classes:
        raise ValueError(
            f"label {len(counts) - 1} is outside the {num_classes} classes; pass num_classes={len(counts)}"
        )
    if (counts == 0).any():
        empty = ", ".join(str(c) for c in (counts == 0).nonzero().flatten().tolist())
        raise ValueError(f"no training item has class {empty}; merge or leave out that class before weighting")
    weights = counts.float() ** -power
    return weights * counts.sum() / (weights * counts).sum()
