"""Reading row by row finds the same as loading at once, in little memory, and refuses the same files."""

import gzip
import tracemalloc

import pandas as pd
import pytest
from corpus_files import GOOD, error_message, write

from nbhelpers.corpora import stream, streaming

FRAME = pd.DataFrame({"id": ["1", "2"], "text": ["Good, really", "Bad"]})


def rows_of(path, **options):
    """The rows of a whole file, after the names of its columns."""
    table = stream(path, **options)
    return [table.names, *table.rows]


def written(folder, suffix):
    """FRAME as a file of the format."""
    path = folder / f"r{suffix}"
    as_text = {
        ".csv": lambda: FRAME.to_csv(index=False),
        ".tsv": lambda: FRAME.to_csv(index=False, sep="\t"),
        ".txt": lambda: FRAME.to_csv(index=False, sep="\t"),
        ".jsonl": lambda: FRAME.to_json(orient="records", lines=True),
        ".json": lambda: FRAME.to_json(orient="records"),
    }
    if suffix in as_text:
        return write(path, as_text[suffix]())
    (FRAME.to_excel if suffix == ".xlsx" else FRAME.to_parquet)(path, index=False)
    return path


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".jsonl", ".json", ".parquet", ".xlsx"])
def test_all_formats_give_the_same_rows(tmp_path, suffix, packed):
    path = written(tmp_path, suffix)
    if packed:
        path = write(tmp_path / f"r{suffix}.gz", gzip.compress(path.read_bytes()))
    assert rows_of(path) == [["id", "text"], ["1", "Good, really"], ["2", "Bad"]]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte order mark"])
def test_the_separator_is_found(tmp_path, separator, mark):
    path = write(tmp_path / "r.csv", mark + FRAME.to_csv(index=False, sep=separator))
    assert rows_of(path) == [["id", "text"], ["1", "Good, really"], ["2", "Bad"]]
    assert bool(stream(path).notes) == (separator != ",")


def test_one_column_is_enough(tmp_path):
    path = write(tmp_path / "r.txt", "Good, really\n\nBad; so\n")
    assert rows_of(path, columns=["text"]) == [["text"], ["Good, really"], ["Bad; so"]]
    assert rows_of(write(tmp_path / "r.csv", 'text\n"Good, really"\nBad\n')) == [["text"], ["Good, really"], ["Bad"]]


def test_a_row_of_empty_cells_stays_a_row(tmp_path):
    """So that the rows of the result are those of the file."""
    assert rows_of(write(tmp_path / "r.csv", "id,text\n1,a\n,\n2,b\n"))[2] == ["", ""]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.csv", "", "r.csv is empty; check that it was saved and copied completely"),
        ("r.csv", "id,text\n", "r.csv has a header but no rows"),
        ("r.csv", "id,id\n1,2\n", "r.csv, header: the name 'id' occurs 2 times"),
        ("r.csv", "id,text\n" + "1,a\n" * 2000 + "2,b,c\n", "r.csv, row 2002: the number of fields is 3 instead of 2"),
        ("r.csv", 'id,text\n1,"a\n', "r.csv, row 2: a quoted text has no closing quotation mark"),
        ("r.csv", b"id,text\n1,caf\xe9\n", "r.csv, row 2: byte 0xe9 cannot be read as utf-8; the file is probably in"),
        ("r.csv", b"id,text\n" + b"1,a\n" * 270_000 + b"2,ein sch\xf6nes Caf\xe9 und Gr\xfc\xdfe\n",
         "r.csv: byte 0xf6 after '2,ein sch' cannot be read as utf-8; the file is probably in cp1252; pass encoding="),
        ("r.csv", b"id,text\n\0\n", "r.csv, row 2: contains a NUL byte"),
        ("r.csv", gzip.compress(b"id,text\n", mtime=0), "r.csv is a gzip file, not text"),
        ("r.csv.gz", gzip.compress(b"id,text\n1,a\n", mtime=0)[:-9], "r.csv.gz cannot be unpacked"),
        ("r.jsonl", '{"a": 1}\n{"b": 2}\n', "r.jsonl, line 2: 'b' is not in the first line; add it there"),
        ("r.jsonl", "[1]\n", "r.jsonl, line 1: not an object"),
        ("r.jsonl", '{"a": 1}\n{"a": \n', "r.jsonl, line 2: Expecting value"),
        ("r.parquet", "text", "r.parquet cannot be read"),
        ("r.docx", "text", "r.docx: suffix '.docx' is not supported"),
    ],
)  # fmt: skip
def test_errors(tmp_path, name, content, message):
    found = error_message(rows_of, write(tmp_path / name, content))
    assert message in found
    assert found.startswith(message[:5])


def test_options_that_do_not_fit(tmp_path):
    path = write(tmp_path / "r.csv", GOOD)
    assert "r.csv is in utf-8" not in str(rows_of(path, encoding="cp1252"))
    assert "pass for example delimiter=';'" in error_message(stream, path, delimiter="")
    assert "Python has no encoding 'utf8000'" in error_message(stream, path, encoding="utf8000")
    assert error_message(stream, path, delimiter="~").endswith("; pass delimiter=','")
    umlauts = write(tmp_path / "u.csv", "id,text\n1,schön\n")
    assert error_message(stream, umlauts, encoding="cp1252") == (
        "u.csv is in utf-8, not in cp1252; pass encoding='utf-8'"
    )


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "SAMPLE", 2**14)
    peaks = []
    for num_rows in (2000, 20_000):
        path = write(tmp_path / "r.csv", "id;text\n" + "17;Good, really, as I said before\n" * num_rows)
        tracemalloc.start()
        assert sum(1 for _ in stream(path).rows) == num_rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]
