"""Checks of behavior in the manner of CheckList (Ribeiro et al. 2020, arXiv 2005.04118).

Each check returns a table of cases with one row per check and text, and always the same columns:

check             the name of the check
row               the position of the text in `texts`
before, after     the text, and the perturbed text
predicted_before  class number, and the same for predicted_after
correct_before    whether the prediction is the label, and the same for correct_after; missing without labels
change            of the probability of one class, after minus before: in `invariance` the class that was predicted
                  before, in `direction` the class that you name
failed            missing if the perturbation does not change the text, so that such a text counts in no rate
severity          by how much the probability moved in the wrong direction

Join tables with `pd.concat`, and pass them to `summarize` and `worst_examples`.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .perturbations import INVARIANT, Perturbation, perturb_texts
from .predictions import Predict, check_labels, check_repeatable, check_texts, probabilities

Floats = NDArray[np.float64]
# From the probabilities before and after, [texts, classes] each: the change, whether it fails, and the severity.
Judge = Callable[[Floats, Floats], tuple[Floats, NDArray[np.bool_], Floats]]


def invariance(
    predict: Predict,
    texts: Sequence[str],
    labels: Sequence[int] | None = None,
    *,
    perturbations: Mapping[str, Perturbation] = INVARIANT,
    seed: int = 0,
) -> pd.DataFrame:
    """Check that changes which keep the label keep the prediction. A case fails if another class is predicted.

    Args:
        predict: A function of a list of texts that returns probabilities [texts, classes].
        texts: [texts].
        labels: [texts] class numbers, which tell failures of correctly classified texts from the others.
        perturbations: The checks by name: functions `perturb(text, rng) -> text` that return the text as it is where
            they do not apply, such as `partial(add_typos, share=0.2)`.
        seed: Of the random choices, from 0.

    Returns:
        The cases. Their columns are explained at the top of this file.

    Raises:
        ValueError: Texts or labels are wrong, or `predict` returns no probabilities, or others for the same texts.

    >>> predict = lambda texts: [[0.1, 0.9] if "great" in text else [0.8, 0.2] for text in texts]
    >>> shout = {"upper case": lambda text, rng: text.upper()}
    >>> cases = invariance(predict, ["great film", "dull film"], [1, 0], perturbations=shout)
    >>> cases[["after", "predicted_after", "failed"]].values.tolist()
    [['GREAT FILM', 0, True], ['DULL FILM', 0, False]]
    """

    def judge(before: Floats, after: Floats) -> tuple[Floats, NDArray[np.bool_], Floats]:
        predicted = before.argmax(1)
        change = (after - before)[np.arange(len(before)), predicted]
        return change, after.argmax(1) != predicted, -change

    return compare(predict, texts, labels, perturbations, seed, judge)


def direction(
    predict: Predict,
    texts: Sequence[str],
    labels: Sequence[int] | None = None,
    *,
    perturbations: Mapping[str, Perturbation],
    class_index: int,
    expected: Literal["up", "down"],
    min_change: float = 0.0,
    seed: int = 0,
) -> pd.DataFrame:
    """Check that changes move the probability of a class in the expected direction.

    Pass only texts for which you expect this direction: "not" makes a positive text less positive, but the text "The
    staff was rude" less negative.

    Args:
        predict, texts, perturbations, seed: As in `invariance`.
        labels: Of the texts as they are. `correct_after` is missing, because the perturbation changes the label.
        class_index: The class whose probability should move.
        expected: "up" or "down".
        min_change: A case fails unless the probability moves in this direction by more than this. So a model that does
            not react fails, while CheckList's test lets it pass. -0.1 accepts moves of less than 0.1 in the wrong
            direction, as CheckList's tolerance does.

    Raises:
        ValueError: As in `invariance`, or there is no such class or direction.

    >>> predict = lambda texts: [[0.1, 0.9] if "great" in text else [0.8, 0.2] for text in texts]
    >>> negate = {"negation": lambda text, rng: text.replace("is", "is not")}
    >>> cases = direction(predict, ["It is great"], perturbations=negate, class_index=1, expected="down")
    >>> cases[["after", "change", "failed"]].values.tolist()
    [['It is not great', 0.0, True]]
    """
    if expected not in ("up", "down"):
        raise ValueError(f"expected={expected!r}: pass 'up' or 'down'")
    sign = 1 if expected == "up" else -1

    def judge(before: Floats, after: Floats) -> tuple[Floats, NDArray[np.bool_], Floats]:
        if not 0 <= class_index < before.shape[1]:
            raise ValueError(f"class_index={class_index}: the model has the classes 0 to {before.shape[1] - 1}")
        change = after[:, class_index] - before[:, class_index]
        return change, sign * change <= min_change, -sign * change

    cases = compare(predict, texts, labels, perturbations, seed, judge)
    return cases.assign(correct_after=truths([None] * len(cases)))


def compare(
    predict: Predict,
    texts: Sequence[str],
    labels: Sequence[int] | None,
    perturbations: Mapping[str, Perturbation],
    seed: int,
    judge: Judge,
) -> pd.DataFrame:
    """Predict the texts once, and for each check the texts that it changes; return the cases that `judge` makes."""
    if not perturbations:
        raise ValueError("there are no perturbations; pass at least one")
    texts = check_texts(texts)
    check_repeatable(predict, texts)
    before = probabilities(predict, texts)
    gold = None if labels is None else check_labels(labels, *before.shape)
    tables = []
    for name, perturbation in perturbations.items():
        perturbed = perturb_texts(texts, perturbation, seed=seed)
        applies = np.array([old != new for old, new in zip(texts, perturbed, strict=True)])
        after = before.copy()
        if applies.any():
            after[applies] = probabilities(predict, list(itertools.compress(perturbed, applies)))
        change, failed, severity = judge(before, after)
        table = pd.DataFrame({"check": name, "row": range(len(texts)), "before": texts, "after": perturbed})
        for side, values in (("before", before), ("after", after)):
            table[f"predicted_{side}"] = values.argmax(1)
            table[f"correct_{side}"] = truths([None] * len(texts) if gold is None else values.argmax(1) == gold)
        table["change"], table["severity"] = change, severity
        table["failed"] = truths(failed)
        # A text that the perturbation does not change cannot fail; counting it would make every model look robust.
        table.loc[~applies, ["change", "severity", "failed"]] = pd.NA
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def truths(values: Any) -> Any:
    """Make a column of truth values, where None is a missing one. Means and sums leave out missing values."""
    return pd.array(values, dtype="boolean")


def minimum_functionality(predict: Predict, checks: Mapping[str, tuple[Sequence[str], int]]) -> pd.DataFrame:
    """Check simple texts that every model should classify correctly. A case fails if its class is not predicted.

    Args:
        predict: As in `invariance`.
        checks: The texts of each check and their class number, by name. `template` makes such texts.

    Returns:
        The cases, as in `invariance`; what concerns a text before a perturbation is missing. The severity is the
        probability of all other classes.

    Raises:
        ValueError: Texts or class numbers are wrong, or `predict` returns no probabilities.

    >>> predict = lambda texts: [[0.1, 0.9] if "great" in text else [0.8, 0.2] for text in texts]
    >>> praise = template("The {thing} was {adjective}.", thing=["film"], adjective=["great", "superb"])
    >>> minimum_functionality(predict, {"praise": (praise, 1)})["failed"].tolist()
    [False, True]
    """
    tables = []
    for name, (texts, label) in checks.items():
        after = probabilities(predict, texts := check_texts(texts))
        check_labels([label] * len(texts), *after.shape)
        unknown, correct = [None] * len(texts), after.argmax(1) == label
        table = pd.DataFrame({"check": name, "row": range(len(texts)), "before": None, "after": texts})
        table["predicted_before"] = pd.array(unknown, dtype="Int64")
        table["correct_before"], table["predicted_after"] = truths(unknown), after.argmax(1)
        table["correct_after"], table["change"] = truths(correct), np.nan
        table["severity"], table["failed"] = 1 - after[:, label], truths(~correct)
        tables.append(table)
    if not tables:
        raise ValueError("there are no checks; pass at least one")
    return pd.concat(tables, ignore_index=True)


def template(pattern: str, /, **values: Sequence[str]) -> list[str]:
    """Fill each placeholder of a pattern with each of its values, in all combinations.

    Raises:
        ValueError: A placeholder has no values, values have no placeholder, or a single string is passed as values.

    >>> template("The {thing} was {adjective}.", thing=["room", "food"], adjective=["great", "fine"])
    ['The room was great.', 'The room was fine.', 'The food was great.', 'The food was fine.']
    """
    placeholders = {name for _, name, _, _ in string.Formatter().parse(pattern) if name is not None}
    if placeholders != set(values):
        raise ValueError(f"the pattern has the placeholders {sorted(placeholders)}, but values for {sorted(values)}")
    for name, options in values.items():
        if isinstance(options, str) or not len(options):
            raise ValueError(f"{name}={options!r}: pass a list with at least one string")
    filled = (
        pattern.format(**dict(zip(values, choice, strict=True))) for choice in itertools.product(*values.values())
    )
    return list(dict.fromkeys(filled))  # a text that occurs twice would count twice
