"""From the text of a file to its records: CSV, TSV, JSON Lines and JSON."""

from __future__ import annotations

import csv
import io
import itertools
import json
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from .errors import CorpusError, place, require_distinct, suffix_of

DELIMITERS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
SEPARATORS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}
CSV_LOCK = threading.Lock()  # the csv module has one field size limit for all threads


def csv_records(
    file: str, text: str, quotes: bool, strict: bool = True, delimiter: str | None = None
) -> list[list[str]]:
    """Return the records of a CSV or TSV text. A blank line gives an empty record, so positions are row numbers.

    >>> csv_records("a.csv", 'text,label\\n\\n"one, two",x\\n', quotes=True)
    [['text', 'label'], [], ['one, two', 'x']]
    """
    return list(stream_csv(file, io.StringIO(text, newline=""), quotes, strict, delimiter))


def stream_csv(
    file: str, lines: Iterable[str], quotes: bool, strict: bool = True, delimiter: str | None = None
) -> Iterator[list[str]]:
    """Yield the records of a CSV or TSV file one by one, as `csv_records`."""
    style: dict[str, Any] = {"delimiter": delimiter or DELIMITERS[suffix_of(file)], "strict": strict}
    reader = csv.reader(lines, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE, **style)
    for row in itertools.count(1):
        with CSV_LOCK:
            # The default limit would end with an error of the csv module; `max_chars` refuses long texts with a better
            # one. It holds only while a record is read, because other code may rely on the default.
            limit = csv.field_size_limit(2**31 - 1)
            try:
                record = next(reader, None)
            except csv.Error as error:
                unclosed = "end of data" in str(error)
                fault = "has no closing quotation mark" if unclosed else "continues after its closing quotation mark"
                advice = "double each quotation mark inside a quoted text, or pass quotes=False if texts are not quoted"
                raise CorpusError(f"{place(file, row)}: a quoted text {fault}; {advice}") from error
            finally:
                csv.field_size_limit(limit)
        if record is None:
            return
        yield record


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
        if not line.lstrip().startswith("{"):
            raise CorpusError(f'{place(file, row)}: not an object; write an object such as {{"text": "..."}}')
        objects.append(json_value(place(file, row), line, 'write an object such as {"text": "..."}'))
        rows.append(row)
    return rows, columns_of_objects(objects)


def json_tables(file: str, text: str) -> dict[str, tuple[list[int], dict[str, list[Any]]]]:
    """Return the record numbers and columns of each table in a JSON file, under the name of its split.

    A file with one table has the name "". A table is a list of objects, a list of pairs such as ["fine", "pos"], or an
    object with a list for each column. An object with a table for each split has several.

    >>> json_tables("a.json", '[{"text": "fine", "label": 1}]')
    {'': ([1], {'text': ['fine'], 'label': [1]})}
    >>> json_tables("a.json", '{"train": [["fine", "pos"]], "test": [["bad", "neg"]]}')["test"]
    ([1], {'column 1': ['bad'], 'column 2': ['neg']})
    """
    value = json_value(
        file, text, "check that it was copied completely; if each line is an object, rename it to .jsonl"
    )
    while isinstance(value, dict) and len(value) == 1:  # {"data": [...]}
        value = next(iter(value.values()))
    if isinstance(value, list):
        return {"": json_table(file, value)}
    parts = list(value.values()) if isinstance(value, dict) else []
    if parts and all(isinstance(part, list) and part and isinstance(part[0], dict | list) for part in parts):
        return {split: json_table(f"{file}, {split!r}", part) for split, part in value.items()}
    if parts and all(isinstance(part, dict) and part.keys() == parts[0].keys() for part in parts):
        value = {name: list(part.values()) for name, part in value.items()}  # as DataFrame.to_json writes it
        parts = list(value.values())
    if parts and all(isinstance(part, list) and part and len(part) == len(parts[0]) for part in parts):
        return {"": (list(range(1, 1 + len(parts[0]))), value)}
    forms = 'a list of objects such as [{"text": "...", "label": "..."}], or an object with such a list for each split'
    raise CorpusError(f"{file} contains no table; write {forms}")


def json_table(where: str, records: list[Any]) -> tuple[list[int], dict[str, list[Any]]]:
    """Return the record numbers and the columns of a list of objects, or of a list of lists of the same length."""
    rows = list(range(1, 1 + len(records)))
    if records and all(isinstance(record, list) and record and isinstance(record[0], dict) for record in records):
        records = [{"turns": record} for record in records]  # dialogues
    if records and all(isinstance(record, dict) for record in records):
        return rows, columns_of_objects(records)
    if records and all(isinstance(record, list) and len(record) == len(records[0]) for record in records):
        return rows, {f"column {i}": list(cells) for i, cells in enumerate(zip(*records, strict=True), start=1)}
    raise CorpusError(f"{where} is not a list of objects, or of lists of the same length; correct the file")


def json_value(where: str, text: str, advice: str) -> Any:
    """Return what a JSON text contains; a text that is not JSON, and a name that occurs twice, raise CorpusError."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        require_distinct([name for name, _ in pairs], where)  # a dict would hide it
        return dict(pairs)

    try:
        value = json.loads(text, object_pairs_hook=distinct)
        if "\\ud" in text.lower():  # "\ud83d" without its other half makes a string that cannot be written
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise CorpusError(f"{where}: half of a surrogate pair; write the character itself") from error
    except CorpusError:
        raise
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{where}: {error}; {advice}") from error
    return value


def columns_of_objects(objects: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the columns of a list of objects. A value that an object lacks is None."""
    names = dict.fromkeys(name for item in objects for name in item)
    return {name: [item.get(name) for item in objects] for name in names}
