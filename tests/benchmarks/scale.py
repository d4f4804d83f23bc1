"""The two tables of docs/scale.md: what was measured on one machine, and what follows for a larger load by arithmetic.

    python tests/benchmarks/scale.py

Writes them into the page, from the last row of each name in data/results. It measures nothing.
"""

import math
import re
from pathlib import Path
from typing import Any

from nbhelpers.course import results

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"
USED = 0.6  # of what a machine can do; the autoscaler of deploy/kubernetes.yml keeps to the same share
MACHINES = 100  # among which a billion rows are divided


def last(table: str, row: str) -> dict[str, Any]:
    """The last row of this name."""
    return {entry["row"]: entry for entry in results.read(table)}[row]


def measured() -> str:
    """What one machine does, in Markdown, with the file and the row of each number."""
    lines = ["| what was measured | number | processor | file and row |", "|---|---|---|---|"]

    def add(what: str, number: str, table: str, row: str) -> None:
        device = last(table, row)["device"].replace("(R)", "").replace(" Processor", "").partition(" (")[0]
        lines.append(f"| {what} | {number} | {device} | `{table}.jsonl`, {row} |")

    for form, what in (("onnx", "service, fp32 export"), ("int8", "service, 8-bit export")):
        row = last("service", f"64 clients, {form}")
        texts = row["texts_per_second"] / row["requests_per_second"]
        number = f"{row['requests_per_second']:.0f} requests a second, of {texts:.1f} texts each"
        add(f"{what}: the most that it answers", number, "service", row["row"])
        add(f"{what}: memory", f"{row['mib']:.0f} MiB", "service", row["row"])
        start = last("service", f"start to ready, {form}")
        add(f"{what}: from start to ready", f"{start['seconds']:.1f} s", "service", start["row"])
    row = last("predicting", "10,000 rows")
    add("`nbhelpers predict`, 8-bit export", f"{row['texts_per_second']:,} rows a second", "predicting", row["row"])
    row = last("throughput", "this course's Trainer, bf16")
    add("training", f"{row['examples_per_second']:.0f} rows a second", "throughput", row["row"])
    row = last("gpu", "embedded encoder, single turns")
    number = f"{row['tokens_per_second']:,} tokens a second, in rows of {row['batch'][1]}"
    add("training on a GPU", number, "gpu", row["row"])
    return "\n".join(lines)


def expected() -> str:
    """How many machines, or how much time, larger loads take, in Markdown."""
    lines = ["| load | arithmetic | result |", "|---|---|---|"]
    for load in (10, 100, 10_000):
        for form, what in (("onnx", "fp32"), ("int8", "8 bits")):
            rate = round(last("service", f"64 clients, {form}")["requests_per_second"])
            number = math.ceil(load / (USED * rate))
            machines = f"{number:,} machine{'s' if number > 1 else ''} like this one"
            lines.append(f"| {load:,} requests a second, {what} | {load:,} / ({USED} × {rate}) | {machines} |")

    def add(load: str, arithmetic: str, result: str) -> None:
        lines.append(f"| {load} | {arithmetic} | {result} |")

    rate = last("predicting", "10,000 rows")["texts_per_second"]
    hours = 1e9 / rate / 3600
    add("a billion rows to classify", f"1,000,000,000 / {rate:,}", f"{hours / 24:.1f} days on one machine")
    add(f"the same on {MACHINES} machines", f"{hours / 24:.1f} days / {MACHINES}", f"{hours / MACHINES:.1f} hours")
    rate = round(last("throughput", "this course's Trainer, bf16")["examples_per_second"])
    add("a billion rows to train on, one epoch", f"1,000,000,000 / {rate}", f"{1e9 / rate / 86_400:.0f} days")
    gpu = last("gpu", "embedded encoder, single turns")
    tokens, length = gpu["tokens_per_second"], gpu["batch"][1]
    add("the same on one GPU", f"1,000,000,000 × {length} / {tokens:,}", f"{1e9 * length / tokens / 86_400:.1f} days")
    add("a million rows to train on, one epoch", f"1,000,000 / {rate}", f"{1e6 / rate / 3600:.1f} hours")
    return "\n".join(lines)


def filled(page: str) -> str:
    """The page with the tables of now between its marks."""
    for name, table in (("measured", measured()), ("expected", expected())):
        marks = rf"(<!-- {name} -->\n)(?:.|\n)*?(<!-- end -->)"
        page, found = re.subn(marks, lambda match, table=table: f"{match[1]}{table}\n{match[2]}", page)
        assert found == 1, f"the page has no marks for {name}"
    return page


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"Written: {PAGE}")
