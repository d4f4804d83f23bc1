"""Labels that cannot be classes are refused; labels that may be a mistake get a note, which `describe` shows."""

import json

import numpy as np
import pandas as pd
import pytest
from corpus_files import GOOD, error_message, write
from datasets import Dataset, DatasetDict

from nbhelpers import corpora
from nbhelpers.corpora import describe, load, load_hub, load_table, loading_report


def table(tmp_path, labels, suffix=".csv"):
    """A file with a row for each label."""
    if suffix == ".jsonl":
        return write(
            tmp_path / "r.jsonl", "\n".join(json.dumps({"text": "a", "label": label}) for label in labels) + "\n"
        )
    return write(tmp_path / "r.csv", "text,label\n" + "".join(f'a,"{label}"\n' for label in labels))


def notes(path, **options):
    return loading_report(load_table(path, **options)["train"])["notes"]


# --- no classifier could come of it -----------------------------------------------------------------------------------


def test_ratings_with_decimals_are_refused_with_the_row(tmp_path):
    path = table(tmp_path, ["1", "0.37", "0.5", "0.37", "1"])
    assert error_message(load, path) == (
        "r.csv, row 3: label '0.37' is a measurement and not a class; turn the numbers into a few classes, or pass "
        "labels=[...] if each number is a class"
    )
    assert load(path, labels=["0.37", "0.5", "1"])["train"]["label"][:] == [2, 0, 1, 0, 2]
    fifty = table(tmp_path, [f"{i / 50}" for i in range(50)])
    assert "is a measurement and not a class" in error_message(load, fifty)
    assert "is a measurement and not a class" in error_message(load, table(tmp_path, ["-1.25", "2", "1e-3"]))
    assert "0.5 is neither a name nor a whole number" in error_message(load, table(tmp_path, [0.5, 1], ".jsonl"))


@pytest.mark.parametrize("labels", [[f"review {i}" for i in range(30)], list(range(30)), list(range(5))])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_as_many_classes_as_rows_are_refused(tmp_path, labels, suffix):
    path = table(tmp_path, labels, suffix)
    assert error_message(load, path) == (
        f"r{suffix}: each of the {len(labels)} rows has its own label; pass label= with the column of the "
        "classes, or labels=[...] if this is intended"
    )
    assert len(load(path, labels=labels)["train"]) == len(labels)


def test_as_many_classes_as_rows_are_refused_on_the_hub(monkeypatch):
    columns = {"text": ["a"] * 9, "label": [f"id {i}" for i in range(9)]}
    monkeypatch.setattr(corpora.hub, "load_dataset", lambda *_, **__: DatasetDict(train=Dataset.from_dict(columns)))
    assert "some/thing[train]: each of the 9 rows has its own label" in error_message(load, "some/thing")


def test_one_column_for_texts_and_labels_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "r.csv", GOOD)
    message = "the column 'label' is named twice; pass different columns as text= and label="
    assert error_message(load, path, text="label", label="label") == message
    columns = {"text": ["a", "b"], "label": ["x", "y"]}
    monkeypatch.setattr(corpora.hub, "load_dataset", lambda *_, **__: DatasetDict(train=Dataset.from_dict(columns)))
    assert error_message(load_hub, "some/thing", text="label", label="label") == message


# --- notes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "note"),
    [
        (["pos", "Pos", "neg", "neg"], "'Pos', 'pos' differ only in case or punctuation"),
        (["pos", "pos.", "neg", "neg"], "'pos', 'pos.' differ only in case or punctuation"),
        (["not happy", "not_happy", "neg", "neg"], "'not happy', 'not_happy' differ only in case or punctuation"),
        (["not-happy", "NotHappy", "neg", "neg"], "'NotHappy', 'not-happy' differ only in case or punctuation"),
        (["\u201cpos\u201d", "pos", "neg", "neg"], "'pos', '\u201cpos\u201d' differ only in case or punctuation"),
        (["\uff50\uff4f\uff53", "pos", "neg", "neg"], "'pos', '\uff50\uff4f\uff53' differ only in case or punctuation"),
        (["nan", "pos", "neg", "neg"], "'nan' may stand for a missing value"),
        (["NA", "null", "neg", "neg"], "'NA', 'null' may stand for a missing value"),
        (["x", "y", "x,y", "y"], "'x,y' may be several labels in one cell"),
        (["1,2,5", "1", "2", "1"], "'1,2,5' may be several labels in one cell"),
        (["joy", "anger", "joy; anger", "joy"], "'joy; anger' may be several labels in one cell"),
        (["['joy', 'anger']", "joy", "anger", "joy"], "\"['joy', 'anger']\" may be several labels in one cell"),
        (["1.0", "0.0", "1.0"], "'0.0', '1.0' are written as decimal numbers"),
        ([f"c{i:02}" for i in range(20)] * 2, "20 classes in 40 rows"),
        (["pos", "neg"] * 5 + ["postive"], "only one row for 'postive'"),
        (["Billing", "IT"] * 20 + ["billling"] * 2, "'billling' may be a typo of 'Billing'"),
        (["level 1", "level 3"] * 20 + ["level 2"], "only one row for 'level 2'"),
    ],
)  # fmt: skip
def test_odd_labels_are_loaded_with_a_note_that_describe_shows(tmp_path, labels, note):
    path = table(tmp_path, labels)
    assert notes(path) == [f"label: {note}"]
    assert describe(load(path)).loc["notes", "train"] == f"label: {note}"
    names = sorted(set(labels))
    assert notes(path, labels=names) == [], "passing labels= says that they are intended"


@pytest.mark.parametrize(
    "labels",
    [
        ["pos", "neg"],
        ["-1", "0", "1", "1"],
        ["C", "C++", "C#", "C"],
        ["<5", "+", "-", "-"],
        ["1-2", "12", "1-2", "12"],
        ["Paris, Texas", "Rome, Italy", "Rome, Italy"],
        [f"c{i:02}" for i in range(20)] * 10,
    ],
)
def test_labels_that_are_as_they_should_be_get_no_note(tmp_path, labels):
    assert notes(table(tmp_path, labels)) == []


def test_notes_about_many_odd_labels_are_short(tmp_path):
    labels = [f"{name}{i}" for i in range(100) for name in ("class ", "Class_", "CLASS-")]
    text = "; ".join(notes(table(tmp_path, labels * 3)))
    assert len(text) < 600


# --- ids and names ----------------------------------------------------------------------------------------------------


def test_ids_from_1_with_a_name_for_each_are_taken_and_told(tmp_path):
    data = load_table(table(tmp_path, ["1", "2", "3", "4", "1"]), labels=["a", "b", "c", "d"])
    assert data["train"]["label"][:] == [0, 1, 2, 3, 0]
    assert "label: ids run from 1, so 1 is 'a'" in loading_report(data["train"])["notes"]


@pytest.mark.parametrize("names", [["a", "b", "c", "d", "e"], ["a", "b"]])
def test_ids_from_1_with_names_are_refused(tmp_path, names):
    path = table(tmp_path, ["1", "2", "3", "4", "1"])
    assert error_message(load, path, labels=names) == (
        "r.csv: no label is 0, so 'a' may be the name of label 1; pass the name of each id, as in labels={1: 'a', ...}"
    )


def test_ids_from_1_without_names_are_refused(tmp_path):
    path = table(tmp_path, ["1", "2", "2"])
    assert error_message(load, path) == (
        "r.csv: label ids 1, 2 do not run from 0 to 1; pass labels={1: ...} with a name for each id, or labels=[...] "
        "with these numbers in order"
    )
    assert load(path, labels=[2, 1])["train"].features["label"].names == ["2", "1"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_dict_names_the_class_of_each_label(tmp_path, suffix):
    path = table(tmp_path, [2, 1, 3, 1], suffix)
    train = load(path, labels={2: "good", 1: "bad", "3": "good"})["train"]
    assert train.features["label"].names == ["bad", "good"]
    assert train["label"][:] == [1, 0, 1, 0]
    message = error_message(load, path, labels={1: "bad", 2: "good"})
    assert message.endswith(" 4: label '3' is not one of 1, 2; correct the row or pass labels=..." if suffix == ".csv"
                            else " 3: label '3' is not one of 1, 2; correct the row or pass labels=...")  # fmt: skip


def test_a_dict_of_ids_from_0_leaves_the_ids(tmp_path):
    train = load(table(tmp_path, ["1", "0", "1"]), labels={1: "pos", 0: "neg"})["train"]
    assert (train.features["label"].names, train["label"][:]) == (["neg", "pos"], [1, 0, 1])


def test_a_dict_of_ids_names_the_classes_of_a_file_that_has_the_names(tmp_path):
    train = load(table(tmp_path, ["pos", "neg", "pos"]), labels={1: "pos", 0: "neg"})["train"]
    assert (train.features["label"].names, train["label"][:]) == (["neg", "pos"], [1, 0, 1])


def test_a_dict_unites_labels_that_mean_the_same(tmp_path):
    labels = {"Pos": "pos", "pos": "pos", "neg": "neg"}
    train = load(table(tmp_path, ["Pos", "neg", "pos"]), labels=labels)["train"]
    assert (train.features["label"].names, train["label"][:]) == (["pos", "neg"], [0, 1, 0])


@pytest.mark.parametrize("kind", [tuple, np.array, lambda names: pd.Series(names, index=[7, 3])])
def test_names_of_classes_may_come_from_numpy_and_pandas(tmp_path, kind):
    train = load(write(tmp_path / "r.csv", GOOD), labels=kind(["pos", "neg"]))["train"]
    assert (train.features["label"].names, train["label"][:]) == (["pos", "neg"], [0, 1])


def test_spaces_in_names_are_those_of_the_labels(tmp_path):
    path = table(tmp_path, ["very  good", "bad"])
    assert load(path, labels=[" very good", "bad"])["train"]["label"][:] == [0, 1]
