"""Load a data set of the Hugging Face Hub, and explain its errors in plain words."""

from __future__ import annotations

import os
from pathlib import Path

from datasets import ClassLabel, DatasetDict, load_dataset

from .arguments import check_arguments
from .building import classification_data
from .columns import Columns, choose
from .errors import CorpusError
from .files import by_split
from .labels import Labels
from .readers import Table
from .splitting import Splitting
from .spreadsheets import with_class_names
from .validation import MAX_CHARS


def load_hub(
    name: str,
    text: Columns | None = None,
    label: Columns | None = None,
    labels: Labels | None = None,
    *,
    label_separator: str | None = None,
    dev_share: float = 0.0,
    test_share: float = 0.0,
    group: str | None = None,
    seed: int = 0,
    on_fault: str = "raise",
    config: str | None = None,
    revision: str | None = None,
    max_chars: int = MAX_CHARS,
) -> DatasetDict:
    """Load a data set of the Hugging Face Hub. The result and the arguments are those of `load_table`.

    The split "validation" is renamed to "dev". A split without labels (all are -1) is left out, and the notes of the
    other splits say so. The data set is kept in the Hub's own cache. No code from the Hub is run.

    This function was tested with local folders in the Hub's formats and with simulated failures, but not with the Hub
    itself. Raises CorpusError.

    >>> data = load_hub("dair-ai/emotion", config="split")  # doctest: +SKIP
    """
    check_arguments(
        name=name,
        text=text,
        label=label,
        label_separator=label_separator,
        dev_share=dev_share,
        test_share=test_share,
        group=group,
        seed=seed,
        on_fault=on_fault,
        config=config,
        revision=revision,
        max_chars=max_chars,
    )
    try:
        loaded = load_dataset(name, config, revision=revision)
    except (OSError, RuntimeError, ValueError) as error:
        raise CorpusError(f"{name}: {explain(error)}") from error
    tables: dict[str, Table] = {}
    for split, part in loaded.items():
        columns = with_class_names({column: part[column][:] for column in part.features}, part.features)
        tables[str(split)] = Table(f"{name}[{split}]", range(len(part)), columns)
    tables = by_split(tables, name, "download its files and pass load_table a dict with one of them")
    if "train" in tables:
        text, label = choose(tables["train"], text, label)
    if isinstance(label, str):
        feature = loaded["train"].features.get(label) if "train" in loaded else None
        if labels is None and isinstance(feature, ClassLabel):
            labels = feature.names  # their order on the Hub gives the ids
        for split in [split for split, table in tables.items() if has_no_labels(table, label)]:
            del tables[split]
            for table in tables.values():
                table.notes.append(f"split {split} is left out because it has no labels")
    return classification_data(
        tables,
        text,
        label,
        labels,
        label_separator=label_separator,
        max_chars=max_chars,
        on_fault=on_fault,
        splitting=Splitting(dev_share, test_share, group, seed),
    )


def has_no_labels(table: Table, label: str) -> bool:
    """Return whether a split's labels are not published: all of them are -1, or missing."""
    return all(cell in (None, -1) for cell in table.columns.get(label, [0]))


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
