"""An index of texts: add them, search them, save and load the whole."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .searching import KINDS, check_queries, exact_search, make_faiss_index

VERSION = 1  # of the files in a saved folder
SAME = 0.99  # the cosine of a text with itself; rounding and other batch sizes leave more than this


class Hit(NamedTuple):
    """A text that was found.

    Args:
        id: that of the text.
        score: its cosine with the query.
        text: what was added.
    """

    id: str
    score: float
    text: str


class Index:
    """Texts and their vectors.

    Args:
        encode: a function from a list of texts to vectors [texts, hidden], such as a `partial` of the unit's `encode`.
            The index scales them to length 1, so a score is always a cosine.
        encode_query: the same for what is searched for, where queries have another prefix; by default `encode`.
        kind: "exact" compares with every vector, in numpy. "faiss" does the same in faiss; "hnsw" and "ivf" are
            approximate, and worth it from some 100,000 texts on.

    >>> def encode(texts):  # a stand-in: how many of each letter
    ...     return np.array([[text.count(letter) for letter in "abc"] for text in texts], dtype=float)
    >>> index = Index(encode)
    >>> index.add(["1", "2"], ["aab", "ccc"])
    >>> index.search(["c"], k=1)
    [[Hit(id='2', score=1.0, text='ccc')]]
    """

    def __init__(
        self,
        encode: Callable[[list[str]], ArrayLike],
        *,
        encode_query: Callable[[list[str]], ArrayLike] | None = None,
        kind: str = "exact",
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}; choose one of these")
        self.encode, self.encode_query, self.kind = encode, encode_query or encode, kind
        self.ids: list[str] = []
        self.texts: list[str] = []
        self.vectors: NDArray[np.float32] = np.empty((0, 0), np.float32)
        self.faiss_index: Any = None

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, ids: Sequence[str], texts: Sequence[str]) -> None:
        """Encode texts and add them.

        Args:
            ids: one for each text, which no other text of the index has.
            texts: what will be compared with queries and shown.

        Raises:
            ValueError: lengths differ, a text is empty, or an id is in use.
        """
        new_ids, new_texts = [str(name) for name in ids], list(texts)
        if len(new_ids) != len(new_texts):
            raise ValueError(f"{len(new_ids)} ids, but {len(new_texts)} texts; pass one of each")
        used = set(self.ids)
        for row, (name, text) in enumerate(zip(new_ids, new_texts, strict=True)):
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"text {row} (id {name!r}) is empty or not a string; leave it out")
            if name in used:
                raise ValueError(f"text {row} has the id {name!r}, which another text has; give each its own")
            used.add(name)
        if not new_ids:
            return
        vectors = unit_vectors(self.encode(new_texts))
        if len(vectors) != len(new_texts):
            raise ValueError(
                f"encode returned {len(vectors)} vectors for {len(new_texts)} texts; it must return one each"
            )
        self.vectors = np.concatenate([self.vectors, vectors]) if len(self) else vectors
        self.ids, self.texts = self.ids + new_ids, self.texts + new_texts
        self.faiss_index = None  # made again at the next search

    def search(self, queries: Sequence[str], k: int = 10, *, threshold: float = -1.0) -> list[list[Hit]]:
        """Find the texts that are most similar to each query.

        Args:
            queries: texts.
            k: the largest number of hits for each.
            threshold: leave out hits with a lower score, from `choose_threshold`.

        Returns:
            A list of hits for each query, best first. It is empty where no hit reaches the threshold.

        Raises:
            ValueError: the index or the list of queries is empty, or k is below 1.
        """
        if isinstance(queries, str) or not len(queries):
            raise ValueError("pass a list with at least one query")
        asked = check_queries((len(self), self.vectors.shape[1]), unit_vectors(self.encode_query(list(queries))), k)
        k = min(k, len(self))
        if self.kind == "exact":
            scores, numbers = exact_search(self.vectors, asked, k)
        else:
            if self.faiss_index is None:
                self.faiss_index = make_faiss_index(self.vectors, self.kind)
            scores, numbers = self.faiss_index.search(asked, k)
        return [
            [self.hit(i, score) for i, score in zip(*row, strict=True) if i >= 0 and score >= threshold]
            for row in zip(numbers.tolist(), scores.tolist(), strict=True)
        ]

    def hit(self, number: int, score: float) -> Hit:
        """The hit of a text with this number."""
        return Hit(self.ids[number], score, self.texts[number])

    def save(self, folder: str | Path) -> None:
        """Write a folder with vectors.npy, texts.jsonl and index.json. The encoder is not in it.

        Everything is written to a temporary folder and renamed on success, so a reader never sees half an index. A
        folder that contains an index is replaced.

        Raises:
            ValueError: the index is empty, or the folder exists and contains something else.
        """
        target = Path(folder)
        if not len(self):
            raise ValueError("the index is empty; add texts before you save it")
        if target.exists() and not (target / "index.json").is_file():
            raise ValueError(f"{target} exists and is no index; choose another folder")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
            new = Path(temporary, "new")
            new.mkdir()
            np.save(new / "vectors.npy", self.vectors, allow_pickle=False)
            lines = (json.dumps({"id": i, "text": text}) + "\n" for i, text in zip(self.ids, self.texts, strict=True))
            (new / "texts.jsonl").write_text("".join(lines), encoding="utf-8")
            facts = {"version": VERSION, "kind": self.kind, "texts": len(self), "hidden": self.vectors.shape[1]}
            (new / "index.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")
            if target.exists():
                shutil.move(target, Path(temporary, "old"))
            new.rename(target)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        encode: Callable[[list[str]], ArrayLike],
        *,
        encode_query: Callable[[list[str]], ArrayLike] | None = None,
    ) -> Index:
        """Load a folder that `save` wrote.

        Args:
            folder: its path.
            encode, encode_query: as for the class. The first text is encoded again, to see that it is the same encoder.

        Raises:
            ValueError: the folder is no index or not complete, or its vectors come from another encoder.
        """
        source = Path(folder)
        try:
            facts = json.loads((source / "index.json").read_text(encoding="utf-8"))
            lines = (source / "texts.jsonl").read_text(encoding="utf-8").split("\n")
            rows = [json.loads(line) for line in lines if line]
            vectors = np.load(source / "vectors.npy", allow_pickle=False)  # a pickle could run code
            index = cls(encode, encode_query=encode_query, kind=facts["kind"])
            index.ids, index.texts = [row["id"] for row in rows], [row["text"] for row in rows]
            complete = len(index) == len(vectors) == facts["texts"] > 0 and facts["version"] == VERSION
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{source} is not an index that can be loaded ({error}); save it again") from error
        if not complete:
            raise ValueError(f"{source} is not complete, or another version wrote it; save it again")
        index.vectors = vectors
        again = unit_vectors(encode(index.texts[:1]))
        if again.shape[1] != vectors.shape[1] or float(again[0] @ vectors[0]) < SAME:
            raise ValueError(
                f"the vectors in {source} were made with another encoder; load that one, or add the texts again"
            )
        return index


def unit_vectors(vectors: ArrayLike) -> NDArray[np.float32]:
    """Scale vectors to length 1, so that inner products are cosines; a zero vector stays 0, and NaN is a ValueError.

    >>> unit_vectors([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]], dtype=float32)
    """
    table = np.array(vectors, dtype=np.float32, ndmin=2)
    if not np.isfinite(table).all():
        raise ValueError("encode returned a vector that is not finite; check the encoder and its precision")
    return np.asarray(table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12), dtype=np.float32)
