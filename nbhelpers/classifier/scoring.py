"""The score on dev that chooses the best epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nbhelpers import metrics, tagging

from .data import Task
from .several_labels import all_scores


def score_name(task: Task) -> str:
    """What people call the score of a task."""
    return "entity F1" if task.tags else "weighted F1"


def dev_scores(prediction: Any, task: Task) -> dict[str, float]:
    """The scores that choose the best epoch, from what the Trainer gives."""
    return scores_on(np.asarray(prediction.predictions), prediction.label_ids, task)


def scores_on(logits: NDArray[Any], labels: NDArray[Any], task: Task) -> dict[str, float]:
    """The scores of logits [..., classes], among them "weighted_f1". A label of -100 is padding.

    For tags, "weighted_f1" is the F1 of entities, so that all tasks choose their best epoch by a score of one name.
    """
    if task.tags:
        sentences = [(rows[ids != -100], ids[ids != -100]) for rows, ids in zip(logits, labels, strict=True)]
        gold = [[task.names[i] for i in ids] for _, ids in sentences]
        return {"weighted_f1": tagging.entity_f1(gold, [tagging.decode(rows, task.names) for rows, _ in sentences])}
    if task.several:
        return {"weighted_f1": all_scores(labels, (logits > 0).astype(int))["weighted F1"]}
    wanted = labels != -100
    return metrics.scores(labels[wanted], logits[wanted].argmax(-1), len(task.names))
