"""Training objectives: the losses that a training step minimizes.

An objective is a function `objective(model, batch) -> loss`. `batch` is a dict of tensors: the model's inputs and
"labels". `loss` is a scalar, the mean over the items whose label is not -100. Because every objective is such a mean,
a training loop can weigh batches of different sizes correctly.

Copy this file into your project (it needs only torch), and set the options with `functools.partial`:

    objective = partial(r_drop, alpha=1.0)
    loss = objective(model, batch)  # model: a transformers classifier in train() mode
    loss.backward()
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NO_LABEL = -100  # a position that does not count: padding, or a sub-token that is not the first of its word


def cross_entropy(
    model: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of the model's logits, averaged over the labeled items of the batch; 0 if there are none.

    Args:
        model: Called as `model(**inputs)` without labels; its output has `.logits`, [batch, classes] or
            [batch, tokens, classes].
        batch: The model's inputs and "labels", [batch] or [batch, tokens]; -100 marks positions without a label.
        class_weights: Weights [classes], for instance from the function `class_weights`. The weighted losses are
            divided by the number of items. `torch.nn.CrossEntropyLoss(weight)` divides by the sum of the items'
            weights instead; an item's share then depends on the other items of its batch.
        label_smoothing: The share of the target that is spread evenly over all classes, 0 to 1 (arXiv 1512.00567).

    Raises:
        ValueError: The batch has no labels, or a label is not a class of the model.

    >>> from types import SimpleNamespace
    >>> model = lambda input_ids: SimpleNamespace(logits=torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
    >>> batch = {"input_ids": torch.zeros(2, 1), "labels": torch.tensor([0, 1])}
    >>> round(cross_entropy(model, batch).item(), 4)  # (0.1269 + 0.6931) / 2
    0.41
    >>> round(cross_entropy(model, batch, class_weights=torch.tensor([1.0, 3.0])).item(), 4)
    1.1032
    """
    logits = compute_logits(model, batch, "labels")
    return mean_loss(logits, batch["labels"], class_weights=class_weights, label_smoothing=label_smoothing)


def mean_loss(
    logits: Tensor, labels: Tensor, *, class_weights: Tensor | None = None, label_smoothing: float = 0.0
) -> Tensor:
    """Compute the loss of `cross_entropy` from logits [..., classes] and labels [...] instead of a model and a batch.

    >>> round(mean_loss(torch.zeros(2, 4), torch.tensor([1, -100])).item(), 4)  # ln 4; the second item has no label
    1.3863
    """
    num_classes = logits.shape[-1]
    # In fp32, because a sum over many items loses its small terms in bf16 and fp16.
    logits, labels = logits.float().reshape(-1, num_classes), labels.reshape(-1)
    if logits.shape[0] != labels.shape[0]:
        raise ValueError(f"{logits.shape[0]} rows of logits, but {labels.shape[0]} labels; each item needs one of each")
    if class_weights is not None and len(class_weights) != num_classes:
        raise ValueError(f"{len(class_weights)} class weights for {num_classes} classes; give one for each class")
    # On a GPU, torch reports a label that is not a class as "device-side assert triggered", far from its cause.
    can_look = not (labels.is_cuda and torch.cuda.is_current_stream_capturing())  # a CUDA graph is not recorded now
    if can_look and (((labels >= num_classes) | (labels < 0)) & (labels != NO_LABEL)).any():
        label_range = f"labels run from {labels[labels != NO_LABEL].min()} to {labels.max()}"
        raise ValueError(f"{label_range}, but the model has {num_classes} classes; load it with the data's labels")
    losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=label_smoothing)
    if class_weights is not None:  # torch would weigh each smoothed share by the share's own class (issue 104776)
        losses = losses * class_weights.to(logits)[labels.clamp(min=0)]
    # Not torch's own mean: it divides by the sum of the weights, and is NaN if there is no label.
    return losses.sum() / (labels != NO_LABEL).sum().clamp(min=1)


def r_drop(
    model: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    alpha: float = 1.0,
    one_forward_pass: bool = True,
    class_weights: Tensor | None = None,
    label_smoothing: float = 0.0,
) -> Tensor:
    """R-Drop (Liang et al. 2021, arXiv 2106.14448): predictions under two dropout masks should agree.

        loss = CE_1 + CE_2 + alpha * (KL(p_1 || p_2) + KL(p_2 || p_1)) / 2

    Each term is a mean over the labeled items. In evaluation mode there is no dropout, and the loss is
    `cross_entropy`. The gradient is about twice as large as that of `cross_entropy`, so it is clipped more often.

    `alpha` is the paper's. The README of dropreg/R-Drop writes (CE_1 + CE_2) / 2 + a * (KL + KL) / 2; its a is half of
    our alpha. Its code for RoBERTa differs from the paper for every alpha: it trains on CE_1 alone and sums the KL
    over the batch, so that the weight of the KL grows with the batch size.

    Args:
        model, batch, class_weights, label_smoothing: As in `cross_entropy`; the model needs dropout.
        alpha: Weight of the KL term. 0 gives two passes without it. The paper tried 0.1, 0.5 and 1.0 on GLUE.
        one_forward_pass: True sends a batch with each item twice through the model once; False sends the batch
            through twice. Either way the two copies of an item have different dropout masks.

    Raises:
        ValueError: The model has no dropout. Both passes would be the same, and the KL term exactly 0.

    >>> from types import SimpleNamespace
    >>> model = nn.Sequential(nn.Dropout(0.5)).eval()
    >>> model.forward = lambda x: SimpleNamespace(logits=x)
    >>> batch = {"x": torch.tensor([[2.0, 0.0]]), "labels": torch.tensor([0])}
    >>> round(r_drop(model, batch).item(), 4)  # in evaluation mode: plain cross-entropy
    0.1269
    """
    if not model.training:
        return cross_entropy(model, batch, class_weights=class_weights, label_smoothing=label_smoothing)
    if not any(isinstance(module, nn.Dropout) and module.p > 0 for module in model.modules()):
        raise ValueError("the model has no dropout, so R-Drop has nothing to compare; set one, or use cross_entropy")
    if one_forward_pass:
        doubled_batch = {name: torch.cat([tensor, tensor]) for name, tensor in batch.items()}
        first, second = compute_logits(model, doubled_batch, "labels").chunk(2)  # each [batch, ..., classes]
    else:
        first, second = compute_logits(model, batch, "labels"), compute_logits(model, batch, "labels")
    labels = batch["labels"]
    first_ce = mean_loss(first, labels, class_weights=class_weights, label_smoothing=label_smoothing)
    second_ce = mean_loss(second, labels, class_weights=class_weights, label_smoothing=label_smoothing)
    return first_ce + second_ce + alpha * symmetric_kl(first, second, labels)


def symmetric_kl(first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
    """Compute (KL(p || q) + KL(q || p)) / 2 of two sets of logits [..., classes], averaged over the labeled items.

    >>> round(symmetric_kl(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([0])).item(), 4)
    0.4621
    """
    log_p, log_q = first.float().log_softmax(-1), second.float().log_softmax(-1)
    # KL(p || q) + KL(q || p) = sum over classes of (p - q) * (log p - log q)
    kl = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1) / 2
    is_labeled = labels != NO_LABEL
    return kl.masked_fill(~is_labeled, 0.0).sum() / is_labeled.sum().clamp(min=1)


def emotion_shift(
    model: nn.Module, batch: Mapping[str, Tensor], *, weight: float = 1.0, label_smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy, and a term for whether the emotion changes from each turn of a dialogue to the next.

        loss = CE + weight * BCE(1 - sum_c p_t(c) p_t+1(c), label_t != label_t+1)

    BCE is binary cross-entropy, summed over neighboring turns and, like CE, divided by the number of labeled turns.
    The predictions for two turns are treated as independent draws, so the term has no parameters of its own.

    Args:
        model, batch, label_smoothing: As in `cross_entropy`, with logits [batch, turns, classes] and labels
            [batch, turns]; other shapes raise a ValueError. A pair of turns counts if both are labeled.
        weight: Weight of the term; 0 gives plain cross-entropy.

    >>> from types import SimpleNamespace
    >>> model = lambda x: SimpleNamespace(logits=torch.tensor([[[9.0, 0.0], [9.0, 0.0]]]))
    >>> batch = {"x": torch.zeros(1, 2), "labels": torch.tensor([[0, 1]])}  # a change that the model does not predict
    >>> round(emotion_shift(model, batch, weight=0.0).item(), 2), round(emotion_shift(model, batch).item(), 2)
    (4.5, 8.65)
    """
    logits, labels = compute_logits(model, batch, "labels"), batch["labels"]
    if logits.ndim != 3:
        raise ValueError(f"logits have shape {tuple(logits.shape)}; pass whole dialogues: [batch, turns, classes]")
    loss = mean_loss(logits, labels, label_smoothing=label_smoothing)
    log_p = logits.float().log_softmax(-1)
    # log P(no change) as a log-sum-exp, which stays exact for tiny probabilities. It is kept below 0 because
    # log P(change) = log(1 - P(no change)) would otherwise be -inf for a model that is certain.
    log_same = torch.logsumexp(log_p[:, :-1] + log_p[:, 1:], -1).clamp(max=-1e-6)  # [batch, turns - 1]
    has_changed = labels[:, :-1] != labels[:, 1:]
    terms = -torch.where(has_changed, torch.log(-torch.expm1(log_same)), log_same)
    is_pair = (labels[:, :-1] != NO_LABEL) & (labels[:, 1:] != NO_LABEL)
    return loss + weight * terms[is_pair].sum() / (labels != NO_LABEL).sum().clamp(min=1)


def multi_task(
    model: nn.Module,
    batch: Mapping[str, Tensor],
    *,
    second_labels: str = "sentiments",
    num_second_classes: int = 3,
    weight: float = 0.5,
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of two tasks that share a model, for instance emotion and sentiment: CE_1 + weight * CE_2.

    Args:
        model, batch, label_smoothing: As in `cross_entropy`. The last `num_second_classes` logits are the second
            task's. An item without a label (-100) in "labels" counts in neither task.
        second_labels: The name of the second task's labels in the batch; they have the shape of "labels".
        num_second_classes: The number of classes of the second task.
        weight: Weight of the second task; 0 trains only the first.

    >>> from types import SimpleNamespace
    >>> model = lambda x: SimpleNamespace(logits=torch.zeros(1, 7))
    >>> batch = {"x": torch.zeros(1, 1), "labels": torch.tensor([3]), "sentiments": torch.tensor([2])}
    >>> round(multi_task(model, batch).item(), 4)  # ln 4 + ln 3 / 2
    1.9356
    """
    logits = compute_logits(model, batch, "labels", second_labels)
    first = batch["labels"]
    # A collator fills "labels" with -100 but other columns with 0, which would be a class here.
    second = torch.where(first == NO_LABEL, NO_LABEL, batch[second_labels])
    loss = mean_loss(logits[..., :-num_second_classes], first, label_smoothing=label_smoothing)
    return loss + weight * mean_loss(logits[..., -num_second_classes:], second, label_smoothing=label_smoothing)


def compute_logits(model: nn.Module, batch: Mapping[str, Tensor], *label_names: str) -> Tensor:
    """Call the model on the batch without the labels in it, and return the logits; missing labels are a ValueError."""
    for name in label_names:
        if name not in batch:
            raise ValueError(f"the batch has no {name!r}, only {', '.join(batch)}; add {name!r} to the examples")
    # With labels among its inputs, a transformers model would compute a loss of its own as well.
    return model(**{name: tensor for name, tensor in batch.items() if name not in label_names}).logits


def class_weights(labels: Sequence[int] | Tensor, num_classes: int, *, power: float = 1.0) -> Tensor:
    """Compute class weights proportional to 1 / n_c ** power (n_c: items of class c), with mean 1 over the items.

    Compute them from the training labels instead of copying them: the weights printed in MELD's own README are in
    another order than its label map (declare-lab/MELD issue 51).

    Args:
        labels: The training labels, integers [items]; -100 does not count.
        num_classes: The number of classes, and of the weights that are returned (float32).
        power: 1 lets every class contribute equally (scikit-learn's "balanced"), 0 gives all items the same weight,
            and 0.5 is between the two.

    Raises:
        ValueError: A class has no item, so that its weight would be infinite, or a label is not a class.

    >>> class_weights([0, 0, 0, 1], num_classes=2)
    tensor([0.6667, 2.0000])
    """
    labels = torch.tensor(getattr(labels, "tolist", lambda: list(labels))()).flatten()
    counts = torch.bincount(labels[labels != NO_LABEL], minlength=num_classes)  # [classes]
    if len(counts) > num_classes:
        raise ValueError(f"label {len(counts) - 1} is outside the {num_classes} classes; pass a larger num_classes")
    if empty := ", ".join(str(index) for index in (counts == 0).nonzero().flatten().tolist()):
        raise ValueError(f"no training item has class {empty}; merge or leave out that class before weighting")
    weights = counts.float() ** -power
    return weights * counts.sum() / (weights * counts).sum()
