"""Methods without an encoder, which show what a score is worth: the most frequent class, and TF-IDF.

Each takes (splits, class names, configuration, seed) and returns (split -> probabilities [items, classes], costs), as
`fine_tuning` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nbhelpers import baselines, metrics

from .data import Split

Splits = Mapping[str, Split]
Measured = tuple[dict[str, np.ndarray], dict[str, float]]


def majority(data: Splits, names: list[str], config: Mapping[str, Any], seed: int) -> Measured:
    """Predict the most frequent class of train for every row."""
    certain = np.eye(len(names))  # row i gives class i the probability 1
    predicted = {x: metrics.majority(data["train"].labels, len(data[x].labels)) for x in ("dev", "test")}
    return {split: certain[labels] for split, labels in predicted.items()}, {}


def tf_idf(data: Splits, names: list[str], config: Mapping[str, Any], seed: int) -> Measured:
    """Logistic regression on TF-IDF weights of words, punctuation marks and character n-grams."""
    train = data["train"]
    model = baselines.tf_idf(train.texts, train.labels, C=config["C"], class_weight=config.get("class_weight"))
    probabilities = {}
    for split in ("dev", "test"):
        texts = data[split].texts
        # scikit-learn has a column for each class that occurs in train, and there may be classes that do not.
        probabilities[split] = np.zeros((len(texts), len(names)))
        probabilities[split][:, model.classes_] = model.predict_proba(texts)
    return probabilities, {}
