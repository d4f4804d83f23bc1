"""Files that are not what their name says: with a header or without one, another separator, compressed."""

import gzip
import zipfile

import pytest
from corpus_files import GOOD, TURNS, error_message, write

from nbhelpers.corpora import load, load_dialogues, load_table, loading_report

# --- headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("text,label\nfine,pos\nbad,neg\n", ["text", "label"]),
        ('"Text", "Label"\nfine,pos\nbad,neg\n', ["text", "label"]),
        ("label,text\npos,fine\nneg,bad\n", ["text", "label"]),
        ("ID,review,label\n1,fine,pos\n2,bad,neg\n", ["id", "text", "label"]),
    ],
)
@pytest.mark.parametrize("quotes", [True, False])
def test_columns_for_a_file_that_has_a_header_are_refused(tmp_path, content, columns, quotes):
    message = error_message(load_table, write(tmp_path / "r.csv", content), columns=columns, quotes=quotes)
    assert message.startswith("r.csv, row 1: the row is a header, because it contains ")
    assert message.endswith("; leave out columns=, or delete the row")


def test_a_header_with_other_names_is_found_by_its_label(tmp_path):
    rows = "review,stars\nfine,1\nbad,0\nso,1\n"
    message = error_message(load_table, write(tmp_path / "r.csv", rows), columns=["text", "label"])
    assert message == (
        "r.csv, row 1: label 'stars' is the only one that is not a number, so the row is probably a header; "
        "leave out columns=, or delete the row"
    )
    path = write(tmp_path / "r.csv", rows)
    assert "row 1: label 'stars'" in error_message(load_table, path, columns=["text", "label"], labels=["neg", "pos"])


def test_a_header_in_the_middle_of_a_file_is_refused(tmp_path):
    message = error_message(load_table, write(tmp_path / "r.csv", GOOD + GOOD))
    assert message == "r.csv, row 4: the row repeats the header; delete it"
    write(tmp_path / "train.csv", TURNS + TURNS)
    assert error_message(load_dialogues, tmp_path) == "train.csv, row 4: the row repeats the header; delete it"


def test_one_cell_that_is_named_like_a_column_is_no_header(tmp_path):
    path = write(tmp_path / "r.csv", "Win a prize!,spam\nSee you,ham\n")
    data = load_table(path, columns=["text", "spam"], label="spam")
    assert data["train"].features["label"].names == ["ham", "spam"]


# --- separators -------------------------------------------------------------------------------------------------------

ROWS = [["text", "label"], ["Good, really", "pos"], ["Bad, a bit, too", "neg"], ["So", "pos"]]
NAMES = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a vertical bar"}


def table_with(delimiter, rows=ROWS):
    return "".join(delimiter.join(f'"{cell}"' if "," in cell else cell for cell in row) + "\n" for row in rows)


@pytest.mark.parametrize(("suffix", "usual"), [(".csv", ","), (".tsv", "\t")])
@pytest.mark.parametrize("header", [True, False], ids=["header", "no header"])
@pytest.mark.parametrize("delimiter", NAMES)
def test_the_separator_of_a_file_is_found_and_told(tmp_path, suffix, usual, header, delimiter):
    path = write(tmp_path / f"r{suffix}", table_with(delimiter, ROWS if header else ROWS[1:]))
    options = {} if header else {"columns": ["text", "label"]}
    data = load(path, **options)
    assert data["train"]["text"][:] == ["Good, really", "Bad, a bit, too", "So"]
    told = f"{NAMES[delimiter]} separates the columns, not {NAMES[usual]}" in loading_report(data["train"])["notes"]
    assert told == (delimiter != usual)
    assert load(path, **options, delimiter=delimiter)["train"][:] == data["train"][:]


def test_the_separator_is_found_although_some_texts_contain_the_usual_one(tmp_path):
    rows = "text;label\n" + "Good, really;pos\nBad;neg\nSo, so, so;pos\n" * 20
    data = load_table(write(tmp_path / "r.csv", rows))
    assert data["train"]["text"][:3] == ["Good, really", "Bad", "So, so, so"]
    assert "a semicolon separates the columns, not a comma" in loading_report(data["train"])["notes"]


def test_a_wrong_delimiter_is_named_as_well(tmp_path):
    path = write(tmp_path / "r.csv", GOOD)
    message = error_message(load_table, path, delimiter="~")
    assert message == "r.csv: a comma separates the columns, not '~'; pass delimiter=','"


def test_a_broken_row_is_not_taken_for_another_separator(tmp_path):
    message = error_message(load_table, write(tmp_path / "r.csv", GOOD + "one; two; three\n"))
    assert message.startswith("r.csv, row 4: the number of fields is 1 instead of 2; put quotation marks")


def test_a_file_with_one_column_is_refused(tmp_path):
    message = error_message(load_table, write(tmp_path / "r.csv", "text\nfine\nbad\n"))
    assert message.startswith("r.csv has only the column 'text'; a table needs texts and labels")


def test_dialogues_with_another_separator(tmp_path):
    write(tmp_path / "train.csv", TURNS.replace(",", ";"))
    assert load(tmp_path)["train"]["text"][:] == ["Hi!", "Oh."]
    assert load(tmp_path, delimiter=";")["train"]["text"][:] == ["Hi!", "Oh."]


# --- names of columns and files in messages ---------------------------------------------------------------------------


def test_a_column_without_a_name_is_shown(tmp_path):
    path = write(tmp_path / "r.csv", "review,stars,\nso good,pos,\nso bad,neg,\n")
    assert "the columns are review, stars, ''; pass text=" in error_message(load, path, text="text")


def test_only_similar_names_are_suggested(tmp_path):
    for name in ("labels.csv", "reviews.csv"):
        write(tmp_path / name, GOOD)
    assert error_message(load, tmp_path / "nofile.csv").endswith("does not exist; check the path")
    for name in ("review.csv", "reviews.tsv", "reveiws.csv"):
        assert error_message(load, tmp_path / name).endswith("does not exist; did you mean reviews.csv?")


# --- compressed files -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".zip", ".bz2", ".xz", ".ZIP"])
def test_compressed_files_are_named_as_such(tmp_path, suffix):
    path = tmp_path / f"r.csv{suffix}"
    advice = "is compressed in a way that is not read; unpack it, or compress it with gzip"
    assert "does not exist; check the path" in error_message(load, str(path))
    path.write_bytes(gzip.compress(GOOD.encode()))
    assert error_message(load, str(path)) == f"r.csv{suffix} {advice}"


def test_a_missing_compressed_file_is_no_question_to_the_hub():
    assert error_message(load, "r.csv.gz") == "r.csv.gz does not exist; check the path"


def test_compressed_files_with_the_suffix_of_a_table_are_recognized(tmp_path):
    path = write(tmp_path / "r.csv", gzip.compress(GOOD.encode()))
    assert error_message(load, path) == (
        "r.csv is a gzip file, not text; give it the suffix of its format, unpack it, or export the table as .csv"
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("r.csv", GOOD)
    assert error_message(load, path).startswith("r.csv is a zip archive or an Excel file, not text; give it")


def test_a_folder_whose_train_file_is_compressed(tmp_path):
    write(tmp_path / "train.csv.gz", gzip.compress(GOOD.encode()))
    write(tmp_path / "test.csv", GOOD)
    assert len(load(tmp_path)["train"]) == 2
    (tmp_path / "train.csv.gz").rename(tmp_path / "train.csv.xz")
    assert error_message(load, tmp_path).endswith(" has train.csv.xz, which is compressed; unpack it, or use gzip")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    path = write(tmp_path / "r.csv", GOOD)
    monkeypatch.setattr(type(path), "read_bytes", refuse)
    assert error_message(load, path).endswith("r.csv cannot be read: Permission denied; check its permissions")
