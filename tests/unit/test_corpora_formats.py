"""Files that are not what their name says: with a header or without one, another separator, compressed."""

import pytest
from corpus_files import GOOD, TURNS, error_message, write

from nbhelpers.corpora import load_dialogues, load_table

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
    data = load_table(path, columns=["text", "spam"], label_column="spam")
    assert data["train"].features["label"].names == ["ham", "spam"]
