"""Read tables that are not text: parquet and Excel files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pyarrow
import pyarrow.parquet
from datasets import ClassLabel, Features

from .errors import CorpusError


def parquet_columns(file: str, content: bytes) -> dict[str, list[Any]]:
    """Return the columns of a parquet file. Class ids of a file that `datasets` wrote become the names of classes."""
    try:
        table = pyarrow.parquet.read_table(io.BytesIO(content))
    except (pyarrow.ArrowException, OSError) as error:
        raise CorpusError(f"{file} cannot be read ({str(error).splitlines()[0]}); copy or save it again") from error
    if not table.num_rows or table.num_columns < 2:
        raise CorpusError(
            f"{file} has {table.num_rows} rows and {table.num_columns} columns; it needs texts and labels"
        )
    return with_class_names(table.to_pydict(), Features.from_arrow_schema(table.schema))


def with_class_names(columns: Mapping[str, list[Any]], features: Features) -> dict[str, list[Any]]:
    """Return columns of `datasets` with the names of classes instead of their ids; -1, for no label, becomes None.

    >>> with_class_names({"label": [1, -1]}, Features({"label": ClassLabel(names=["no", "yes"])}))
    {'label': ['yes', None]}
    """
    named = {name: feature for name, feature in features.items() if isinstance(feature, ClassLabel)}
    return {
        name: [None if i in (None, -1) else named[name].int2str(i) for i in cells] if name in named else cells
        for name, cells in columns.items()
    }


def xlsx_records(file: str, content: bytes) -> tuple[list[list[str]], list[str]]:
    """Return the records of the first sheet of an Excel file, and notes about the other sheets.

    A blank row gives an empty record, so positions are row numbers.
    """
    try:
        import openpyxl
    except ImportError as error:
        raise CorpusError(f"{file} needs openpyxl; run pip install openpyxl, or save the sheet as .csv") from error
    try:
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        name, *others = book.sheetnames
        records = [list(record) for record in book[name].iter_rows(values_only=True)]
    except Exception as error:  # of zipfile, of XML, and openpyxl's own
        raise CorpusError(f"{file} cannot be read ({error}); save it again, or save the sheet as .csv") from error
    # Cells that were formatted once and are empty make a sheet wider and longer than its table
    width = max((i for record in records for i, cell in enumerate(record, 1) if cell not in (None, "")), default=0)
    records = [record[:width] if any(cell not in (None, "") for cell in record) else [] for record in records]
    if not any(records):
        raise CorpusError(f"{file} is empty: its sheet {name!r} has no cells; save the table in its first sheet")
    notes = [f"only the sheet {name!r} is read, not {', '.join(map(repr, others))}"] if others else []
    return [[as_text(cell) for cell in record] for record in records], notes


def as_text(cell: Any) -> str:
    """Return a cell as a CSV file would have it. Excel stores the number 3 as 3.0, and nothing as None.

    >>> as_text(3.0), as_text(2.5), as_text(None)
    ('3', '2.5', '')
    """
    if cell is None:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
