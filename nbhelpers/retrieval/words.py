"""Search by words: BM25, with the package bm25s."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def bm25_scores(
    questions: Sequence[str],
    documents: Sequence[str],
    *,
    k1: float = 1.5,
    b: float = 0.75,
    stopwords: str | list[str] = "english",
) -> NDArray[np.float32]:
    """Score each document for each question by the words that they share (BM25 as in Lucene).

        score = sum over the question's words w of idf(w) * tf / (tf + k1 * (1 - b + b * length / mean length))
        idf(w) = ln(1 + (N - n + 0.5) / (n + 0.5))

    tf is how often the document contains the word, N the number of documents, and n that of documents with the word. A
    word is two or more letters or digits, in lower case; there is no stemming, so "pools" does not find "pool".

    A document that shares no word with a question has the score 0: it is not found. Pass `above=0` to `rank_items`,
    which would list these documents by their numbers otherwise.

    Args:
        questions, documents: texts.
        k1: how soon more of the same word stop to count.
        b: 0 ignores the length of a document, 1 divides by it fully.
        stopwords: "english", "" for none, or a list; they are removed from both sides.

    Returns:
        Scores [questions, documents].

    Raises:
        ImportError: bm25s is not installed.
        ValueError: there is no document, or none of them has a word.

    >>> bm25_scores(["opening hours of the pool"], ["The pool opens at 7.", "Bus lines"]).round(2)
    array([[0.28, 0.  ]], dtype=float32)
    """
    try:
        import bm25s
    except ImportError as error:
        raise ImportError("BM25 needs the package bm25s; install it with: pip install bm25s") from error
    removed: list[str] | str = stopwords if stopwords else []
    words = bm25s.tokenize(list(documents), stopwords=removed, return_ids=False, show_progress=False)
    if not any(words):
        raise ValueError("the documents have no words to search for; pass texts, and fewer stopwords")
    index = bm25s.BM25(k1=k1, b=b, method="lucene")
    index.index(words, show_progress=False)
    known = set().union(*words)
    scores = np.zeros((len(questions), len(documents)), dtype=np.float32)
    asked = bm25s.tokenize(list(questions), stopwords=removed, return_ids=False, show_progress=False)
    for row, question in enumerate(asked):
        found = [word for word in question if word in known]  # a question of unknown words alone is an error in bm25s
        if found:
            scores[row] = index.get_scores(found)
    return scores
