"""A word-substitution search: which texts change their prediction when single words are replaced?

The search is greedy, in the manner of TextFooler (Jin et al. 2020, arXiv 1907.11932). It ranks the words of a text by
how much the probability of the label falls without them. Then it replaces one after another by the candidate that
lowers this probability most, until another class is predicted. It does not find everything: a text that holds here may
flip under a better search.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Generator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .perturbations import generator_for
from .predictions import Predict, check_labels, check_texts, probabilities
from .summaries import share, wilson_interval

# Sends texts to be predicted, receives their probabilities [texts, classes], and returns what it found.
Search = Generator[list[str], NDArray[np.float64], dict[str, Any]]
WORD = re.compile(r"(\w+(?:['’-]\w+)*)")


def substitute_words(
    predict: Predict,
    texts: Sequence[str],
    labels: Sequence[int],
    candidates: Callable[[str], Sequence[str] | None],
    *,
    max_queries: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Search, for each correctly classified text, replacements of words that change the predicted class.

    All texts are searched side by side: each call of `predict` contains the next queries of all of them.

    Args:
        predict: A function of a list of texts that returns probabilities [texts, classes].
        texts, labels: [texts] each; the labels are class numbers.
        candidates: A function from a word in small letters to words that can replace it, the closest first; None or an
            empty list leaves the word alone. They must keep the label, or the search shows nothing.
        max_queries: The largest number of texts that are predicted for one text, the text itself included.
        seed: From 0. A text that has too many words for the queries is searched in a random part of them.

    Returns:
        A row per text, with these columns:

        - text, label: as passed
        - status: "flipped" (another class is predicted for `new_text`), "held" (the search ended without that), "out of
          queries" (it was cut short, and with more queries the text might flip), "no candidates" (no word can be
          replaced), or "wrong before" (not searched, because the prediction was wrong already)
        - queries: how many texts were predicted, at most `max_queries`
        - words: number of words in the text
        - changes: list of (word, replacement). A limit on changes can be applied afterwards: a text that took three
          would not have flipped with two
        - new_text: the text with these changes
        - probability_before, probability_after: of the label

    Raises:
        ValueError: Texts, labels or `max_queries` are wrong, or `candidates` or `predict` return something else.

    >>> predict = lambda texts: [[0.1, 0.9] if "great" in text.lower() else [0.8, 0.2] for text in texts]
    >>> synonyms = {"great": ["fine"], "film": ["movie"]}
    >>> table = substitute_words(predict, ["Great film!"], [1], synonyms.get)
    >>> table[["status", "queries", "changes", "new_text"]].values.tolist()
    [['flipped', 4, [('Great', 'Fine')], 'Fine film!']]
    """
    if max_queries < 1:
        raise ValueError(f"max_queries={max_queries}: pass at least 1, because the text itself is a query")
    texts = check_texts(texts)
    before = probabilities(predict, texts)
    gold = check_labels(labels, *before.shape).tolist()
    cached = functools.cache(candidates)
    rows: list[dict[str, Any]] = []
    searches: dict[int, Search] = {}
    for row, (text, label) in enumerate(zip(texts, gold, strict=True)):
        probability = float(before[row, label])
        rows.append({"text": text, "label": label, "words": len(WORD.findall(text)), "probability_before": probability})
        rows[row] |= outcome("wrong before", 1, [], text, probability)
        # Counting texts that were wrong before as flipped would make every attack look strong, and a bad model weak.
        if before[row].argmax() == label:
            searches[row] = search(text, label, probability, cached, max_queries, generator_for(text, seed))
    for row, found in run_side_by_side(predict, searches).items():
        rows[row] |= found
    return pd.DataFrame(rows)


def search(
    text: str,
    label: int,
    probability: float,
    candidates: Callable[[str], Sequence[str] | None],
    max_queries: int,
    rng: np.random.Generator,
) -> Search:
    """Search one text. It was predicted before with this `probability` of the label, which was its first query."""
    pieces = WORD.split(text)  # the words have odd numbers; between them is the rest
    options = {number: replacements(pieces[number], candidates) for number in range(1, len(pieces), 2)}
    numbers = [number for number in options if options[number]]
    if not numbers:
        return outcome("no candidates", 1, [], text, probability)
    num_ranked = len(numbers) if len(numbers) > 1 else 0
    is_complete = 1 + num_ranked + sum(map(len, options.values())) <= max_queries
    if not is_complete:
        # At most half of the queries rank words, or a long text would have none left for replacements, and "hold".
        numbers = sorted(rng.permutation(numbers)[: max(1, (max_queries - 1) // 2)].tolist())
    queries, changes = 1, []
    if len(numbers) > 1:
        without = yield [
            ("".join(pieces[:number]).rstrip() + "".join(pieces[number + 1 :])).strip() for number in numbers
        ]
        queries += len(numbers)
        numbers = [numbers[rank] for rank in without[:, label].argsort(kind="stable")]
    for number in numbers:
        words = options[number][: max_queries - queries]
        if not words:
            break
        after = yield ["".join([*pieces[:number], word, *pieces[number + 1 :]]) for word in words]
        queries += len(words)
        flips = after.argmax(1) != label
        best = int(flips.argmax() if flips.any() else after[:, label].argmin())
        # Compared with the text so far. TextFooler's code compares with the original and can lose what it has gained.
        if flips.any() or after[best, label] < probability:
            changes.append((pieces[number], words[best]))
            pieces[number], probability = words[best], float(after[best, label])
        if flips.any():
            return outcome("flipped", queries, changes, "".join(pieces), probability)
    return outcome("held" if is_complete else "out of queries", queries, changes, "".join(pieces), probability)


def outcome(
    status: str, queries: int, changes: list[tuple[str, str]], new_text: str, probability: float
) -> dict[str, Any]:
    """The columns of `substitute_words` that a search decides."""
    found = {"status": status, "queries": queries, "changes": changes, "new_text": new_text}
    return found | {"probability_after": probability}


def replacements(word: str, candidates: Callable[[str], Sequence[str] | None]) -> list[str]:
    """Ask for the candidates of a word, write them with its capitals, and leave out the word itself.

    >>> replacements("Great", {"great": ["fine", "GREAT", "fine", "very good"]}.get)
    ['Fine', 'Very good']
    """
    found = candidates(word.lower())
    if isinstance(found, str):
        raise ValueError(f"candidates({word.lower()!r}) returned the string {found!r}; return a list of words")
    options = [] if found is None else [option for option in found if option.strip() and option.lower() != word.lower()]
    if word.isupper() and len(word) > 1:
        options = [option.upper() for option in options]
    elif word[0].isupper():
        options = [option[0].upper() + option[1:] for option in options]
    return list(dict.fromkeys(options))


def run_side_by_side(predict: Predict, searches: dict[int, Search]) -> dict[int, dict[str, Any]]:
    """Run searches until all have ended, with one call of `predict` for the next queries of all of them."""
    results = {}
    answers: dict[int, NDArray[np.float64] | None] = dict.fromkeys(searches)  # None starts a generator
    while answers:
        asked = {}
        for row, answer in answers.items():
            try:
                asked[row] = searches[row].send(answer)  # type: ignore[arg-type]
            except StopIteration as end:
                results[row] = end.value
        if not asked:
            break
        predicted = probabilities(predict, [text for queries in asked.values() for text in queries])
        ends = np.cumsum([len(queries) for queries in asked.values()])
        answers = dict(zip(asked, np.split(predicted, ends[:-1]), strict=True))
    return results


def summarize_search(table: pd.DataFrame) -> dict[str, float]:
    """Summarize what `substitute_words` returned.

    Returns:
        "texts", and "accuracy_before" and "accuracy_after" over all of them. A text that was out of queries counts as
        correct, so the accuracy after is an upper bound.
        "correct_before", how many were correct, and "flip_rate_if_correct", the share of these that flipped, with "low"
        and "high", its 95 % Wilson interval. Papers call it the success rate of the attack. 1 - accuracy_after is not:
        it also counts the texts that were wrong before.
        "attacked", how many of the correct ones have words with candidates, and "flip_rate_if_attacked", the share of
        these that flipped. If the two rates differ much, the candidates are too few to show robustness.
        "out_of_queries", the share of the attacked texts whose search was cut short, "mean_queries" per attacked text,
        and "mean_changes", replaced words per flipped text. Means and shares of nothing are NaN.

    >>> table = pd.DataFrame({"status": ["flipped", "held", "wrong before", "no candidates"], "queries": [5, 9, 1, 1]})
    >>> table["changes"] = [[("great", "fine")], [], [], []]
    >>> found = summarize_search(table)
    >>> found["accuracy_before"], found["accuracy_after"]
    (0.75, 0.5)
    >>> round(found["flip_rate_if_correct"], 2), found["flip_rate_if_attacked"]
    (0.33, 0.5)
    """
    correct = table[table["status"] != "wrong before"]
    attacked = correct[correct["status"] != "no candidates"]
    flipped = attacked[attacked["status"] == "flipped"]
    low, high = wilson_interval(len(flipped), len(correct))
    return {
        "texts": len(table),
        "accuracy_before": len(correct) / len(table),
        "accuracy_after": (len(correct) - len(flipped)) / len(table),
        "correct_before": len(correct),
        "flip_rate_if_correct": share(correct["status"] == "flipped"),
        "low": low,
        "high": high,
        "attacked": len(attacked),
        "flip_rate_if_attacked": share(attacked["status"] == "flipped"),
        "out_of_queries": share(attacked["status"] == "out of queries"),
        "mean_queries": float(attacked["queries"].mean()),
        "mean_changes": float(flipped["changes"].map(len).mean()),
    }
