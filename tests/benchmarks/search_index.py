"""Exact search against faiss: seconds to build, milliseconds a query, memory, and what an approximate index misses.

    python tests/benchmarks/search_index.py [--sizes 1000 100000 1000000] [--queries 200] [--print-only]

The vectors are mixtures of the embedded encoder's vectors of the help pages and the news, with noise, so that they lie
as unevenly as those of texts. One thread. A million vectors need about 6 GiB and, for HNSW, many minutes. Adds a row
per size and kind to data/results/search_index.jsonl.
"""

import argparse
import gc
import time
from functools import partial

import faiss
import numpy as np

from nbhelpers import corpora, encoders, environment, retrieval
from nbhelpers.course import results
from nbhelpers.course.questions import load_items, load_questions

WEIGHTS, NOISE, CHUNK = (1.0, 0.5, 0.25), 0.5, 50_000


def mixed_vectors(base, number, rng):
    """Mix the vectors of real texts, in chunks because three million rows at once would take 5 GB."""
    vectors = np.empty((number, base.shape[1]), dtype=np.float32)
    for start in range(0, number, CHUNK):
        size = min(CHUNK, number - start)
        mixed = sum(base[rng.integers(len(base), size=size)] * np.float32(weight) for weight in WEIGHTS)
        mixed += np.float32(NOISE / base.shape[1] ** 0.5) * rng.standard_normal(mixed.shape, dtype=np.float32)
        vectors[start : start + size] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    return vectors


def measure(vectors, queries, kind, exact):
    """Build one index, and search it; the first ten queries only warm it up."""
    start = time.perf_counter()
    index = None if kind == "numpy" else retrieval.make_faiss_index(vectors, kind)
    built = time.perf_counter()
    search = partial(retrieval.exact_search, vectors) if index is None else index.search
    search(queries[:10], 10)
    begin = time.perf_counter()
    found = np.concatenate([search(query, 10)[1] for query in queries[:, None]])  # one at a time, as in a service
    asked = time.perf_counter()
    return {
        "build_s": round(built - start, 3),
        "ms_per_query": round(1000 * (asked - begin) / len(queries), 4),
        "mib": round((vectors.nbytes + extra_bytes(index, kind, len(vectors))) / 2**20, 1),
        "recall_at_10": round(retrieval.index_recall(found, exact), 4),
    }


def extra_bytes(index, kind, number):
    """What an index needs besides its vectors: HNSW 4 bytes for each link, IVF its centers and 8 bytes for each id."""
    if kind == "hnsw":
        return 4 * index.hnsw.neighbors.size()
    return index.nlist * index.d * 4 + 8 * number if kind == "ivf" else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 100_000, 1_000_000])
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--print-only", action="store_true")
    options = parser.parse_args()
    faiss.omp_set_num_threads(1)
    tokenizer, model = encoders.load("embedded", ("no", "yes"))
    precision, _ = environment.best_precision(environment.best_device())
    texts = [*load_questions("faq")[0]["document"], *load_items("topics")["text"]]
    tokenizer = corpora.normalizing_tokenizer(tokenizer)
    base = retrieval.encode(texts, tokenizer, model.base_model, precision=precision)
    del model
    rng = np.random.default_rng(0)
    queries = mixed_vectors(base, options.queries, rng)
    for size in options.sizes:
        vectors = mixed_vectors(base, size, rng)
        _, exact = retrieval.exact_search(vectors, queries, 10)
        for kind in ("numpy", "faiss", "ivf", "hnsw"):
            row = {"row": f"{size:,} vectors, {kind}", "vectors": size, "hidden": vectors.shape[1]}
            row |= measure(vectors, queries, kind, exact)
            print(row, flush=True)
            if not options.print_only:
                results.append("search_index", row)
            gc.collect()


if __name__ == "__main__":
    main()
