"""Classical text cleaning, and what it costs: lower-casing, dropping punctuation and dropping digits.

Many tutorials clean texts before anything else. A pretrained encoder does not need it, and cleaning can remove what
the labels depend on, such as exclamation marks. `clean_text` is the cleaning, and `cost` measures its effect:

>>> clean_text("Don't STOP, it's 7:30!")
'dont stop its'
>>> train, labels = ["yes!", "yes?", "no!", "no?"] * 3, ["angry", "calm"] * 6
>>> table = cost(train, labels, ["fine!", "fine?"], ["angry", "calm"])
>>> table.loc[["as it is", "no punctuation"], "weighted_f1"].round(2).to_dict()
{'as it is': 1.0, 'no punctuation': 0.33}
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline

VARIANTS: dict[str, dict[str, bool]] = {
    "as it is": {"lower": False, "punctuation": False, "digits": False},
    "lower-cased": {"lower": True, "punctuation": False, "digits": False},
    "no punctuation": {"lower": False, "punctuation": True, "digits": False},
    "no digits": {"lower": False, "punctuation": False, "digits": True},
    "all three": {"lower": True, "punctuation": True, "digits": True},
}


def clean_text(text: str, *, lower: bool = True, punctuation: bool = True, digits: bool = True) -> str:
    """Return `text` in lower case, without punctuation and without digits. Set a step to False to leave it out.

    Punctuation is every character that Unicode classifies as punctuation or symbol, which includes "$" and emoji.
    Apostrophes are removed ("don't" becomes "dont"), and every other mark becomes a space ("well-known" becomes "well
    known"). Digits are removed. If punctuation or digits are dropped, several spaces become one. The result can be
    empty, for example for "?!".

    >>> clean_text("We can't -- it's 7:30!!")
    'we cant its'
    >>> clean_text("We can't -- it's 7:30!!", punctuation=False, digits=False)
    "we can't -- it's 7:30!!"
    """
    if lower:
        text = text.lower()
    if punctuation:
        text = re.sub("['\u2018\u2019\ufe0f]", "", text)  # U+FE0F only colors the emoji before it
        text = "".join(" " if unicodedata.category(char)[0] in "PS" else char for char in text)
    if digits:
        text = re.sub(r"\d", "", text)
    return re.sub(r"\s+", " ", text).strip() if punctuation or digits else text


def cost(
    texts_train: Sequence[str],
    labels_train: Sequence[int] | Sequence[str],
    texts_test: Sequence[str],
    labels_test: Sequence[int] | Sequence[str],
    *,
    C: float = 4.0,  # scikit-learn's name for the inverse strength of regularization
) -> pd.DataFrame:
    """Return what each cleaning step costs a bag-of-words classifier: one row per variant, the untouched texts first.

    The classifier is logistic regression with balanced classes on TF-IDF of words and word pairs. It is trained and
    tested once per variant. The result is deterministic. MELD takes about 15 seconds on one core.

    The columns:

    weighted_f1, macro_f1            F1 on the test texts, from 0 to 1
    weighted_change, macro_change    difference from the untouched texts, in percentage points
    features                         size of the vocabulary
    emptied                          number of test texts of which nothing is left

    By default, scikit-learn's TF-IDF converts texts to lower case and drops punctuation, which would hide the cost.
    Here it keeps upper case, and each mark is a token: `lowercase=False`, `token_pattern=r"\\w+|[^\\w\\s]"`.

    Raises ValueError if the numbers of texts and labels differ.

    >>> table = cost(["yes!", "yes?", "no!", "no?"] * 3, [1, 0, 1, 0] * 3, ["fine!", "fine?"], [1, 0])
    >>> table["weighted_f1"].round(2).to_dict()["no punctuation"] < table["weighted_f1"].to_dict()["as it is"]
    True
    """
    for texts, labels, which in ((texts_train, labels_train, "train"), (texts_test, labels_test, "test")):
        if len(texts) != len(labels) or not len(texts):
            raise ValueError(f"{which}: {len(texts)} texts and {len(labels)} labels; pass one label for each text")
    rows = {}
    for name, steps in VARIANTS.items():
        train, test = ([clean_text(text, **steps) for text in texts] for texts in (texts_train, texts_test))
        words = TfidfVectorizer(lowercase=False, token_pattern=r"\w+|[^\w\s]", ngram_range=(1, 2))
        model = make_pipeline(words, LogisticRegression(C=C, class_weight="balanced", solver="newton-cg"))
        predicted = model.fit(train, labels_train).predict(test)
        scores = {
            f"{average}_f1": f1_score(labels_test, predicted, average=average) for average in ("weighted", "macro")
        }
        rows[name] = scores | {"features": len(words.vocabulary_), "emptied": sum(not text.strip() for text in test)}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("variant")
    for average in ("macro", "weighted"):
        column = table[f"{average}_f1"]
        table.insert(2, f"{average}_change", 100 * (column - column["as it is"]))
    return table
