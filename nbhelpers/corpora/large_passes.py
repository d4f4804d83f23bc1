"""The two passes over a large file: check its rows, and write them into the files of the splits."""

from __future__ import annotations

import contextlib
import hashlib
import sys
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
from datasets import Dataset, Features

from .building import UNKNOWN, info_about, joint_changes, text_key
from .errors import CellFault, CorpusError, place
from .readers import COPY, Table
from .splitting import Splitting
from .validation import (
    class_id,
    find_faults,
    label_of_cell,
    normalized_texts,
    require_columns,
    require_few_faults,
    text_of_cell,
)

TEXTS = ("text", "text_pair")


class Choice(NamedTuple):
    """Which columns are read, and how."""

    texts: list[str]
    label: str
    max_chars: int
    on_fault: str
    splitting: Splitting


class Checked(NamedTuple):
    """The checked rows of a file: what they contain is in a file at `path`."""

    path: Path
    table: Table  # without columns
    labels: list[str]
    changes: dict[str, Any]


def check(parts: Iterable[Table], choice: Choice, path: Path, file_name: str) -> Checked:
    """Check the rows of a file, and write what they contain: texts, label, and the key that chooses a split.

    Args:
        parts: of the file.
        choice: what of it is read.
        path: where it is written.
        file_name: of the file, for messages.
    """
    check_text = partial(text_of_cell, max_chars=choice.max_chars)
    checks: dict[str, Callable[[Any], Any]] = {**dict.fromkeys(choice.texts, check_text), choice.label: label_of_cell}
    keys = choice.splitting.group_columns or choice.texts
    types = [(name, pyarrow.string()) for name, _ in zip(TEXTS, choice.texts, strict=False)]
    schema = pyarrow.schema([*types, ("label", pyarrow.string()), ("key", pyarrow.uint64())])
    whole, labels, changes = None, list[str](), dict[str, Any]()
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, schema) as writer:
        for part in parts:
            require_columns(part, [*checks, *keys], "pass text= and label=, or columns= if there is no header")
            kept, faults = find_faults(part, checks)
            note_faults(part, faults, choice.on_fault)
            part = part.take(kept)
            cells: dict[str, list[Any]] = {}
            for name, column in zip(TEXTS, choice.texts, strict=False):
                cells[name], changed = normalized_texts(part, column, choice.max_chars)
                changes = joint_changes([changes, changed])
            # one object for each class, and not one for each row
            cells["label"] = [sys.intern(label_of_cell(cell)) for cell in part.columns[choice.label]]
            grouped = zip(*(part.columns[key] for key in keys), strict=True)
            cells["key"] = [key_of(row, choice.splitting.seed) for row in grouped]
            writer.write_batch(pyarrow.record_batch(cells, schema=schema))
            labels += cells["label"]
            whole = part_added(whole, part)
    if whole is None or not whole.rows:
        raise CorpusError(f"{file_name} has no rows; {COPY}")
    require_few_faults(whole)
    return Checked(path, whole, labels, changes)


def note_faults(table: Table, faults: Sequence[tuple[str, str]], on_fault: str) -> None:
    """Note rows that are left out, each with the kind and the message of its fault; or raise CorpusError for them."""
    if faults and on_fault == "raise":
        raise CorpusError(faults[0][1])
    for kind, message in faults:
        table.dropped.setdefault(kind, []).append(message.partition("; ")[0])


def part_added(whole: Table | None, part: Table) -> Table:
    """Return what is known about a file without the cells, now that another part of it has been read."""
    if whole is None:
        return replace(part, rows=array("q", part.rows), columns={})  # type: ignore[type-var]
    whole.rows.extend(part.rows)  # type: ignore[attr-defined]
    whole.num_rows += part.num_rows
    whole.notes.extend(part.notes)
    for kind, faults in part.dropped.items():
        whole.dropped.setdefault(kind, []).extend(faults)
    return whole


def key_of(cells: Sequence[Any], seed: int) -> int:
    """Return a number from 0 to 2**64 - 1 that is the same for cells that differ only in spaces and the like."""
    text = "\0".join(map(text_key, cells))
    return int.from_bytes(hashlib.blake2b(f"{seed}\0{text}".encode(), digest_size=8).digest(), "little")


def write_splits(
    part: Checked, split: str, shares: Mapping[str, float], choice: Choice, ids: Mapping[str, int], features: Features
) -> dict[str, Dataset]:
    """Write the rows of a file as the split that they are, and as those that are made from a share of them."""
    table, start = part.table, 0
    names = [*shares, split]
    bounds = np.cumsum([2.0**64 * share for share in shares.values()])
    counts = dict.fromkeys(names, 0)
    paths = {name: part.path.with_name(f"{part.path.stem}-{i}.arrow") for i, name in enumerate(names)}
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context(pyarrow.OSFile(str(path), "wb")) for name, path in paths.items()}
        writers = {
            name: stack.enter_context(pyarrow.ipc.new_stream(file, features.arrow_schema))
            for name, file in files.items()
        }
        source = stack.enter_context(pyarrow.memory_map(str(part.path)))
        for batch in pyarrow.ipc.open_stream(source):
            found, faults = list[int | None](), list[tuple[str, str]]()
            for row, label in zip(table.rows[start : start + len(batch)], batch["label"].to_pylist(), strict=True):
                try:
                    found.append(class_id(label, ids, UNKNOWN))
                except CellFault as fault:
                    found.append(None)
                    faults.append((f"{choice.label} {fault.kind}", f"{place(table.file, row)}: {choice.label} {fault}"))
            note_faults(table, faults, choice.on_fault)
            start += len(batch)
            goes_to = np.searchsorted(bounds, batch["key"].to_numpy(), side="right")
            columns = [batch[name] for name in features if name != "label"]
            made = pyarrow.record_batch([*columns, pyarrow.array(found, pyarrow.int64())], schema=features.arrow_schema)
            has_class = np.array([i is not None for i in found], dtype=bool)
            for position, name in enumerate(names):
                chosen = made.filter(pyarrow.array((goes_to == position) & has_class))
                counts[name] += len(chosen)
                writers[name].write_batch(chosen)
    require_few_faults(table)
    for name, count in counts.items():
        if not count:
            raise CorpusError(f"{table.file}: {len(table.rows)} rows are too few for a {name} split; add rows")
    changes = {name: part.changes if name == split else {} for name in names}
    return {
        name: Dataset.from_file(str(path), info=info_about(table, changes[name], features))
        for name, path in paths.items()
    }
