"""The store of measured runs: one JSON line per run in data/results/TABLE.jsonl.

Rows are only ever added. A row that was measured with an earlier configuration stays in the file, and `runs` leaves it
out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nbhelpers.course import paths
from nbhelpers.course.provenance import circumstances

from .tables import table_rows


def read(table: str, folder: Path | None = None) -> list[dict[str, Any]]:
    """All rows that were measured for a table, oldest first.

    Args:
        table: the name of a file in data/results, without ".jsonl".
        folder: where the file is; default: data/results.

    Returns:
        A dict per row. A line that a killed run left unfinished is left out.
    """
    path = (folder or paths.RESULTS) / f"{table}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [row for line in lines if (row := parse(line)) is not None]


def parse(line: str) -> dict[str, Any] | None:
    """The row of a line, or None when the line is not a JSON object."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) else None


def append(table: str, row: dict[str, Any], folder: Path | None = None) -> None:
    """Add a row to a table, together with the machine, versions, commit and date of now.

    Args:
        table: the name of a file in data/results, without ".jsonl"; it is created when missing.
        row: what was measured. What it says itself, for instance its number of threads, is kept. "predictions" are
            class ids; see `pack_predictions`.
        folder: where the file is; default: data/results.

    Raises:
        CourseError: the row would be written into an installed package.
    """
    if folder is None:
        paths.require_checkout("recording a measurement")
    folder = folder or paths.RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table}.jsonl"
    unfinished = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    if "predictions" in row:
        row = row | {"predictions": pack_predictions(row["predictions"])}
    line = json.dumps(row | circumstances() | row)  # the first `row` sets the order of the names, the last the values
    with path.open("a", encoding="utf-8") as file:
        # One write, so that the lines of two programs that measure at once do not mix.
        file.write(("\n" if unfinished else "") + line + "\n")


def measured(table: str, row: str) -> dict[tuple[str, str], dict[int, dict[str, Any]]]:
    """The runs of a row with its present configuration.

    Returns:
        (device, precision) -> seed -> run. The device that was measured on last comes last. Of two runs with the same
        seed on the same device, the later one counts.
    """
    config = table_rows(table)[row]
    by_device = dict[tuple[str, str], dict[int, dict[str, Any]]]()
    for run in read(table):
        if run["row"] == row and run["config"] == config:
            device = run["device"], run["precision"]
            by_device[device] = by_device.pop(device, {}) | {run["seed"]: run}  # pop moves this device to the end
    return by_device


def runs(table: str, row: str) -> list[dict[str, Any]]:
    """The runs of a row with its present configuration, by seed, from the kind of device that was measured on last."""
    last = next(reversed(measured(table, row).values()), {})
    return [last[seed] for seed in sorted(last)]


def predictions(table: str, row: str) -> dict[int, list[int]]:
    """Seed -> the class ids that the run with this seed predicted for the rows of the test split."""
    return {run["seed"]: unpack_predictions(run["predictions"]) for run in runs(table, row)}


def pack_predictions(class_ids: Sequence[int]) -> str | list[int]:
    """Class ids as they are stored: a string with one digit per item, or a list if an id has two digits.

    >>> pack_predictions([0, 6, 2]), pack_predictions([0, 12, 2])
    ('062', [0, 12, 2])
    """
    ids = [int(class_id) for class_id in class_ids]
    return "".join(map(str, ids)) if max(ids, default=0) < 10 else ids


def unpack_predictions(stored: str | Sequence[int]) -> list[int]:
    """Class ids from what `pack_predictions` made of them.

    >>> unpack_predictions("062"), unpack_predictions([0, 12, 2])
    ([0, 6, 2], [0, 12, 2])
    """
    return [int(class_id) for class_id in stored]
