"""Robustness, measured: does a classifier keep its prediction when a text changes in a way that should not matter?

How to use it: copy this folder into your project (it needs numpy and pandas) and bring a function `predict` from a list
of texts to probabilities [texts, classes]. It may call a torch or an ONNX model, scikit-learn or a service. It decides
how many texts are in a batch, and dropout must be off. For a model of scikit-learn it is `pipeline.predict_proba`.

>>> def predict(texts):  # a stand-in for a model: class 1 is positive
...     return [[0.1, 0.9] if "great" in text or "n't" in text else [0.8, 0.2] for text in texts]
>>> texts, labels = ["The room was great.", "It wasn't cheap, but great.", "Dull."], [1, 1, 0]
>>> cases = invariance(predict, texts, labels)  # typos, upper case, contractions and more
>>> table = summarize(cases)  # one row for each check
>>> table.loc[["upper case", "contractions expanded"], ["texts", "applies", "failures"]].values.tolist()
[[3, 3, 2], [3, 1, 0]]

Only the texts that a check can change count in its failure rate: "contractions expanded" applies to one of three. For
the accuracy on all texts, changed or not, take the means of two columns:

>>> accuracy = cases.groupby("check")[["correct_before", "correct_after"]].mean()
>>> accuracy.loc["upper case"].round(2).tolist()
[1.0, 0.33]

Other checks say what should change, or which simple texts every model should get right:

>>> negation = direction(
...     predict, texts[:1], perturbations={"negation": add_negation}, class_index=1, expected="down"
... )
>>> worst_examples(negation)["after"].tolist()
['The room was not great.']
>>> praise = template("The {thing} was {adjective}.", thing=["room", "food"], adjective=["great", "superb"])
>>> minimum_functionality(predict, {"praise": (praise, 1)})["failed"].tolist()
[False, True, False, True]

And a search replaces words by candidates of yours until the prediction changes or its queries are used up:

>>> found = substitute_words(predict, texts, labels, {"great": ["terrific", "superb"]}.get, max_queries=20)
>>> found["status"].tolist(), found.loc[0, "new_text"]
(['flipped', 'held', 'no candidates'], 'The room was terrific.')
>>> round(summarize_search(found)["accuracy_after"], 2)
0.67

Read the worst examples before you believe a rate: a perturbation that changes the meaning of a text says nothing about
the model. All random choices depend on the seed and on the text, not on the texts beside it.

The files: `checks` has the three kinds of checks, `perturbations` the changes of texts, with `contractions` and
`names`, `summaries` the failure rates with intervals, `substitution` the search, and `predictions` calls `predict`.
"""

from .checks import direction, invariance, minimum_functionality, template
from .contractions import contract, expand_contractions
from .names import swap_names
from .perturbations import (
    INVARIANT,
    add_final_period,
    add_negation,
    add_typos,
    change_numbers,
    double_spaces,
    drop_final_period,
    lower_case,
    perturb_texts,
    title_case,
    upper_case,
)
from .substitution import substitute_words, summarize_search
from .summaries import summarize, wilson_interval, worst_examples

__all__ = [
    "INVARIANT",
    "add_final_period",
    "add_negation",
    "add_typos",
    "change_numbers",
    "contract",
    "direction",
    "double_spaces",
    "drop_final_period",
    "expand_contractions",
    "invariance",
    "lower_case",
    "minimum_functionality",
    "perturb_texts",
    "substitute_words",
    "summarize",
    "summarize_search",
    "swap_names",
    "template",
    "title_case",
    "upper_case",
    "wilson_interval",
    "worst_examples",
]
