"""`nbhelpers bench data`: reading and tokenizing a file, with the library datasets and with this package."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pandas as pd

from nbhelpers import batching, corpora

from .comparing import OURS, Comparison, Way, per_second, take_turns
from .sample import LABELS, MAX_LENGTH, Sample

READERS = {"csv": "csv", "jsonl": "json", "parquet": "parquet"}  # suffix -> name of the reader in datasets
COMMON = "load_dataset and map, csv"
CEILING = "tokenizer alone"
REPEATS = 20  # of the sample in a file, because opening a file should not count more than reading it


def write_files(sample: Sample, place: Path) -> dict[str, Path]:
    """Write the texts of a sample, repeated, with labels as a file of each format. Returns suffix -> file."""
    labels = [LABELS[example["labels"]] for example in sample.examples]
    frame = pd.DataFrame({"text": sample.texts * REPEATS, "label": labels * REPEATS})
    files = {suffix: place / f"texts.{suffix}" for suffix in READERS}
    frame.to_csv(files["csv"], index=False)
    frame.to_json(files["jsonl"], orient="records", lines=True)
    frame.to_parquet(files["parquet"], index=False)
    return files


def with_datasets(path: Path, tokenizer: Any) -> object:
    """What the documentation of transformers shows. The cache is new, so that the file is really read."""
    reader = READERS[path.suffix.removeprefix(".")]
    with tempfile.TemporaryDirectory() as cache:
        data = datasets.load_dataset(reader, data_files=str(path), cache_dir=cache)["train"]
        return data.map(lambda rows: tokenizer(rows["text"], truncation=True, max_length=MAX_LENGTH), batched=True)


def with_ours(path: Path, tokenizer: Any) -> object:
    """What `nbhelpers train` does: read, check and normalize the rows, and tokenize them."""
    part = corpora.load(path, text="text", label="label")["train"]
    return batching.tokenize(part["text"][:], tokenizer, labels=part["label"][:], max_length=MAX_LENGTH)


def measure(sample: Sample, place: Path, quick: bool, say: Callable[[str], None]) -> Comparison:
    """Compare ways to read and tokenize files. The arguments are as in `train.measure`; the files go to `place`."""
    files, tokenizer = write_files(sample, place), sample.tokenizer
    reads: dict[str, Callable[[], object]] = {}
    for suffix, path in files.items():
        reads[f"load_dataset and map, {suffix}"] = partial(with_datasets, path, tokenizer)
        reads[f"{OURS}, {suffix}"] = partial(with_ours, path, tokenizer)
    reads[CEILING] = partial(tokenizer, sample.texts * REPEATS, truncation=True, max_length=MAX_LENGTH)
    ways: dict[str, Way] = {
        name: partial(per_second, REPEATS * len(sample.texts), read) for name, read in reads.items()
    }
    bars = datasets.utils.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        speeds, failed = take_turns(ways, 2 if quick else 5, say)
    finally:
        if not bars:
            datasets.enable_progress_bars()
    about = f"Reading and tokenizing: files that contain {REPEATS} times {sample.describe()}."
    return Comparison("data", about, "rows per second", speeds, COMMON, CEILING, {}, failed)
