"""Measure `nbhelpers predict`: texts per second with an 8-bit export, and memory for small and large files.

    python tests/benchmarks/predicting.py [ROWS ...]

The texts are those of MELD, in $NBHELPERS_DATA, repeated to the number of rows (default: 10,000 and 1,000,000). The
model is the embedded encoder with a new head, because neither speed nor memory depends on the weights. Adds a row for
each number to data/results/predicting.jsonl.
"""

import contextlib
import itertools
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil

from nbhelpers import corpora, encoders
from nbhelpers.course import deploy, results

SAMPLE = 2000  # texts that the export is compared on


def write_export(folder: Path) -> Path:
    """An 8-bit export of the embedded encoder with a new head for MELD's emotions."""
    texts = corpora.load_meld()["train"].to_pandas()
    labels = [corpora.EMOTIONS[i] for i in texts["emotion"]]
    frame = pd.DataFrame({"text": texts["text"], "label": labels}).head(SAMPLE)
    frame.to_csv(folder / "sample.csv", index=False)
    tokenizer, model = encoders.load("embedded", sorted(corpora.EMOTIONS))
    model.config.settings = {"corpus": str(folder / "sample.csv"), "corpus_options": {"dev_share": 0.5}}
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    deploy.export_folder(folder / "model", folder / "int8", int8=True, force=True)
    return folder / "int8"


def measure(export: Path, num_rows: int, folder: Path) -> None:
    """Classify a file of so many rows in a process of its own."""
    texts = [text for part in corpora.load_meld().values() for text in part["text"]]
    source, output = folder / f"{num_rows}.csv", folder / f"{num_rows}_out.csv"
    pd.DataFrame({"id": range(num_rows), "text": itertools.islice(itertools.cycle(texts), num_rows)}).to_csv(
        source, index=False
    )
    start = time.perf_counter()
    nbhelpers = str(Path(sys.executable).with_name("nbhelpers"))
    process = psutil.Popen([nbhelpers, "predict", str(export), str(source), "-o", str(output)])
    peak = 0
    while process.poll() is None:
        with contextlib.suppress(psutil.Error):  # it may end between two lines
            peak = max(peak, process.memory_info().rss)
        time.sleep(0.05)
    seconds = time.perf_counter() - start
    assert process.returncode == 0, f"predict ended with {process.returncode}"
    row = {"row": f"{num_rows:,} rows", "rows": num_rows, "seconds": round(seconds, 1)}
    row |= {"texts_per_second": round(num_rows / seconds), "peak_mib": round(peak / 2**20)}
    print(row)
    results.append("predicting", row)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made = write_export(Path(place))
        for number in map(int, sys.argv[1:] or ["10000", "1000000"]):
            measure(made, number, Path(place))
