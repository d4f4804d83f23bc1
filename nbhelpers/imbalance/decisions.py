"""What can be moved after training: logits by the prior, and an offset for each class, both chosen on dev."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from .counts import NO_LABEL, log_prior
from .losses import check_num_classes
from .scores import macro_f1

TAUS = tuple(step / 10 for step in range(21))  # 0.0, 0.1, ..., 2.0


def adjust_logits(logits: Tensor, counts: Sequence[int] | Tensor, tau: float = 1.0) -> Tensor:
    """Compute logits - tau * log prior: logit adjustment after training (Menon et al. 2021, arXiv 2007.07314).

    For a model that was trained with plain cross-entropy. With tau=1 the softmax of the result is that of equally
    frequent classes, so its probabilities no longer fit data with the frequencies of train: take the prediction from
    the adjusted logits, and the confidence from those of the model.

    Logits alone do not show how a model was trained. If it was trained with `logit_adjusted_loss`, a balanced sampler
    or class weights, they are adjusted already; `applied_tau` estimates that from labeled rows.

    Args:
        logits: [..., classes].
        counts: The training rows of each class [classes], from `count_labels`.
        tau: 1 aims at the mean recall of the classes, 0 changes nothing, and -1 takes an adjustment back.

    Returns:
        Logits like those that went in, in fp32.

    Raises:
        ValueError: A class has no training row, or there is not one count for each class.

    >>> adjust_logits(torch.tensor([[2.0, 0.0]]), counts=[9, 1])  # + 0.1054 and + 2.3026
    tensor([[2.1054, 2.3026]])
    """
    prior = log_prior(counts)
    check_num_classes("counts", len(prior), logits)
    if logits.numel() and (logits >= 0).all() and ((logits.float().sum(-1) - 1).abs() < 1e-3).all():
        raise ValueError("these are probabilities; pass the model's logits, before softmax")
    return logits.float() - tau * prior.to(logits.device)


def choose_tau(
    logits: Tensor, labels: Tensor, counts: Sequence[int] | Tensor, *, taus: Sequence[float] = TAUS
) -> float:
    """Choose the tau of `adjust_logits` that has the highest macro F1 on dev.

    It is often below 1, because macro F1 counts false alarms as well, and mean recall does not. With few dev rows of
    the rare classes it is uncertain, and the score on dev is better than the one to expect on test.

    Args:
        logits: Of the dev rows [items, classes].
        labels: Of the dev rows [items]; -100 does not count.
        counts: The training rows of each class [classes], from `count_labels`.
        taus: What to try; 0 is always tried as well. The tau nearest to 0 wins a tie. Numbers below 0 take back a
            part of an adjustment that was made in training; for other models they only fit noise.

    Raises:
        ValueError: A class has no training row, or shapes do not fit.

    >>> logits, labels = torch.tensor([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0, 1])
    >>> choose_tau(logits, labels, counts=[9, 1])
    0.5
    """
    logits, labels = labeled_rows(logits, labels)

    def score(tau: float) -> float:
        return macro_f1(labels, adjust_logits(logits, counts, tau).argmax(-1), logits.shape[-1])

    return max(sorted({0.0, *taus}, key=lambda tau: (abs(tau), tau)), key=score)  # `max` keeps the first of a tie


def applied_tau(logits: Tensor, labels: Tensor, counts: Sequence[int] | Tensor) -> float:
    """Estimate how far logits are adjusted already: about 0 after plain cross-entropy, 1 after training with tau=1.

    It fits two numbers to labeled rows, so that softmax(scale * logits + tau * log prior) has the lowest cross-entropy,
    and returns this tau. The scale makes up for a model that is too confident. The rows must not be training rows, and
    their classes must be as frequent as in train. With few rows of the rare classes it is a rough number.

    About 1 before you adjust logits means that the training did so already, by the loss, by a sampler or by inverse
    class weights. About 2 means that the adjustment was applied twice.

    Args:
        logits: [items, classes], as they go into the prediction.
        labels: [items]; -100 does not count.
        counts: The training rows of each class [classes], from `count_labels`.

    Raises:
        ValueError: A class has no training row, or shapes do not fit.

    >>> logits, labels = torch.zeros(10, 2), torch.tensor([0] * 9 + [1])  # a model that sees both classes as equal
    >>> round(applied_tau(logits, labels, counts=[900, 100]), 2)
    1.0
    """
    logits, labels = labeled_rows(logits, labels)
    prior = log_prior(counts).to(logits)
    check_num_classes("counts", len(prior), logits)
    scale, tau = torch.ones((), requires_grad=True), torch.zeros((), requires_grad=True)
    optimizer = torch.optim.LBFGS([scale, tau], max_iter=100, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(scale * logits + tau * prior, labels)
        loss.backward()
        return loss

    optimizer.step(closure)
    return tau.item()


def tune_offsets(logits: Tensor, labels: Tensor) -> Tensor:
    """Find an offset for each class, so that (logits + offsets).argmax(-1) has a high macro F1 on dev.

    That moves the threshold of each class. Class by class, the best offset is taken while the others stay as they are,
    until no single offset improves the score: coordinate ascent, always in the same order. The score on dev is never
    below that without offsets. It is too good to report, because the offsets were fitted to these rows. With few dev
    rows of a class its offset is mostly noise; compare on test, and with `choose_tau`, which fits only one number.
    On thresholds that maximize F1: Lipton et al. 2014, arXiv 1402.1892.

    Args:
        logits: Of the dev rows [items, classes], adjusted or not; log-probabilities give the same predictions.
        labels: Of the dev rows [items]; -100 does not count.

    Returns:
        Offsets [classes] in fp32, on the device of the logits.

    Raises:
        ValueError: A class has no dev row, or shapes do not fit.

    >>> logits, labels = torch.tensor([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0, 1])
    >>> offsets = tune_offsets(logits, labels)
    >>> offsets, (logits + offsets).argmax(-1)
    (tensor([-1.5000,  0.0000]), tensor([0, 0, 1]))
    """
    logits, labels = labeled_rows(logits, labels)
    num_classes = logits.shape[-1]
    missing = sorted(set(range(num_classes)) - set(labels.tolist()))
    if missing:
        raise ValueError(f"class {missing[0]} has no dev row, so nothing shows a good offset; use choose_tau instead")

    def score(offsets: Tensor) -> float:
        return macro_f1(labels, (logits + offsets).argmax(-1), num_classes)

    offsets = torch.zeros(num_classes, device=logits.device)
    best, has_improved = score(offsets), True
    while has_improved:  # it ends, because the score rises each time and has finitely many values
        has_improved = False
        for index in range(num_classes):
            candidate = offsets.clone()
            candidate[index] += best_shift(logits + offsets, labels, index)
            # Measured as it will be used, so that rounding cannot make the score worse.
            if (new_score := score(candidate)) > best:
                offsets, best, has_improved = candidate, new_score, True
    return offsets


def best_shift(logits: Tensor, labels: Tensor, index: int) -> Tensor:
    """Find what to add to the logits of one class for the highest macro F1; of several such shifts the smallest.

    Only where a row changes its prediction can the score change. So all possible values are computed in one pass: at
    first no row has the class, then the rows go over to it one after the other.

    >>> best_shift(torch.tensor([[3.0, 0.0], [2.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 0, 1]), index=1)
    tensor(1.5000)
    """
    others = logits.clone()
    others[:, index] = -torch.inf
    rival_logits, rivals = others.max(-1)  # the prediction of each row without the class
    margins, order = (rival_logits - logits[:, index]).sort()  # a row goes over when the shift exceeds its margin
    one_hot = torch.eye(logits.shape[-1], device=logits.device)
    is_label, is_rival = one_hot[labels[order]], one_hot[rivals[order]]  # [items, classes]
    changes = one_hot[index] - is_rival  # in what is predicted, when a row goes over
    # Running sums from the state in which no row has the class to that in which all have it, [1 + items, classes]
    predicted = torch.cat([is_rival.sum(0, keepdim=True), changes]).cumsum(0)
    hits = torch.cat([(is_rival * is_label).sum(0, keepdim=True), changes * is_label]).cumsum(0)
    scores = (2 * hits / (is_label.sum(0) + predicted)).mean(-1)
    shifts = torch.cat([margins[:1] - 1, (margins[:-1] + margins[1:]) / 2, margins[-1:] + 1])
    # Rows with the same margin go over together, so there is no shift between them.
    is_possible = torch.ones_like(shifts, dtype=torch.bool)
    is_possible[1:-1] = margins[:-1] < margins[1:]
    scores, shifts = scores[is_possible], shifts[is_possible]
    best_shifts = shifts[scores > scores.max() - 1e-6]  # equal but for rounding
    return best_shifts[best_shifts.abs().argmin()]


def labeled_rows(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Check that there is a label for each row, and return logits [items, classes] in fp32 and labels [items].

    Rows with the label -100 are left out.
    """
    if logits.ndim != 2 or logits.shape[-1] < 2 or labels.shape != logits.shape[:1]:
        shapes = f"logits have shape {tuple(logits.shape)} and labels {tuple(labels.shape)}"
        raise ValueError(f"{shapes}; pass [items, classes] with two or more classes, and [items]")
    is_labeled = labels != NO_LABEL
    if not is_labeled.any():
        raise ValueError("no row has a label; pass the dev rows with their labels")
    return logits[is_labeled].float(), labels[is_labeled]
