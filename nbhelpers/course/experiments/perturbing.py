"""Perturbed versions of the test texts, on which a row of a results table is scored as well: "perturbations"."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from nbhelpers import augmentation, robustness

from .data import Split

SEARCH = "words searched"  # the first test texts, attacked on the model of the row: `robustness.substitute_words`
NUM_SEARCHED, MAX_QUERIES = 100, 60
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


def searched_texts(test: Split, predict: Callable[[Sequence[str]], np.ndarray]) -> list[str]:
    """The first test texts after a search for words that flip the label of this model, with a budget for each text.

    A word can become a synonym, or one of four versions with a typing error.

    Args:
        test: the test split.
        predict: texts -> probabilities [texts, classes].
    """
    synonyms = augmentation.load_synonyms()

    def candidates(word: str) -> list[str]:
        typos = {augmentation.make_typos(word, random.Random(number)) for number in range(4)} if len(word) > 3 else ()
        return [*synonyms.get(word, []), *sorted(typos)]

    texts, labels = test.texts[:NUM_SEARCHED], test.labels[:NUM_SEARCHED]
    found = robustness.substitute_words(predict, texts, labels, candidates, max_queries=MAX_QUERIES)
    return found["new_text"].tolist()
