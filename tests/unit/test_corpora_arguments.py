"""A wrong argument is named in one sentence, whatever its type, before anything is read."""

# ruff: noqa: E501 (an error message is checked as a whole, on one line)

import numpy as np
import pandas as pd
import pytest
from corpus_files import GOOD, TURNS, error_message, write

from nbhelpers.corpora import load, load_dialogues, load_hub, load_meld, load_table

FRAME = pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"]})


@pytest.mark.parametrize("function", [load, load_table, load_dialogues, load_meld])
@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (5, "5"),
        (2.5, "2.5"),
        (b"r.csv", "b'r.csv'"),
        (["a.csv", "b.csv"], "['a.csv', 'b.csv']"),
        ("", "''"),
        ("  ", "' '"),
        ("a\0b", r"'a\x00b'"),
        (True, "True"),
        (FRAME, "an object of type DataFrame"),
        (load, "an object of type function"),
    ],
)
def test_what_is_no_path_is_refused(function, value, shown):
    argument = {load: "name", load_meld: "folder"}.get(function, "path")
    message = error_message(function, value)
    assert message == f"{argument}={shown} is not a path; pass a string or a Path, such as 'reviews.csv'"


def test_none_is_no_corpus():
    for function in (load, load_table, load_dialogues):
        assert "=None is not a path" in error_message(function, None)


@pytest.mark.parametrize("function", [load, load_table, load_dialogues])
@pytest.mark.parametrize("content", [GOOD, GOOD * 1000, "r.csv\n"])
def test_a_table_instead_of_its_path_is_refused(function, content):
    message = error_message(function, content)
    assert message.endswith(
        " is not a path, because it contains a line break; write the data to a file and pass its path"
    )
    assert len(message) < 250


@pytest.mark.parametrize("function", [load, load_table, load_dialogues])
def test_a_text_that_is_longer_than_any_path_is_refused(function):
    message = error_message(function, "It was a good film, and I would see it again. " * 200)
    assert message.endswith("... does not exist; check the path")
    assert len(message) < 250


OPTIONS = (
    "text, label, labels, label_file, label_separator, dev_share, test_share, group, seed, on_fault, columns, delimiter, "
    "quotes, encoding, query, table, max_chars"
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": 0}, "text=0 is not the name of a column, or two of them; pass for example text='text'"),
        ({"text": []}, "text=[] is not the name of a column, or two of them; pass for example text='text'"),
        ({"label": 5}, "label=5 is not the name of a column, or several; pass for example label='label'"),
        ({"group": ""}, "group='' is not the name of a column; pass for example group='group'"),
        ({"seed": 0.5}, "seed=0.5 is not a whole number; pass for example seed=0"),
        ({"quotes": "no"}, "quotes='no' is not True or False; pass for example quotes=False"),
        ({"encoding": None}, "encoding=None is not the name of an encoding; pass for example encoding='utf-8'"),
        ({"encoding": "utf\0"}, r"encoding='utf\x00' is not the name of an encoding; pass for example encoding='utf-8'"),
        ({"max_chars": "100"}, "max_chars='100' is not a whole number above 0; pass for example max_chars=100_000"),
        ({"max_chars": 0}, "max_chars=0 is not a whole number above 0; pass for example max_chars=100_000"),
        ({"max_chars": True}, "max_chars=True is not a whole number above 0; pass for example max_chars=100_000"),
        ({"max_chars": 1e5}, "max_chars=100000.0 is not a whole number above 0; pass for example max_chars=100_000"),
        ({"delimiter": ""}, "delimiter='' is not one character; pass for example delimiter=';'"),
        ({"delimiter": ", "}, "delimiter=', ' is not one character; pass for example delimiter=';'"),
        ({"delimiter": "\n"}, r"delimiter='\n' is not one character; pass for example delimiter=';'"),
        ({"columns": "text"}, "columns='text' is not a list of names; pass a list of names, such as columns=['text', 'label']"),
        ({"columns": 2}, "columns=2 is not a list of names; pass a list of names, such as columns=['text', 'label']"),
        ({"columns": []}, "columns is empty; pass a list of names, such as columns=['text', 'label']"),
        ({"columns": [None, "label"]}, "columns contains None, which is not a name; pass a list of names, such as columns=['text', 'label']"),
        ({"labels": "neg"}, "labels='neg' is not a list of names; pass a list of names, such as labels=['neg', 'pos']"),
        ({"labels": 2}, "labels=2 is not a list of names; pass a list of names, such as labels=['neg', 'pos']"),
        ({"labels": {"neg"}}, "labels={'neg'} is not a list of names; pass a list of names, such as labels=['neg', 'pos']"),
        ({"labels": []}, "labels is empty; pass a list of names, such as labels=['neg', 'pos']"),
        ({"labels": ["neg", ""]}, "labels contains '', which is not a name; pass a list of names, such as labels=['neg', 'pos']"),
        ({"labels": ["neg", None]}, "labels contains None, which is not a name; pass a list of names, such as labels=['neg', 'pos']"),
        ({"labels": [0.0, 1.0]}, "labels contains 0.0, which is not a name; pass a list of names, such as labels=['neg', 'pos']"),
        ({"labels": {"neg": None}}, "labels contains None, which is not a name; pass a list of names, such as labels=['neg', 'pos']"),
        ({"labels": {1: "a", "1": "b"}}, "labels: the name '1' occurs 2 times; rename or remove all but one"),
        ({"txt": "sentiment"}, f"load_table has no option 'txt'; its options are {OPTIONS}"),
        ({"config": "x"}, f"load_table has no option 'config'; its options are {OPTIONS}"),
        ({"path": "x"}, f"load_table has no option 'path'; its options are {OPTIONS}"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(tmp_path, options, message):
    assert error_message(load, write(tmp_path / "r.csv", GOOD), **options) == message


def test_options_that_another_kind_of_corpus_has_are_named(tmp_path):
    write(tmp_path / "train.csv", TURNS)
    message = error_message(load, tmp_path, label_file="labels.txt")
    assert message.startswith(
        "load_dialogues has no option 'label_file'; its options are text, label, labels, dialogue"
    )
    assert error_message(load, "some/thing", quotes=False).startswith(
        "load_hub has no option 'quotes'; its options are "
    )
    assert error_message(load_dialogues, tmp_path, max_chars=-1).startswith(
        "max_chars=-1 is not a whole number above 0"
    )


@pytest.mark.parametrize(
    ("arguments", "options", "start"),
    [
        ([5], {}, "name=5 is not the name of a data set"),
        (["a/b"], {"config": 5}, "config=5 is not a name"),
        (["a/b"], {"revision": ""}, "revision='' is not a name"),
        (["a/b"], {"label": 1}, "label=1 is not the name of a column, or several"),
    ],
)
def test_wrong_arguments_of_the_hub_are_named(arguments, options, start):
    assert error_message(load_hub, *arguments, **options).startswith(start)


def test_a_dict_of_files_is_loaded_and_its_faults_are_named(tmp_path):
    path = write(tmp_path / "a.csv", GOOD)
    assert list(load({"train": path, "validation": str(path)})) == ["train", "dev"]
    assert error_message(load, {"train": 5}).startswith("path['train']=5 is not a path; ")
    assert error_message(load, {0: path}) == "0 is not the name of a split; pass a dict such as {'train': 'a.csv'}"
    assert error_message(load, {}).startswith("the dict of files is empty; pass a dict such as {'train': 'a.csv'}")
    assert error_message(load, {"train": path}, lable="x").startswith("load_table has no option 'lable'")


def test_numbers_of_numpy_and_lists_of_pandas_are_taken(tmp_path):
    path = write(tmp_path / "r.csv", "fine,pos\nbad,neg\n")
    data = load(path, columns=FRAME.columns, max_chars=np.int64(10), labels=pd.Series(["pos", "neg"], index=[4, 2]))
    assert data["train"]["label"][:] == [0, 1]


def test_the_home_folder_is_known_to_every_function(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "r.csv", GOOD)
    (tmp_path / "mine").mkdir()
    write(tmp_path / "mine" / "train.csv", TURNS)
    for data in (load("~/r.csv"), load_table("~/r.csv"), load_table({"train": "~/r.csv"}), load_dialogues("~/mine")):
        assert len(data["train"]) == 2
