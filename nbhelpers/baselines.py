"""A baseline for texts that is trained in seconds: logistic regression on TF-IDF weights of words and characters.

A fine-tuned encoder that does not beat it is not worth its cost. Copy this file into your project; it needs
scikit-learn.

>>> model = tf_idf(["fine, really", "so fine", "bad", "very bad"], [1, 1, 0, 0])
>>> model.predict(["bad!", "fine"]).tolist()
[0, 1]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union


def tf_idf(texts: Sequence[str], labels: ArrayLike, *, C: float = 1.0, class_weight: str | None = "balanced") -> Any:
    """Fit a logistic regression on TF-IDF weights of words, punctuation marks and character n-grams.

    Args:
        texts: [rows] of the training data.
        labels: [rows] their classes; or, where a text can have several labels, 0 and 1 [rows, classes].
        C: the inverse of the regularization, above 0; 1 suits hundreds of texts, and 4 thousands.
        class_weight: "balanced" gives rare classes more weight, None does not.

    Returns:
        A scikit-learn pipeline with `predict` and `predict_proba`. The columns of the latter are the classes that occur
        in `labels`, which `classes_` names.

    Raises:
        ValueError: there are fewer than two classes, or no text has a word.
    """
    # Punctuation counts: "?!" tells more about an emotion than many words.
    words = TfidfVectorizer(token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2), sublinear_tf=True)
    # Letters as they are written, since "NO" and "no" differ in emotion.
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, lowercase=False)
    regression = LogisticRegression(C=C, class_weight=class_weight, max_iter=2000)
    several = np.ndim(labels) == 2
    model = OneVsRestClassifier(regression) if several else regression  # one regression for each class
    return make_pipeline(make_union(words, characters), model).fit(list(texts), np.asarray(labels))
