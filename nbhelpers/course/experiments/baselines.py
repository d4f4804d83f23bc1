"""Methods without an encoder, which show what a score is worth: the most frequent class, and TF-IDF.

Each takes (splits, class names, configuration, seed) and returns (split -> probabilities [items, classes], costs), as
`fine_tuning` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nbhelpers import metrics

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
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline, make_union

    # Punctuation counts: "?!" tells more about an emotion than many words.
    words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True)
    # Letters as they are written, since "NO" and "no" differ in emotion.
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, lowercase=False)
    regression = LogisticRegression(C=config["C"], class_weight=config.get("class_weight"), max_iter=2000)
    model = make_pipeline(make_union(words, characters), regression)
    model.fit(data["train"].texts, data["train"].labels)
    probabilities = {}
    for split in ("dev", "test"):
        texts = data[split].texts
        # scikit-learn has a column for each class that occurs in train, and there may be classes that do not.
        probabilities[split] = np.zeros((len(texts), len(names)))
        probabilities[split][:, model.classes_] = model.predict_proba(texts)
    return probabilities, {}
