"""Scores of entities: a predicted entity is right only if its first word, its last word and its type are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .schemes import OUTSIDE, entities

Tags = Sequence[Sequence[str]]


def entity_scores(gold: Tags, predicted: Tags) -> pd.DataFrame:
    """Return precision, recall, F1 and support of each entity type, and of all entities together.

    Computed by seqeval in its strict mode for IOB2: an I- that continues no entity of its type belongs to none.

    Args:
        gold, predicted: the tags of each sentence, in IOB2.

    Returns:
        A row per type, and a last row "all". The scores are from 0 to 1; "support" counts gold entities.

    Raises:
        ValueError: the sentences differ in number or length.

    >>> entity_scores([["B-PER", "I-PER", "O"]], [["B-PER", "O", "O"]]).loc["all"].tolist()
    [0.0, 0.0, 0.0, 1.0]
    """
    # here, because they import scikit-learn, which a service does not need
    from seqeval.metrics.v1 import precision_recall_fscore_support
    from seqeval.scheme import IOB2

    if [*map(len, gold)] != [*map(len, predicted)]:
        raise ValueError("gold and predicted tags must have the same sentences with the same numbers of words")
    types = sorted({entity.type for tags in (*gold, *predicted) for entity in entities(tags)})
    columns = ["precision", "recall", "f1", "support"]
    if not types:
        return pd.DataFrame([[0.0, 0.0, 0.0, 0]], index=["all"], columns=columns)
    gold, predicted = [list(tags) for tags in gold], [list(tags) for tags in predicted]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of types that are never predicted; their scores are 0
        each = precision_recall_fscore_support(gold, predicted, scheme=IOB2)
        whole = precision_recall_fscore_support(gold, predicted, average="micro", scheme=IOB2)
    table = pd.DataFrame(dict(zip(columns, each, strict=True)), index=types)
    table.loc["all"] = [*whole[:3], int(sum(each[3]))]
    return table.astype({"support": int})


def token_scores(gold: Tags, predicted: Tags) -> dict[str, float]:
    """Return scores that count words instead of entities. They look better, and say less.

    "accuracy" counts O, which most words have; "weighted F1" is F1 averaged over the tags, O among them, by their
    frequency; "weighted F1 without O" leaves O out of the average.

    >>> token_scores([["B-PER", "O", "O", "O"]], [["O", "O", "O", "O"]])["accuracy"]
    0.75
    """
    from sklearn.metrics import accuracy_score, f1_score  # here, because it takes a second to import

    flat_gold, flat_predicted = ([tag for tags in side for tag in tags] for side in (gold, predicted))
    inner = sorted({*flat_gold, *flat_predicted} - {OUTSIDE})
    options: Mapping[str, object] = {"average": "weighted", "zero_division": 0.0}
    return {
        "accuracy": float(accuracy_score(flat_gold, flat_predicted)),
        "weighted F1": float(f1_score(flat_gold, flat_predicted, **options)),
        "weighted F1 without O": float(f1_score(flat_gold, flat_predicted, labels=inner, **options)) if inner else 0.0,
    }


def entity_f1(gold: Tags, predicted: Tags) -> float:
    """Return the F1 of all entities together, from 0 to 1, without seqeval: for scores in a loop, such as on dev.

    It equals the row "all" of `entity_scores`.

    >>> round(entity_f1([["B-PER", "O", "B-LOC"]], [["B-PER", "O", "O"]]), 3)
    0.667
    """
    of_gold = {(i, *entity) for i, tags in enumerate(gold) for entity in entities(tags)}
    of_predicted = {(i, *entity) for i, tags in enumerate(predicted) for entity in entities(tags)}
    total = len(of_gold) + len(of_predicted)
    return 2 * len(of_gold & of_predicted) / total if total else 0.0


def draw_entity_f1(
    gold: Tags, predictions: Sequence[Tags], *, num_draws: int = 1000, seed: int = 0
) -> NDArray[np.float64]:
    """Return the entity F1 of models on sentences that were drawn again, with replacement (the bootstrap).

    The 2.5 % and 97.5 % quantiles of a column are the 95 % interval of a score; those of the difference of two columns
    are the interval of a difference, because all models are scored on the same draws.

    Args:
        gold: the tags of each sentence.
        predictions: likewise, of each model.
        num_draws: how often to draw.
        seed: of the draws.

    Returns:
        [num_draws, models].

    >>> draw_entity_f1([["B-PER"], ["O"]], [[["B-PER"], ["O"]]], num_draws=2).tolist()
    [[1.0], [1.0]]
    """
    of_gold = [set(entities(tags)) for tags in gold]
    counts = np.array(
        [
            [
                (len(right & set(entities(tags))), len(right) + len(entities(tags)))
                for right, tags in zip(of_gold, model, strict=True)
            ]
            for model in predictions
        ]
    )  # [models, sentences, 2]
    size = len(gold)
    draws = np.random.default_rng(seed).multinomial(size, np.full(size, 1 / size), num_draws)  # [draws, sentences]
    hits, total = np.moveaxis(np.einsum("ds,msk->dmk", draws, counts), -1, 0)
    return 2 * hits / np.maximum(total, 1)
