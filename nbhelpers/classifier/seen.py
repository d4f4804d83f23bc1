"""Which texts a classifier was trained on: their hashes are in its folder, so that scores on them are named as such."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FILE = "train_texts.npy"


def write_hashes(texts: Iterable[str], folder: Path) -> None:
    """Write the hashes of the training texts into a classifier's folder, 8 bytes for each."""
    np.save(folder / FILE, np.unique(hashes(texts)))


def hashes(texts: Iterable[str]) -> NDArray[np.uint64]:
    """A number [texts] for each text. Python's own `hash` would give other ones in each process."""
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.fromiter((int.from_bytes(digest, "little") for digest in digests), np.uint64)


def seen_in_training(texts: Iterable[str], folder: Path) -> str:
    """Say how many of the texts a classifier was trained on, or return "" if none, or if its folder does not tell.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_hashes(["fine", "bad"], Path(folder))
    ...     seen_in_training(["bad", "so", "so so", "well"], Path(folder))
    '1 of these 4 texts is also in its training data, word for word.'
    """
    file = folder / FILE
    here = hashes(texts)
    count = int(np.isin(here, np.load(file)).sum()) if file.is_file() else 0
    if not count:
        return ""
    found = f"{count:,} of these {len(here):,} texts {'is' if count == 1 else 'are'} also in its training data"
    if count > len(here) / 2:
        return f"{found}, so the scores are too good; evaluate it on texts that it was not trained on."
    return f"{found}, word for word."
