"""From the text of a file to its records: CSV, TSV and JSON Lines."""

from __future__ import annotations

import csv
import io
import json
import threading
from pathlib import Path
from typing import Any

from .errors import CorpusError, place, require_distinct

DELIMITERS = {".csv": ",", ".tsv": "\t", ".jsonl": "\n"}
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
CSV_LOCK = threading.Lock()  # the csv module has one field size limit for all threads


def csv_records(
    file: str, text: str, quotes: bool, strict: bool = True, delimiter: str | None = None
) -> list[list[str]]:
    """Return the records of a CSV or TSV text. A blank line gives an empty record, so positions are row numbers.

    >>> csv_records("a.csv", 'text,label\\n\\n"one, two",x\\n', quotes=True)
    [['text', 'label'], [], ['one, two', 'x']]
    """
    records: list[list[str]] = []
    style: dict[str, Any] = {"delimiter": delimiter or DELIMITERS[Path(file).suffix.lower()], "strict": strict}
    style["quoting"] = csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE
    with CSV_LOCK:
        # The default limit would end with an error of the csv module; `max_chars` refuses long texts with a better one
        limit = csv.field_size_limit(2**31 - 1)
        try:
            # One by one: when the reader raises, the number of records so far tells the row
            for record in csv.reader(io.StringIO(text, newline=""), **style):
                records.append(record)
        except csv.Error as error:
            unclosed = "end of data" in str(error)
            fault = "has no closing quotation mark" if unclosed else "continues after its closing quotation mark"
            advice = "double each quotation mark inside a quoted text, or pass quotes=False if texts are not quoted"
            raise CorpusError(f"{place(file, len(records) + 1)}: a quoted text {fault}; {advice}") from error
        finally:
            csv.field_size_limit(limit)
    return records


def probable_delimiter(file: str, text: str, quotes: bool, used: str, num_columns: int | None = None) -> str | None:
    """Return the separator that fits a table better than the one used; None if no other one does.

    A separator fits if at least nine of ten records have `num_columns` fields, or as many as the first record has.

    >>> probable_delimiter("a.csv", "text;label\\nGood, really;1\\nBad;0\\n", quotes=True, used=",")
    ';'
    """
    shares: dict[str, float] = {}
    for delimiter in dict.fromkeys((used, *SEPARATORS)):
        records = [record for record in csv_records(file, text, quotes, strict=False, delimiter=delimiter) if record]
        width = num_columns or len(records[0])
        shares[delimiter] = sum(len(record) == width for record in records) / len(records) if width > 1 else 0.0
    best = max(shares, key=lambda delimiter: shares[delimiter])  # the one used if several fit equally well
    return best if best != used and shares[best] >= 0.9 else None


def json_lines(file: str, text: str) -> tuple[list[int], dict[str, list[Any]]]:
    """Return the line numbers of the objects, and the columns. A value that an object lacks is None.

    >>> json_lines("a.jsonl", '{"text": "fine", "label": 1}\\n\\n{"text": "bad"}')
    ([1, 3], {'text': ['fine', 'bad'], 'label': [1, None]})
    """
    rows, objects = [], []
    for row, line in enumerate(text.split("\n"), start=1):  # not splitlines(): JSON allows U+2028 inside a string
        if not line.strip():
            continue
        try:
            if not line.lstrip().startswith("{"):
                raise ValueError("not an object")
            pairs = json.loads(line, object_pairs_hook=list)  # a dict would hide a name that occurs twice
            if "\\ud" in line.lower():  # "\ud83d" without its other half makes a string that cannot be written
                json.dumps(pairs, ensure_ascii=False).encode("utf-8")
        except UnicodeEncodeError as error:
            raise CorpusError(f"{place(file, row)}: half of a surrogate pair; write the character itself") from error
        except (ValueError, RecursionError) as error:
            raise CorpusError(f'{place(file, row)}: {error}; write an object such as {{"text": "..."}}') from error
        require_distinct([name for name, _ in pairs], place(file, row))
        rows.append(row)
        objects.append(dict(pairs))
    names = dict.fromkeys(name for item in objects for name in item)
    return rows, {name: [item.get(name) for item in objects] for name in names}
