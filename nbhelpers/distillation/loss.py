"""The loss on logits, the objective that uses it, and the teacher's logits in the examples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NO_LABEL = -100  # a text without a gold label, or a position that is padding


def distillation_loss(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, temperature: float = 2.0, alpha: float = 0.5
) -> Tensor:
    """Compute the loss of Hinton et al. 2015 (arXiv 1503.02531), averaged over the rows.

        loss = (1 - alpha) * CE(labels, p) + alpha * T^2 * KL(q_T || p_T)

    p are the student's probabilities, p_T those of its logits divided by the temperature T, and q_T the teacher's. KL
    is summed over the classes. The factor T^2 makes up for the gradient of KL, which shrinks with 1 / T^2: without it,
    the temperature would also change how much the teacher counts. The cross-entropy has no temperature.

    A row whose label is -100 has the KL term alone, so texts without labels can be used. It counts in the mean like any
    other row. `distill` makes sure that a training loop counts it too.

    Args:
        student_logits: [rows, classes].
        teacher_logits: [rows, classes], computed without a gradient, of the same classes in the same order.
        labels: [rows], class numbers; -100 marks a row without a gold label.
        temperature: Above 1, the teacher's small probabilities count more. 1 leaves them as they are.
        alpha: The teacher's share, 0 to 1. With 0 the loss is cross-entropy, with 1 the labels have no effect.

    Returns:
        The loss, a scalar in fp32; 0 if there are no rows.

    Raises:
        ValueError: The shapes differ, a label is not a class, a setting is out of range, or the teacher's logits have
            a gradient, for instance because the two models were swapped.

    >>> student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[2.0, 0.0]])
    >>> round(distillation_loss(student, teacher, torch.tensor([0]), temperature=2.0, alpha=0.5).item(), 4)
    0.5685
    """
    check_settings(temperature, alpha)
    check_logits(student_logits, teacher_logits, labels)
    # In fp32, because a KL is a small difference of large numbers.
    student, teacher = student_logits.float(), teacher_logits.float()
    cross_entropy = F.cross_entropy(student, labels, reduction="none", ignore_index=NO_LABEL)  # [rows], 0 for -100
    log_p, log_q = (student / temperature).log_softmax(-1), (teacher / temperature).log_softmax(-1)
    # kl_div(log p, log q) is KL(q || p). Its reduction "mean" would divide by the number of elements, which makes the
    # term smaller the more classes there are; so sum over the classes here, and average over the rows below.
    kl = F.kl_div(log_p, log_q, log_target=True, reduction="none").sum(-1)  # [rows]
    losses = (1 - alpha) * cross_entropy + alpha * temperature**2 * kl
    return losses.sum() / max(1, len(losses))


def distill(model: nn.Module, batch: Mapping[str, Tensor], *, temperature: float = 2.0, alpha: float = 0.5) -> Tensor:
    """Compute `distillation_loss` of a student on a batch: an objective for a training loop.

    The loss is the mean over the items whose "labels" are not -100, and a loop weighs a batch by the number of these
    items. So items without a gold label must not have -100 there: `add_teacher_logits` gives them the teacher's
    prediction and marks them in "has_label". They count as items and have the KL term, but no cross-entropy. Then
    gradient accumulation gives the gradient of one large batch, whatever the shares of unlabeled texts are.

    Args:
        model: The student. Called as `model(**inputs)`; its output has `.logits`, [batch, classes], or
            [batch, turns, classes] for dialogues.
        batch: The model's inputs, "labels" [batch] or [batch, turns], where -100 marks padding, "teacher_logits" with
            one row per label, and perhaps "has_label" like the labels: 0 where the label is not a gold label.
        temperature, alpha: As in `distillation_loss`.

    Raises:
        ValueError: The batch lacks a column, or has texts without a label.

    >>> from types import SimpleNamespace
    >>> model = lambda input_ids: SimpleNamespace(logits=torch.tensor([[0.0, 0.0], [1.0, 1.0]]))
    >>> batch = {"input_ids": torch.zeros(2, 1), "labels": torch.tensor([0, 1]), "has_label": torch.tensor([1, 0])}
    >>> batch["teacher_logits"] = torch.tensor([[2.0, 0.0], [0.0, 0.0]])
    >>> round(distill(model, batch, temperature=2.0, alpha=0.5).item(), 3)  # (0.5685 + 0) / 2
    0.284
    """
    for name in ("labels", "teacher_logits"):
        if name not in batch:
            raise ValueError(f"the batch has no {name!r}, only {', '.join(batch)}; call add_teacher_logits first")
    own_columns = ("labels", "teacher_logits", "has_label")  # what the student must not see
    logits = model(**{name: tensor for name, tensor in batch.items() if name not in own_columns}).logits
    labels = batch["labels"]
    is_item = labels != NO_LABEL
    if labels.ndim == 1 and not is_item.all():
        raise ValueError(
            f"{int((~is_item).sum())} of {len(labels)} texts have the label -100, so a training loop would not count "
            "them; call add_teacher_logits, which gives them the teacher's prediction"
        )
    # Dialogues are padded to the longest one of the data there, and only to the longest one of the batch here.
    teacher_logits = batch["teacher_logits"][:, : labels.shape[1]] if labels.ndim == 2 else batch["teacher_logits"]
    gold = torch.where(batch["has_label"] > 0, labels, NO_LABEL) if "has_label" in batch else labels
    return distillation_loss(logits[is_item], teacher_logits[is_item], gold[is_item], temperature, alpha)


def add_teacher_logits(examples: Sequence[Mapping[str, Any]], logits: Tensor) -> list[dict[str, Any]]:
    """Make copies of examples that have the teacher's logits, and a label everywhere, for the objective `distill`.

    Call it once for all examples, labeled or not. The result is for `distill` alone: another objective would pass the
    new columns to the model. `distill` with alpha=0 is the comparison without a teacher.

    Args:
        examples: Dicts with "input_ids", and perhaps "labels": a number, or a list of numbers for the turns of a
            dialogue. -100 marks what has no gold label; a text may also lack "labels".
        logits: The teacher's logits [items, classes], in the order of the examples and their turns. Compute them in
            evaluation mode from examples without labels: where labels tell a program what is padding, turns without a
            gold label would be left out.

    Returns:
        The dicts with three more columns. "teacher_logits": a tuple of [classes], or of [turns, classes], where
        dialogues are padded with zeros to the longest one. "labels": the gold labels, or the teacher's prediction where
        there is none. "has_label": 1 for a gold label, else 0.

    Raises:
        ValueError: There is not one row of logits for each item, or a logit is infinite or NaN.

    >>> examples = [{"input_ids": [0, 7, 2], "labels": 0}, {"input_ids": [0, 2]}]
    >>> add_teacher_logits(examples, torch.tensor([[1.0, 0.5], [0.0, 3.0]]))[1]
    {'input_ids': [0, 2], 'teacher_logits': (0.0, 3.0), 'labels': 1, 'has_label': 0}
    """
    labels = [gold_labels(example) for example in examples]
    turns = [label if isinstance(label, list) else [label] for label in labels]  # a text is like a dialogue of one turn
    num_items, longest = sum(map(len, turns)), max(map(len, turns), default=0)
    if logits.ndim != 2 or len(logits) != num_items:
        shape = list(logits.shape)
        raise ValueError(f"the logits have shape {shape}; the examples need {num_items} rows, [items, classes]")
    if not logits.isfinite().all():
        raise ValueError("the teacher's logits are infinite or NaN; compute them in fp32, or train the teacher again")
    # Tuples and not lists, because collators pad lists, and here every row has the same length already.
    rows, padding = [tuple(row) for row in logits.float().tolist()], (0.0,) * logits.shape[1]
    predictions = logits.argmax(-1).tolist()
    added, start = [], 0
    for example, label, golds in zip(examples, labels, turns, strict=True):
        part = slice(start, start + len(golds))
        start = part.stop
        filled = [guess if gold == NO_LABEL else gold for gold, guess in zip(golds, predictions[part], strict=True)]
        has_label = [int(gold != NO_LABEL) for gold in golds]
        if isinstance(label, list):
            teacher = (*rows[part], *[padding] * (longest - len(golds)))
            columns: dict[str, Any] = {"teacher_logits": teacher, "labels": filled, "has_label": has_label}
        else:
            columns = {"teacher_logits": rows[part][0], "labels": filled[0], "has_label": has_label[0]}
        added.append({**example, **columns})
    return added


def gold_labels(example: Mapping[str, Any]) -> Any:
    """Return the labels of an example: a number, or a list for the turns of a dialogue; -100 where it has none.

    >>> gold_labels({"input_ids": [0, 2]}), gold_labels({"input_ids": [0, 5, 2, 6, 2], "ends": [2, 4]})
    (-100, [-100, -100])
    """
    no_labels = [NO_LABEL] * len(example["ends"]) if "ends" in example else NO_LABEL
    return example.get("labels", no_labels)


def average_logits(logits: Sequence[Tensor]) -> Tensor:
    """Join several teachers into one: the logarithm of the mean of their probabilities.

    The mean of the logits themselves would be another thing. There, one teacher with extreme logits outvotes the
    others, and the scale of a teacher's logits decides how much it counts.

    Args:
        logits: One tensor [items, classes] per teacher, for the same items and classes in the same order.

    Returns:
        Log-probabilities [items, classes], which can be used wherever logits can.

    Raises:
        ValueError: There is no teacher, or the shapes differ.

    >>> average_logits([torch.tensor([[0.9, 0.1]]).log(), torch.tensor([[0.5, 0.5]]).log()]).exp()
    tensor([[0.7000, 0.3000]])
    """
    shapes = {tuple(tensor.shape) for tensor in logits}
    if len(shapes) != 1:
        raise ValueError(f"logits of shapes {sorted(shapes)}; pass one or more tensors of the same shape")
    log_probabilities = torch.stack([tensor.float().log_softmax(-1) for tensor in logits])
    # As a log-sum-exp, because a probability can be too small for fp32 while its logarithm is not.
    return log_probabilities.logsumexp(0) - math.log(len(logits))


def check_settings(temperature: float, alpha: float) -> None:
    """Raise a ValueError unless the temperature is above 0 and alpha from 0 to 1."""
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature={temperature}: pass a number above 0, such as 2.0")
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha}: pass the teacher's share of the loss, from 0 to 1")


def check_logits(student_logits: Tensor, teacher_logits: Tensor, labels: Tensor) -> None:
    """Raise a ValueError unless the two models' logits and the labels fit together."""
    if teacher_logits.requires_grad:
        raise ValueError(
            "the teacher's logits have a gradient; pass the student's first, and compute the teacher's "
            "under torch.no_grad()"
        )
    if student_logits.shape != teacher_logits.shape or student_logits.shape[:-1] != labels.shape:
        shapes = f"{list(student_logits.shape)}, {list(teacher_logits.shape)} and {list(labels.shape)}"
        raise ValueError(
            f"the student's logits, the teacher's and the labels have the shapes {shapes}; pass "
            "[rows, classes] twice, of models with the same classes, and [rows]"
        )
    num_classes = student_logits.shape[-1]
    # On a GPU, torch reports a label that is not a class as "device-side assert triggered", far from its cause.
    if (((labels >= num_classes) | (labels < 0)) & (labels != NO_LABEL)).any():
        raise ValueError(
            f"labels run from {labels[labels != NO_LABEL].min()} to {labels.max()}, but the student has {num_classes} "
            "classes; load it with the data's labels"
        )
