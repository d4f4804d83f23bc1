"""Load a data set of the Hugging Face Hub, and explain its errors in plain words."""

from __future__ import annotations

import os
from pathlib import Path

from datasets import ClassLabel, DatasetDict, load_dataset

from .arguments import check_arguments
from .building import classification_data
from .errors import CorpusError
from .labels import Labels
from .readers import Table, by_split
from .validation import MAX_CHARS, require_columns


def load_hub(
    name: str,
    text_column: str = "text",
    label_column: str = "label",
    labels: Labels | None = None,
    *,
    config: str | None = None,
    revision: str | None = None,
    max_chars: int = MAX_CHARS,
) -> DatasetDict:
    """Load a data set of the Hugging Face Hub. The result has the columns text (string) and label (ClassLabel).

    The split "validation" is renamed to "dev". A split without labels (all are -1) is left out, and the notes of the
    other splits say so. The data set is kept in the Hub's own cache. No code from the Hub is run.

    This function was tested with local folders in the Hub's formats and with simulated failures, but not with the Hub
    itself. Raises CorpusError.

    >>> data = load_hub("dair-ai/emotion", config="split")  # doctest: +SKIP
    """
    check_arguments(
        name=name,
        text_column=text_column,
        label_column=label_column,
        config=config,
        revision=revision,
        max_chars=max_chars,
    )
    try:
        loaded = load_dataset(name, config, revision=revision)
    except (OSError, RuntimeError, ValueError) as error:
        raise CorpusError(f"{name}: {explain(error)}") from error
    tables: dict[str, Table] = {}
    notes = []
    for split, part in loaded.items():
        table = Table(f"{name}[{split}]", range(len(part)), {column: part[column][:] for column in part.features}, [])
        require_columns(table, (text_column, label_column), "pass text_column= and label_column=")
        feature, values = part.features[label_column], table.columns[label_column]
        if isinstance(feature, ClassLabel):
            # The order of the Hub's names gives the ids. -1 is its value for a label that is not published
            labels = feature.names if labels is None else labels
            table.columns[label_column] = [None if v in (None, -1) else feature.int2str(v) for v in values]
        if not any(value not in (None, -1) for value in values):
            notes.append(f"split {split} is left out because it has no labels")
        else:
            tables[str(split)] = table  # `datasets` has a type of its own for names of splits
    for table in tables.values():
        table.notes.extend(notes)
    tables = by_split(tables, name, "download its files and pass load_table a dict with one of them")
    return classification_data(tables, text_column, label_column, labels, max_chars)


def explain(error: Exception) -> str:
    """Return what an error of `load_dataset` means, and what to do."""
    message = " ".join(str(error).split())
    if "scripts are no longer supported" in message:
        fault = "needs a loading script, which `datasets` no longer runs; try revision='refs/convert/parquet', or "
        return fault + "download its files and use load_table"
    if isinstance(error, ConnectionError):
        reason = "HF_HUB_OFFLINE is set" if os.environ.get("HF_HUB_OFFLINE") else "the Hub cannot be reached"
        fault = (
            f"is not in the folder {Path.cwd()}, and {reason}; pass a full path, go online, set HF_ENDPOINT to a mirror"
        )
        return fault + ", or download the files elsewhere and use load_table"
    if isinstance(error, FileNotFoundError):  # the Hub gives the same error for a private data set
        fault = f"is neither in the folder {Path.cwd()} nor on the Hub"
        return fault + "; check the spelling, pass a full path, or log in if the data set is private"
    return f"{message[:300]}; check config= and revision="
