"""Texts that can have several labels: thresholds, scores, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_fscore_support

from .report import NUM_MISTAKES, Report

NUM_DRAWS = 1000
MIN_THRESHOLD, MAX_THRESHOLD = 0.05, 0.95  # a class with few dev rows would otherwise be given to all texts, or to none


def best_thresholds(gold: NDArray[Any], probabilities: NDArray[Any]) -> list[float]:
    """Return for each class the threshold with the best F1; among equally good ones, the one nearest to 0.5.

    Args:
        gold: 0 and 1 [rows, classes], of the dev split.
        probabilities: [rows, classes].

    >>> best_thresholds(np.array([[1], [1], [0]]), np.array([[0.4], [0.3], [0.1]]))
    [0.3]
    """
    found = []
    for truth, scores in zip(gold.T, probabilities.T, strict=True):
        candidates = np.unique([0.5, *scores.clip(MIN_THRESHOLD, MAX_THRESHOLD)])
        chosen = scores >= candidates[:, np.newaxis]  # [candidates, rows]
        hits = (chosen & (truth == 1)).sum(1)
        f1 = 2 * hits / np.maximum(chosen.sum(1) + truth.sum(), 1)
        order = np.lexsort((np.abs(candidates - 0.5), -f1))
        found.append(round(float(candidates[order[0]]), 4))
    return found


def f1_scores(counts: NDArray[Any], support: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return micro, macro and weighted F1 of counts.

    Args:
        counts: true positives, false positives and false negatives [..., 3, classes].
        support: how many rows have each class [..., classes], which the last of the three weighs by.
    """
    hits, extra, missed = (counts[..., i, :] for i in range(3))
    f1 = 2 * hits / np.maximum(2 * hits + extra + missed, 1)
    total = 2 * hits.sum(-1) / np.maximum(2 * hits.sum(-1) + extra.sum(-1) + missed.sum(-1), 1)
    weighted = (f1 * support).sum(-1) / np.maximum(support.sum(-1), 1)
    return {"micro F1": total, "macro F1": f1.mean(-1), "weighted F1": weighted}


def several_labels_report(
    split: str,
    texts: Sequence[str],
    gold: NDArray[Any],
    probabilities: NDArray[Any],
    thresholds: Sequence[float],
    names: Sequence[str],
    baseline: NDArray[Any] | None = None,
) -> Report:
    """Return the report of a classifier that gives each text any number of labels.

    Args:
        split: the name of the split.
        texts: [rows].
        gold: 0 and 1 [rows, classes].
        probabilities: [rows, classes] of the classifier.
        thresholds: [classes], the smallest probability with which a label is given.
        names: of the classes.
        baseline: 0 and 1 [rows, classes] that TF-IDF predicts; None leaves it out.
    """
    predicted = (probabilities >= np.asarray(thresholds)).astype(int)
    scores = pd.DataFrame({"this classifier": all_scores(gold, predicted)}).T
    if baseline is not None:
        scores.loc["TF-IDF"] = all_scores(gold, baseline)
    for name, (low, high) in intervals(gold, predicted).items():
        scores[f"{name}, from"], scores[f"{name}, to"] = None, None
        scores.loc["this classifier", [f"{name}, from", f"{name}, to"]] = low, high
    present = gold.any(0)  # average precision of a class without a row is not defined
    precision = average_precision_score(gold[:, present], probabilities[:, present], average="macro")
    scores["mean average precision"] = None
    scores.loc["this classifier", "mean average precision"] = precision
    columns = precision_recall_fscore_support(gold, predicted, zero_division=0)
    per_class = pd.DataFrame(
        dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)), index=list(names)
    )
    # The surest wrong answers: labels far above their threshold that are not there, or far below it that are
    wrong = np.where(predicted != gold, np.abs(probabilities - np.asarray(thresholds)), -1.0).max(1)
    worst = [i for i in np.argsort(-wrong, kind="stable")[:NUM_MISTAKES] if wrong[i] >= 0]
    listed = lambda row: ", ".join(name for name, there in zip(names, row, strict=True) if there)  # noqa: E731
    mistakes = pd.DataFrame(
        {
            "text": [texts[i] for i in worst],
            "label": [listed(gold[i]) for i in worst],
            "predicted": [listed(predicted[i]) for i in worst],
            "probability": [round(float(probabilities[i].max()), 3) for i in worst],
        }
    )
    return Report(split, len(texts), scores, per_class, None, mistakes)


def counts_of_rows(gold: NDArray[Any], predicted: NDArray[Any]) -> NDArray[Any]:
    """Return true positives, false positives and false negatives of each row [rows, 3, classes]."""
    return np.stack([gold & predicted, (1 - gold) & predicted, gold & (1 - predicted)], axis=1)


def all_scores(gold: NDArray[Any], predicted: NDArray[Any]) -> dict[str, float]:
    """Return the F1 scores of predictions, and the share of rows in which every label is right."""
    found = f1_scores(counts_of_rows(gold, predicted).sum(0), gold.sum(0))
    exact = float((gold == predicted).all(1).mean())
    return {**{name: float(x) for name, x in found.items()}, "all labels right": exact}


def intervals(gold: NDArray[Any], predicted: NDArray[Any]) -> dict[str, tuple[float, float]]:
    """Return the 95 % interval of each F1 score, from resampled rows (the percentile bootstrap)."""
    counts, rng = counts_of_rows(gold, predicted), np.random.default_rng(0)
    num_rows = len(gold)
    draws = rng.multinomial(num_rows, np.full(num_rows, 1 / num_rows), size=NUM_DRAWS)  # [draws, rows]
    drawn = np.tensordot(draws, counts, axes=1)  # [draws, 3, classes]
    found = f1_scores(drawn, draws @ gold)
    return {
        name: (float(low), float(high)) for name, x in found.items() for low, high in [np.quantile(x, [0.025, 0.975])]
    }
