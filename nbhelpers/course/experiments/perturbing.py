"""Perturbed versions of the test texts, on which a row of a results table is scored as well: "perturbations"."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from nbhelpers import augmentation, robustness

from .data import Split

SEARCH = "words searched"  # each text attacked on its own model: `robustness.substitute_words`
PREFIX = "test, "  # of the names of the splits
PERTURBATIONS: Mapping[str, Any] = {
    **robustness.INVARIANT,
    "many typos": partial(robustness.add_typos, share=0.3),
}


def perturbed_splits(test: Split, config: Mapping[str, Any]) -> dict[str, Split]:
    """A split "test, typos" and so on for each of a configuration's "perturbations", but the search.

    The perturbation of a text is the same in every run, so that runs can be compared.
    """
    names = [name for name in config.get("perturbations", ()) if name != SEARCH]
    return {
        PREFIX + name: test._replace(texts=robustness.perturb_texts(test.texts, PERTURBATIONS[name])) for name in names
    }


def searched_split(test: Split, predict: Callable[[Sequence[str]], np.ndarray], max_queries: int = 50) -> Split:
    """The test texts after a search for synonyms that flip the label of this model, in which each text has a budget.

    Args:
        test: the test split.
        predict: texts -> probabilities [texts, classes].
        max_queries: predictions for each text.
    """
    synonyms = augmentation.load_synonyms()
    found = robustness.substitute_words(
        predict, test.texts, test.labels, lambda word: synonyms.get(word.lower(), []), max_queries=max_queries
    )
    return test._replace(texts=found["new_text"].tolist())
