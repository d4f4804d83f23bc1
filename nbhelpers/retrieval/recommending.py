"""Which items for which reader: popularity, what readers of the same items read, and texts like those read before."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array


def read_matrix(readers: ArrayLike, items: ArrayLike, num_readers: int, num_items: int) -> Any:
    """Make the matrix of who has read what: 1 where a reader has read an item, however often.

    Args:
        readers, items: numbers from 0 [reads]; read i is that of readers[i] and items[i].
        num_readers, num_items: the size of the matrix.

    Returns:
        A scipy sparse array [readers, items], float32.

    Raises:
        ValueError: lengths differ, or a number is outside the matrix.

    >>> read_matrix([0, 0, 1], [2, 2, 0], num_readers=2, num_items=3).toarray()
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    rows, columns = np.asarray(readers, dtype=np.int64), np.asarray(items, dtype=np.int64)
    if rows.shape != columns.shape or rows.ndim != 1:
        raise ValueError(f"{rows.shape} readers and {columns.shape} items; pass one of each for every read")
    for name, values, size in (("readers", rows, num_readers), ("items", columns, num_items)):
        if len(values) and not 0 <= values.min() <= values.max() < size:
            raise ValueError(f"{name} has a number outside 0 to {size - 1}; check num_{name}")
    matrix = csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(num_readers, num_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0  # a second read of the same item says nothing new
    return matrix


def popularity_scores(train_reads: Any, num_readers: int) -> NDArray[np.float32]:
    """Score each item by its number of readers, alike for everybody: the baseline that others must beat.

    Args:
        train_reads: the reads to learn from, from `read_matrix` [readers, items].
        num_readers: for how many readers to score.

    Returns:
        [num_readers, items]; an item without a reader has 0.

    >>> popularity_scores(read_matrix([0, 1], [1, 1], 2, 3), num_readers=1)
    array([[0., 2., 0.]], dtype=float32)
    """
    counts = np.asarray(train_reads.sum(axis=0), dtype=np.float32).ravel()
    return np.tile(counts, (num_readers, 1))


def item_item_scores(train_reads: Any, history: Any, *, shrinkage: float = 10.0) -> NDArray[np.float32]:
    """Score items by how often they were read by the same people as the items of a reader's history.

        similarity(i, j) = readers of both / (sqrt(readers of i * readers of j) + shrinkage)

    The score of item j is the sum over the history. It knows nothing about texts, so an item that nobody has read has
    the score 0: a cold item. (Sarwar et al. 2001; the shrinkage keeps two items that one reader shares from being
    perfectly similar.)

    Args:
        train_reads: the reads to learn from [readers, items].
        history: what the readers to score for have read [other readers or the same ones, items].
        shrinkage: 0 trusts every count.

    Returns:
        [readers of history, items].

    >>> reads = read_matrix([0, 0, 1, 1, 2], [0, 1, 0, 1, 2], 3, 3)
    >>> item_item_scores(reads, read_matrix([0], [0], 1, 3), shrinkage=0.0)
    array([[0., 1., 0.]], dtype=float32)
    """
    both = (train_reads.T @ train_reads).toarray()  # readers of both items [items, items]
    readers = both.diagonal()
    similarity = both / np.maximum(np.sqrt(np.outer(readers, readers)) + shrinkage, 1e-9)
    np.fill_diagonal(similarity, 0.0)  # each item is most similar to itself, which recommends nothing
    return np.asarray(history @ similarity, dtype=np.float32)


def text_scores(history: Any, vectors: ArrayLike, *, nearest: int = 0) -> NDArray[np.float32]:
    """Score items by how similar their texts are to those that a reader has read. It needs no other reader.

    Args:
        history: what the readers have read [readers, items].
        vectors: of the items' texts, with length 1 [items, hidden].
        nearest: 0 compares with the mean vector of the history. A number compares with the texts one by one and takes
            the mean of so many highest cosines: better for readers with several interests, which a mean blurs.

    Returns:
        [readers, items]; 0 for a reader without a history.

    >>> vectors = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    >>> text_scores(read_matrix([0], [0], 1, 3), vectors)
    array([[1. , 0.6, 0. ]], dtype=float32)
    """
    table = np.asarray(vectors, dtype=np.float32)
    if not nearest:
        sums = history @ table  # [readers, hidden]
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        return np.asarray(sums / np.maximum(lengths, 1e-9) @ table.T, dtype=np.float32)
    cosines = table @ table.T
    scores = np.zeros(history.shape, dtype=np.float32)
    for reader in range(history.shape[0]):
        items = history.indices[history.indptr[reader] : history.indptr[reader + 1]]
        if len(items):
            of_items = np.sort(cosines[items], axis=0)[-nearest:]  # the highest cosines of each candidate
            scores[reader] = of_items.mean(axis=0)
    return scores


def without_read(scores: ArrayLike, history: Any) -> NDArray[np.float32]:
    """Give items that a reader has read the score -inf, so that they are not recommended again.

    >>> without_read([[0.5, 0.7]], read_matrix([0], [1], 1, 2))
    array([[ 0.5, -inf]], dtype=float32)
    """
    table = np.array(scores, dtype=np.float32)
    rows, columns = history.nonzero()
    table[rows, columns] = -np.inf
    return table
