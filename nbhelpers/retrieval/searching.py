"""Nearest vectors: exact with numpy, or approximate with faiss."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

KINDS = ("exact", "faiss", "hnsw", "ivf")
# IVF has this times the square root of the number of vectors as lists. More lists make a search faster, but k-means
# takes longer, and each search then looks into a smaller share of the vectors and misses more.
LISTS_PER_ROOT = 2
VECTORS_PER_LIST = 39  # fewer training vectors than this for each list make faiss print a warning


def exact_search(
    vectors: NDArray[np.float32], queries: ArrayLike, k: int = 10, *, block_size: int = 64
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Find the vectors with the highest inner products, by computing all of them.

    Args:
        vectors: what to search [vectors, hidden], float32.
        queries: [queries, hidden].
        k: how many to find; fewer if there are fewer vectors.
        block_size: queries at a time. The inner products of a block take block_size * vectors * 4 bytes.

    Returns:
        The inner products and the numbers of the vectors, both [queries, k], best first. Equal ones are in the order
        of their numbers, except at the last place, where any of them may be kept.

    Raises:
        ValueError: the shapes do not fit, there are no vectors, or k is below 1.

    >>> scores, numbers = exact_search(np.eye(3, dtype=np.float32), [[0.0, 0.6, 0.8]], k=2)
    >>> scores, numbers
    (array([[0.8, 0.6]], dtype=float32), array([[2, 1]]))
    """
    asked = check_queries(vectors.shape, queries, k)
    k = min(k, len(vectors))
    found, numbers = np.empty((len(asked), k), np.float32), np.empty((len(asked), k), np.int64)
    for start in range(0, len(asked), block_size):
        products = asked[start : start + block_size] @ vectors.T  # [block, vectors]
        # argpartition finds the k highest without sorting the others; sorted numbers make the sort below break ties
        best = np.sort(np.argpartition(-products, k - 1, axis=1)[:, :k], axis=1)
        values = np.take_along_axis(products, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        found[start : start + block_size] = np.take_along_axis(values, order, axis=1)
        numbers[start : start + block_size] = np.take_along_axis(best, order, axis=1)
    return found, numbers


def make_faiss_index(
    vectors: NDArray[np.float32],
    kind: str = "hnsw",
    *,
    neighbors: int = 32,
    ef_construction: int = 80,
    ef_search: int = 64,
    num_probes: int = 16,
    seed: int = 0,
) -> Any:
    """Make an index of faiss for inner products. Its `search(queries, k)` returns scores and numbers, as above.

    - "faiss" computes all inner products, like `exact_search`.
    - "hnsw" links each vector to some near ones, and a search walks along these links (Malkov and Yashunin 2016, arXiv
      1603.09320). It is the fastest to search, takes long to build, and needs the links' memory on top.
    - "ivf" puts the vectors into lists, each around a center that k-means finds, and searches the lists whose centers
      are nearest. It builds faster than HNSW.

    Both approximate ones can miss vectors; compare with `exact_search` on some queries (`index_recall`).

    Args:
        vectors: [vectors, hidden], float32, with length 1 if the inner product should be the cosine.
        kind: "faiss", "hnsw" or "ivf".
        neighbors: links of each vector in HNSW. More find more, and take more memory.
        ef_construction, ef_search: how many candidates HNSW keeps while it builds and while it searches.
        num_probes: how many lists IVF searches.
        seed: of the k-means of IVF.

    Raises:
        ImportError: faiss is not installed.
        ValueError: the kind has another name, or there are no vectors.
    """
    try:
        import faiss
    except ImportError as error:
        raise ImportError("this index needs faiss; install it with: pip install faiss-cpu") from error
    if kind not in KINDS[1:]:
        raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS[1:])}; for numpy, call exact_search")
    if not len(vectors):
        raise ValueError("there are no vectors; add some before you search")
    hidden, table = vectors.shape[1], np.ascontiguousarray(vectors, dtype=np.float32)
    index: Any
    if kind == "faiss":
        index = faiss.IndexFlatIP(hidden)
    elif kind == "hnsw":
        index = faiss.IndexHNSWFlat(hidden, neighbors, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = ef_construction, ef_search
    else:
        num_lists = max(1, min(round(LISTS_PER_ROOT * len(table) ** 0.5), len(table) // VECTORS_PER_LIST))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(hidden), hidden, num_lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed, index.nprobe = seed, num_probes
        # k-means needs a sample only; without this limit it would go over a million vectors 10 times
        index.train(table[np.random.default_rng(seed).permutation(len(table))[: 64 * num_lists]])
    index.add(table)
    return index


def index_recall(found: ArrayLike, exact: ArrayLike) -> float:
    """Compute the share of the exact nearest vectors that an approximate search has found.

    It says how good the index is, and nothing about the encoder: exact search has 1 and may still find wrong texts.

    Args:
        found, exact: numbers of vectors [queries, k], from both searches.

    Raises:
        ValueError: the shapes differ.

    >>> index_recall([[1, 2, 9]], [[1, 2, 3]])
    0.6666666666666666
    """
    a, b = np.asarray(found), np.asarray(exact)
    if a.shape != b.shape:
        raise ValueError(f"found has shape {a.shape}, exact has {b.shape}; search both with the same queries and k")
    return float(np.mean([len(set(x) & set(y)) / len(y) for x, y in zip(a.tolist(), b.tolist(), strict=True)]))


def check_queries(shape: tuple[int, ...], queries: ArrayLike, k: int) -> NDArray[np.float32]:
    """The queries as float32 [queries, hidden]; a ValueError if vectors of this shape cannot be searched with them."""
    asked = np.array(queries, dtype=np.float32, ndmin=2)
    if not shape[0]:
        raise ValueError("there are no vectors; add some before you search")
    if asked.shape[1] != shape[1]:
        raise ValueError(
            f"the queries have {asked.shape[1]} dimensions and the vectors {shape[1]}; encode both with one encoder"
        )
    if k < 1:
        raise ValueError(f"k={k}: ask for at least one")
    return asked
