"""Seconds to read and check all of MELD, best and worst of five loads. Adds a row to data/results/loading.jsonl."""

import time

from nbhelpers import corpora
from nbhelpers.course import results

if __name__ == "__main__":
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        data = corpora.load("meld")
        seconds.append(round(time.perf_counter() - start, 3))
    row = {
        "row": "read and check MELD",
        "rows": sum(map(len, data.values())),
        "best": min(seconds),
        "worst": max(seconds),
    }
    results.append("loading", row)
    print(row)
