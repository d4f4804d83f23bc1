"""Tables and the Hub: errors are refused with one clear sentence, and what is loaded is right and in memory."""

# ruff: noqa: E501 (an error message is checked as a whole, on one line)

import codecs
import csv
import json

import datasets
import pytest
from corpus_files import GOOD, TURNS, error_message, write
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from hypothesis import given
from hypothesis import strategies as st

from nbhelpers import corpora
from nbhelpers.corpora import CorpusError, load, load_dialogues, load_hub, load_table, loading_report, normalize

ERRORS = [  # name of the file, its content, options, the whole message
    ("r.csv", "text,label\na,postive\n", {"labels": ["negative", "neutral", "positive"]},
     "r.csv, row 2: label 'postive' is not one of negative, neutral, positive; correct the row or pass labels=..."),
    ("r.csv", "who,label\na,x\nb,y\n", {}, "r.csv: no column 'text', and no other column looks like it; the columns are who, "
     "label; pass text= with the name of one, and columns= if there is no header"),
    ("r.csv", GOOD, {"text": "review"}, "r.csv: no column 'review'; the columns are text, label; pass text= and label=, or "
     "columns= if there is no header"),
    ("r.csv", "", {}, "r.csv is empty; check that it was saved and copied completely"),
    ("r.csv", " \r\n\n", {}, "r.csv is empty; check that it was saved and copied completely"),
    ("r.csv", "\ufeff", {}, "r.csv is empty; check that it was saved and copied completely"),
    ("r.csv", "text,label\n", {}, "r.csv has a header but no rows; check that it was saved and copied completely"),
    ("r.csv", GOOD + "so,\n", {}, "r.csv, row 4: label is missing; fill it in or delete the row"),
    ("r.csv", GOOD + "so,  \n", {}, "r.csv, row 4: label is missing; fill it in or delete the row"),
    ("r.csv", GOOD + ",pos\n", {}, "r.csv, row 4: text is empty after normalizing; fill it in or delete the row"),
    ("r.csv", GOOD + "\u200b \u00a0,pos\n", {}, "r.csv, row 4: text is empty after normalizing; fill it in or delete the row"),
    ("r.csv", GOOD + "a,b,pos\n", {}, "r.csv, row 4: the number of fields is 3 instead of 2; put quotation marks around a text that contains the separator"),
    ("r.csv", GOOD + "a\n", {}, "r.csv, row 4: the number of fields is 1 instead of 2; put quotation marks around a text that contains the separator"),
    ("r.csv", GOOD + '"a,pos\nb,neg\n', {}, "r.csv, row 4: a quoted text has no closing quotation mark; double each quotation mark inside a quoted text, "
     "or pass quotes=False if texts are not quoted"),
    ("r.csv", GOOD + '"a" b,pos\n', {}, "r.csv, row 4: a quoted text continues after its closing quotation mark; double each quotation mark inside a "
     "quoted text, or pass quotes=False if texts are not quoted"),
    ("r.csv", GOOD.replace("bad", "fine").replace("neg", "pos"), {},
     "r.csv: every label is the same; a classifier needs at least two classes; check the column and the file"),
    ("r.csv", "text,label\na,0\nb,1\nc,3\n", {}, "r.csv: label ids 0, 1, 3 do not run from 0 to 2; pass labels=[...] with a name "
     "for each id from 0 on, or with these numbers in the order you want"),
    ("r.csv", "text,label,text\na,x,b\n", {}, "r.csv, header: the name 'text' occurs 2 times; rename or remove all but one"),
    ("r.csv", GOOD, {"labels": ["pos", "neg", "pos"]}, "labels: the name 'pos' occurs 2 times; rename or remove all but one"),
    ("r.csv", GOOD + "x" * 2_000_000 + ",pos\n", {}, "r.csv, row 4: text has 2,000,000 characters, more than max_chars=100,000; "
     "look for a missing quotation mark, shorten it or pass max_chars=..."),
    ("r.doc", GOOD, {}, "r.doc: suffix '.doc' is not supported; save the table as .csv, .tsv, .txt, .jsonl, .json, .parquet "
     "or .xlsx"),
    ("r.xlsx", GOOD, {}, "r.xlsx is no .xlsx file; give it the suffix of its format, or save it again"),
    ("r.jsonl", '{"text": "a", "label": 0}\n\n{"text": "b"\n', {}, "r.jsonl, line 3: Expecting ',' delimiter: line 1 column 13 "
     '(char 12); write an object such as {"text": "..."}'),
    ("r.jsonl", '["a", 0]\n', {}, 'r.jsonl, line 1: not an object; write an object such as {"text": "..."}'),
    ("r.jsonl", '{"text": "a", "label": 0}\n{"text": "b\\ud83d", "label": 1}\n', {},
     "r.jsonl, line 2: half of a surrogate pair; write the character itself"),
    ("r.jsonl", '{"text": "a", "text": "b"}\n', {}, "r.jsonl, line 1: the name 'text' occurs 2 times; rename or remove all but one"),
    ("r.jsonl", '{"text": "a", "label": 0}\n{"text": 5, "label": 1}\n', {},
     "r.jsonl, line 2: text 5 is not text; put quotation marks around it"),
    ("r.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": 0.5}\n', {},
     "r.jsonl, line 2: label 0.5 is neither a name nor a whole number; correct the row"),
    ("r.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"}\n', {}, "r.jsonl, line 2: label is missing; fill it in or delete the row"),
    ("r.jsonl", '{"text": "a", "label": "x"}\n{"label": "y"}\n', {},
     "r.jsonl, line 2: text is empty after normalizing; fill it in or delete the row"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "message"), ERRORS, ids=range(len(ERRORS)))
def test_error_messages_of_tables(tmp_path, name, content, options, message):
    assert error_message(load_table, write(tmp_path / name, content), **options) == message


TABLE_LIKE = st.text(alphabet='abé01,"\t\r\n \0\ufeff\u2019{}[]:\\ud').map(
    lambda rest: f"text,label\na,b\nc,d\n{rest}".encode()
)
JSON_LIKE = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=3)


@given(
    content=st.one_of(st.binary(), TABLE_LIKE, TABLE_LIKE.map(lambda content: content.decode().encode("utf-16"))),
    suffix=st.sampled_from([".csv", ".tsv", ".jsonl"]),
    encoding=st.sampled_from(["utf-8", "cp1252", "latin-1", "utf-16"]),
    quotes=st.booleans(),
)
def test_arbitrary_bytes_are_loaded_or_raise_corpus_error(tmp_path_factory, content, suffix, encoding, quotes):
    path = write(tmp_path_factory.getbasetemp() / f"any{suffix}", content)
    message, texts = "", []
    try:
        texts = load_table(path, encoding=encoding, quotes=quotes)["train"]["text"][:]
    except CorpusError as error:
        message = str(error)
    assert len(message.splitlines()) == (0 if texts else 1)
    assert len(message) < 600
    assert all(text == normalize(text) != "" for text in texts)


@given(st.lists(st.fixed_dictionaries({"text": JSON_LIKE | st.text(min_size=1), "label": JSON_LIKE}), min_size=1))
def test_arbitrary_json_lines_are_loaded_or_raise_corpus_error(tmp_path_factory, objects):
    path = tmp_path_factory.getbasetemp() / "any.jsonl"
    path.write_text("\n".join(map(json.dumps, objects)))
    message, rows = "", 0
    try:
        rows = len(load_table(path)["train"])
    except CorpusError as error:
        message = str(error)
    assert rows == (0 if message else len(objects))
    assert len(message) < 600


def test_deeply_nested_json_is_refused(tmp_path):
    assert "r.jsonl, line 1: " in error_message(load_table, write(tmp_path / "r.jsonl", '{"text": ' + "[" * 100_000))


def test_many_classes_are_not_all_listed(tmp_path):
    rows = "".join(f"t{i},class_{i:02}\n" for i in range(77))
    files = {
        "train": write(tmp_path / "a.csv", "text,label\n" + rows * 2),
        "test": write(tmp_path / "b.csv", "text,label\na,klass_07\n"),
    }
    message = error_message(load_table, files)
    assert message.startswith("b.csv, row 2: label 'klass_07' is not one of the 77 classes (similar: class_07")
    assert len(message) < 250


def test_missing_files_suggest_near_matches(tmp_path):
    write(tmp_path / "reviews.csv", GOOD)
    assert error_message(load_table, tmp_path / "reviws.csv").endswith(
        "reviws.csv does not exist; did you mean reviews.csv?"
    )
    assert error_message(load, str(tmp_path / "zzz.csv")).endswith("zzz.csv does not exist; check the path")
    assert "did you mean reviews.csv?" in error_message(load, tmp_path / "reviews")
    assert error_message(load, "no/such/folder/x").endswith("x does not exist; check the path")


def test_error_messages_when_a_folder_is_passed_for_a_file_or_a_file_for_a_folder(tmp_path):
    folder = tmp_path / "f.csv"
    folder.mkdir()
    file = write(tmp_path / "reviews.csv", GOOD)
    assert "is a folder, but a file is needed" in error_message(load_table, {"train": folder})
    assert "no column tells the dialogues apart" in error_message(load_dialogues, file)
    assert (
        "has no train.csv (or .tsv, .txt, .jsonl, .json, .parquet, .xlsx), and no folder for each class"
        in error_message(load_table, folder)
    )
    assert "does not exist" in error_message(load_dialogues, tmp_path / "none")


def test_two_files_for_one_split_are_refused(tmp_path):
    for name in ("train.csv", "dev.csv", "validation.csv"):
        write(tmp_path / name, GOOD)
    assert "has both dev.csv and validation.csv for one split; keep one of them" in error_message(load, tmp_path)


@pytest.mark.parametrize("other", ["validation", "val", "valid", "Dev"])
def test_two_parts_for_one_split_are_refused_in_a_dict_and_on_the_hub(tmp_path, monkeypatch, other):
    path = write(tmp_path / "a.csv", GOOD)
    message = error_message(load_table, {"train": path, "dev": path, other: path})
    assert message == f"the dict of files has both dev and {other} for one split; keep one of them"
    columns = {"text": ["a", "b"], "label": ["x", "y"]}
    monkeypatch.setattr(corpora.hub, "load_dataset", hub({"train": columns, "dev": columns, other: columns}))
    assert f"some/thing has both dev and {other} for one split; download its files" in error_message(load, "some/thing")


def test_files_of_a_folder_that_look_like_splits_but_are_not_read_are_noted(tmp_path):
    names = ("train.csv", "Test.CSV", "dev.csv", "dev.csv.gz", "test_hard.csv", "eval.csv.gz", "readme.csv", "test.py")
    for name in names:
        write(tmp_path / name, GOOD)
    data = load(tmp_path)
    assert list(data) == ["train", "dev", "test"]
    assert loading_report(data["train"])["notes"] == ["eval.csv.gz is not read", "test_hard.csv is not read"]
    assert loading_report(data["test"])["notes"] == []


def test_files_that_are_not_read_are_noted_for_dialogues(tmp_path):
    for name in ("train.csv", "valid_2.csv"):
        write(tmp_path / name, TURNS)
    data = load(tmp_path)
    assert loading_report(data["train"])["notes"] == ["valid_2.csv is not read"]


def test_data_without_a_train_split_is_refused(tmp_path):
    assert "there is no train split, only test" in error_message(load_table, {"test": write(tmp_path / "a.csv", GOOD)})


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("a.csv", GOOD, {}),
        ("a.CSV", GOOD.replace("\n", "\r\n"), {}),
        ("a.csv", GOOD.replace("\n", "\r"), {}),
        ("a.csv", GOOD.encode("utf-16"), {"encoding": "utf-16"}),
        ("a.csv", codecs.BOM_UTF8 + GOOD.encode(), {}),
        ("a.csv", codecs.BOM_UTF8 + GOOD.encode(), {"encoding": "utf-8-sig"}),
        ("a.tsv", GOOD.replace(",", "\t"), {}),
        ("a.csv", "extra,label,text\n1,pos,fine\n2,neg,bad\n", {}),
        ("a.csv", "fine,pos\nbad,neg\n", {"columns": ["text", "label"]}),
        ("a.jsonl", '{"text": "fine", "label": "pos"}\n\n{"text": "bad", "label": "neg"}', {}),
    ],
)
def test_file_formats(tmp_path, name, content, options):
    data = load_table(write(tmp_path / name, content), **options)
    assert list(data) == ["train"]
    assert data["train"].features == Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    assert data["train"][:] == {"text": ["fine", "bad"], "label": [1, 0]}
    assert data["train"].cache_files == []


def test_byte_order_mark_and_blank_rows_are_reported(tmp_path):
    data = load(write(tmp_path / "a.csv", "\ufeff" + GOOD.replace("bad", "\n\nbad")))
    assert loading_report(data["train"])["notes"] == ["byte order mark removed", "2 blank rows skipped"]


@pytest.mark.parametrize(
    ("values", "labels", "names", "ids"),
    [
        (["b", "a", "b"], None, ["a", "b"], [1, 0, 1]),
        (["b", "a", "b"], ["b", "c", "a"], ["b", "c", "a"], [0, 2, 0]),
        (["1", "0", "1"], None, ["0", "1"], [1, 0, 1]),
        (["1", "0", "1"], ["neg", "pos"], ["neg", "pos"], [1, 0, 1]),
        (["1", "0", "1"], [1, 0], ["1", "0"], [0, 1, 0]),
        (["0", "1", "3"], ["a", "b", "c", "d"], ["a", "b", "c", "d"], [0, 1, 3]),
        (["0", "1", "3"], [0, 1, 3], ["0", "1", "3"], [0, 1, 2]),
        ([str(i) for i in range(12)] * 2, None, [str(i) for i in range(12)], [*range(12), *range(12)]),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_class_names_and_label_ids(tmp_path, values, labels, names, ids, suffix):
    if suffix == ".csv":
        content = "text,label\n" + "".join(f"t,{value}\n" for value in values)
    else:
        content = "\n".join(json.dumps({"text": "t", "label": int(v) if v.isdigit() else v}) for v in values)
    train = load_table(write(tmp_path / f"a{suffix}", content), labels=labels)["train"]
    assert train.features["label"].names == names
    assert train["label"][:] == ids


def test_row_numbers_count_records_and_blank_rows(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\r\n"one\r\ntwo\r\nthree",pos\r\n\r\nfine,neg\r\n,pos\r\n')
    assert error_message(load_table, path).startswith("a.csv, row 5: text is empty")
    assert error_message(load_table, write(tmp_path / "b.csv", "a,x\n,y\n"), columns=["text", "label"]).startswith(
        "b.csv, row 2:"
    )


def test_long_texts_are_read_without_changing_the_limit_of_the_csv_module(tmp_path):
    path, before = write(tmp_path / "a.csv", GOOD + "x" * 2_000_000 + ",pos\n"), csv.field_size_limit()
    assert len(load_table(path, max_chars=3_000_000)["train"][2]["text"]) == 2_000_000
    error_message(load_table, write(tmp_path / "b.csv", GOOD + '"'))
    assert csv.field_size_limit() == before


def test_quotes_as_plain_characters(tmp_path):
    path = write(tmp_path / "a.tsv", '"so" he said\tpos\nbad "\tneg\n')
    assert "pass quotes=False" in error_message(load_table, path, columns=["text", "label"])
    data = load_table(path, columns=["text", "label"], quotes=False)
    assert data["train"]["text"][:] == ['"so" he said', 'bad "']


def test_splits_from_a_folder_or_a_dict(tmp_path):
    write(tmp_path / "train.csv", GOOD)
    write(tmp_path / "validation.tsv", GOOD.replace(",", "\t"))
    write(tmp_path / "test.jsonl", '{"text": "x", "label": "pos"}')
    assert {split: len(part) for split, part in load(str(tmp_path)).items()} == {"train": 2, "dev": 2, "test": 1}
    data = load_table({"train": tmp_path / "train.csv", "val": str(tmp_path / "validation.tsv")})
    assert list(data) == ["train", "dev"]
    write(tmp_path / "test.jsonl", '{"text": "x", "label": "postive"}')
    message = "test.jsonl, line 1: label 'postive' is not one of neg, pos; correct the row or pass labels=..."
    assert error_message(load, tmp_path) == message


# --- the Hub ----------------------------------------------------------------------------------------------------------


def test_hub_formats(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "hub"
    folder.mkdir()
    features = Features({"sentence": Value("string"), "stars": ClassLabel(names=["neg", "pos"])})
    for split, labels in (("train", [1, 0]), ("validation", [1, 1]), ("test", [-1, -1])):
        part = Dataset.from_dict({"sentence": ["it\u2019s", "b"], "stars": labels}, features=features)
        part.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    data = load_hub(str(folder), text="sentence", label="stars")
    assert list(data) == ["train", "dev"]
    assert data["train"][:] == {"text": ["it's", "b"], "label": [1, 0]}
    assert data["train"].features["label"].names == ["neg", "pos"]
    assert loading_report(data["train"])["notes"] == ["split test is left out because it has no labels"]
    assert load_hub(str(folder))["train"][:] == data["train"][:]  # the columns are guessed
    assert "no column 'review'; the columns are sentence, stars; pass text=" in error_message(
        load_hub, str(folder), text="review"
    )


def hub(parts):
    return lambda *_, **__: DatasetDict({split: Dataset.from_dict(columns) for split, columns in parts.items()})


def test_hub_data_with_string_labels_and_with_errors(monkeypatch):
    monkeypatch.setattr(corpora.hub, "load_dataset", hub({"train": {"text": ["a", "b"], "label": ["y", "x"]}}))
    assert load("some/thing")["train"]["label"][:] == [1, 0]
    assert load("some/thing", labels=["y", "x"])["train"]["label"][:] == [0, 1]
    monkeypatch.setattr(corpora.hub, "load_dataset", hub({"train": {"text": ["a", None], "label": [0, 1]}}))
    assert (
        error_message(load, "some/thing")
        == "some/thing[train], row 1: text is empty after normalizing; fill it in or delete the row"
    )
    monkeypatch.setattr(corpora.hub, "load_dataset", hub({"test": {"text": ["a", "b"], "label": [0, 1]}}))
    assert "there is no train split, only test" in error_message(load, "some/thing")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("Dataset scripts are no longer supported, but found x.py"), "needs a loading script, which `datasets` no"),
        (ConnectionError("Couldn't reach 'x' on the Hub (LocalEntryNotFoundError)"), "the Hub cannot be reached; pass a full path, go online, set HF_ENDPOINT"),
        (datasets.exceptions.DatasetNotFoundError("Dataset 'x' doesn't exist"), "nor on the Hub; check the spelling, pass a full path, or log in"),
        (ValueError("Config name is missing.\nPlease pick one among: ['a', 'b']"), "Please pick one among: ['a', 'b']; check config= and"),
    ],
)  # fmt: skip
def test_error_messages_of_the_hub(tmp_path, monkeypatch, error, message):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(corpora.hub, "load_dataset", fail)
    monkeypatch.chdir(tmp_path)
    text = error_message(load, "some/thing")
    if isinstance(error, OSError):  # a relative path is looked for where Python was started
        assert f" in the folder {tmp_path}" in text
    assert text.startswith("some/thing: ")
    assert message in text
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if isinstance(error, ConnectionError):
        assert "HF_HUB_OFFLINE is set" in error_message(load, "some/thing")


def test_hub_loading_scripts_are_not_run(tmp_path):
    assert "needs a loading script" in error_message(load_hub, str(write(tmp_path / "old.py", "raise SystemExit")))
