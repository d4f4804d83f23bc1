"""The same table in every format, spread over files, nested, and with columns that nobody named."""

import gzip
import json

import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from corpus_files import error_message, write
from datasets import ClassLabel, Dataset, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st

from nbhelpers.corpora import describe, load, load_table, normalize, read_names

ROWS = [("Fine, really", "pos"), ('Say "no"', "neg"), ("So so", "pos"), ("很好吃", "neg"), ("Ça va\tmal", "neg")]


def save(rows, path, names=("text", "label")):
    """Write rows in the format of a path's suffix."""
    frame = pd.DataFrame(rows, columns=list(names))
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    if kind in ("csv", "tsv", "txt"):
        frame.to_csv(path, sep="," if kind == "csv" else "\t", index=False)
    elif kind == "jsonl":
        frame.to_json(path, orient="records", lines=True, force_ascii=False)
    elif kind == "json":
        frame.to_json(path, orient="records", force_ascii=False)
    elif kind == "parquet":
        frame.to_parquet(path)
    elif kind == "xlsx":
        frame.to_excel(path, index=False)
    return path


def rows_of(part):
    names = part.features["label"].names
    return [(row["text"], names[row["label"]]) for row in part]


SUFFIXES = ("csv", "tsv", "txt", "jsonl", "json", "parquet", "xlsx")


@pytest.mark.parametrize("suffix", [*SUFFIXES, *(f"{x}.gz" for x in ("csv", "tsv", "jsonl", "json"))])
def test_every_format_reads_back_equal(tmp_path, suffix):
    data = load(save(ROWS, tmp_path / f"r.{suffix}"))
    assert rows_of(data["train"]) == [(normalize(text), label) for text, label in ROWS]


TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda text: any(character.isalnum() for character in text)
)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "json", "parquet"])
@given(rows=st.lists(st.tuples(TEXTS, st.sampled_from(["good", "bad", "so so"])), min_size=2, max_size=8))
def test_any_table_reads_back_equal(tmp_path_factory, suffix, rows):
    rows = [*rows, ("one more", "good"), ("and one", "bad")]
    path = save(rows, tmp_path_factory.mktemp("any") / f"r.{suffix}")
    data = load_table(path, "text", "label")
    assert rows_of(data["train"]) == [(normalize(text), label) for text, label in rows]


@pytest.mark.parametrize(
    "content",
    [
        [["fine", "pos"], ["bad, bad", "neg"], ["so so", "pos"], ["not good", "neg"]],
        {"text": ["fine", "bad, bad", "so so", "not good"], "label": ["pos", "neg", "pos", "neg"]},
        {"text": {"0": "fine", "1": "bad, bad", "2": "so so", "3": "not good"}, "label": dict(enumerate("1010"))},
        {"data": [{"text": "fine", "label": "pos"}, {"text": "bad, bad", "label": "neg"}] * 2},
    ],
    ids=["pairs", "columns", "pandas", "one key"],
)
def test_the_shapes_of_json(tmp_path, content):
    data = load(write(tmp_path / "r.json", json.dumps(content)))
    assert data["train"]["text"][:2] == ["fine", "bad, bad"]
    assert data["train"]["label"][:2] == [1, 0]


def test_json_with_splits(tmp_path):
    pairs = [
        ["how are you", "greeting"],
        ["what is this", "question"],
        ["hi there", "greeting"],
        ["why not", "question"],
    ]
    content = {"train": pairs, "val": pairs[:2], "oos_val": [["my name is Bo", "oos"]]}
    data = load(write(tmp_path / "intents.json", json.dumps(content)))
    assert {split: len(part) for split, part in data.items()} == {"train": 4, "dev": 2}
    assert "not read, because they are no splits: oos_val" in describe(data).loc["notes", "train"]


def test_json_that_is_no_table(tmp_path):
    for content in ('"fine"', "[]", "{}", "[1, 2]", '{"a": 1}', '[["a"], ["b", "c"]]'):
        assert error_message(load, write(tmp_path / "r.json", content)).startswith("r.json")
    message = error_message(load, write(tmp_path / "r.json", '{"text": "fine"}\n{"text": "bad"}\n'))
    assert "rename it to .jsonl" in message


def test_a_folder_for_each_class(tmp_path):
    for split in ("train", "test"):
        for label, text in (("pos", "fine"), ("neg", "bad")):
            (tmp_path / split / label).mkdir(parents=True)
            for i in range(3):
                write(tmp_path / split / label / f"{i}.txt", f"{text} {split} {i}\n")
    (tmp_path / "train" / "unsup").mkdir()
    write(tmp_path / "train" / "unsup" / "0.txt", "who knows")
    data = load(tmp_path, labels=["neg", "pos"])
    assert {split: len(part) for split, part in data.items()} == {"train": 6, "test": 6}
    assert data["test"][0] == {"text": "bad test 0", "label": 0}
    assert "the folder unsup is not read" in describe(data).loc["notes", "train"]
    write(tmp_path / "test" / "neg" / "1.txt", " ")
    assert error_message(load, tmp_path, labels=["neg", "pos"]).startswith("test/neg/1.txt: text is empty")


def test_texts_and_labels_in_two_files(tmp_path):
    write(tmp_path / "train_text.txt", "I am glad\nGo away\r\nThank you\n")
    write(tmp_path / "train_labels.txt", "1\n0\n1\n")
    write(tmp_path / "val_text.txt", "Well\n")
    write(tmp_path / "val_labels.txt", "0")
    write(tmp_path / "mapping.txt", "0\tanger\n1\tjoy\n")
    data = load(tmp_path, labels=read_names(tmp_path / "mapping.txt"))
    assert rows_of(data["train"]) == [("I am glad", "joy"), ("Go away", "anger"), ("Thank you", "joy")]
    assert rows_of(data["dev"]) == [("Well", "anger")]
    data = load(tmp_path / "train_text.txt", label_file=tmp_path / "train_labels.txt")
    assert data["train"]["label"][:] == [1, 0, 1]
    write(tmp_path / "train_labels.txt", "1\n0\n")
    message = error_message(load, tmp_path)
    assert (
        message == "train_text.txt has 3 lines, but train_labels.txt has 2; each text needs its label on the same line"
    )


def test_names_of_classes_from_files(tmp_path):
    assert read_names(write(tmp_path / "a.txt", "World\nSports\n\nBusiness\n")) == ["World", "Sports", "Business"]
    assert read_names(write(tmp_path / "a.json", '["x", "y"]')) == ["x", "y"]
    assert read_names(write(tmp_path / "b.json", '{"1": "x"}')) == {"1": "x"}
    assert error_message(read_names, write(tmp_path / "c.json", '"x"')).startswith("c.json is neither a list")


# --- columns that nobody named ----------------------------------------------------------------------------------------


def test_columns_are_guessed_by_name_and_the_guess_is_told(tmp_path):
    path = save([("1", *row) for row in ROWS], tmp_path / "r.csv", ("id", "Review", "stars"))
    data = load(path)
    assert data["train"].column_names == ["text", "label"]
    assert "read with text='Review', label='stars'" in describe(data).loc["notes", "train"]
    assert load(path, text="Review", label="stars")["train"][:] == data["train"][:]


def test_columns_are_guessed_by_what_they_contain(tmp_path):
    rows = [(f"id/{i}", "0.5", f"so many words {i}", "ab"[i % 2]) for i in range(8)]
    data = load(save(rows, tmp_path / "r.csv", ("key", "weight", "A", "B")))
    assert "read with text='A', label='B'" in describe(data).loc["notes", "train"]


def test_two_columns_that_could_be_it_are_not_guessed(tmp_path):
    rows = [("fine thing", "so it is", "ab"[i % 2], "xy"[i // 2 % 2]) for i in range(8)]
    path = save(rows, tmp_path / "r.csv", ("title", "body text", "color", "shape"))
    message = error_message(load, path)
    assert message.startswith("r.csv: no column 'text', and ")
    assert "the columns are title, body text, color, shape; pass text= with the name of one" in message
    assert "'color', 'shape' could all be it" in error_message(load, path, text="title")
    write(path, "a,b\nfine thing,so it is\nbad thing,no no no\n")
    assert "no other column looks like it" in error_message(load, path, text="a")


@pytest.mark.parametrize("suffix", ["tsv", "txt", "csv"])
def test_a_file_without_a_header_is_recognized_by_its_labels(tmp_path, suffix):
    rows = [("the first one is fine", "1"), ("bad, in short", "0"), ("good", "1"), ("so bad", "0"), ("all good", "1")]
    path = tmp_path / f"r.{suffix}"
    pd.DataFrame(rows).to_csv(path, sep="," if suffix == "csv" else "\t", index=False, header=False)
    data = load(path)
    assert data["train"]["text"][0] == "the first one is fine"
    assert data["train"]["label"][:] == [1, 0, 1, 0, 1]
    notes = describe(data).loc["notes", "train"]
    assert "no header" in notes
    assert "read with text='column 1', label='column 2'" in notes


def test_pairs_of_texts(tmp_path):
    rows = [("Is it big?", "It is huge.", "yes"), ("Is it red?", "It is blue.", "no")] * 2
    path = save(rows, tmp_path / "r.csv", ("question", "answer", "label"))
    data = load(path, text=["question", "answer"])
    assert data["train"][0] == {"text": "Is it big?", "text_pair": "It is huge.", "label": 1}
    curly = save(
        [("It\u2019s big?", "It\u2019s huge.", "yes"), ("Is it red?", "no\u2019", "no")],
        tmp_path / "c.csv",
        ("q", "a", "label"),
    )
    assert describe(load(curly, text=["q", "a"])).loc["normalized: curly quotes", "train"] == 3
    assert "pass one, or two for pairs" in error_message(load, path, text=["question", "answer", "label"])
    assert "named twice" in error_message(load, path, text=["question", "label"], label="label")


# --- several labels ---------------------------------------------------------------------------------------------------

SEVERAL = [
    ("fine and cheap", ["good", "price"]),
    ("nothing to say", []),
    ("too dear", ["price"]),
    ("so good", ["good"]),
]


def test_several_labels_as_a_list_with_a_separator_and_as_columns(tmp_path):
    records = [{"text": text, "label": labels} for text, labels in SEVERAL]
    lists = load(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, records))))
    cells = save([(text, ";".join(labels)) for text, labels in SEVERAL], tmp_path / "b.csv")
    marks = [(text, int("good" in labels), int("price" in labels)) for text, labels in SEVERAL]
    columns = save(marks, tmp_path / "c.csv", ("text", "good", "price"))
    expected = [[0, 1], [], [1], [0]]
    for data in (lists, load(cells, label_separator=";"), load(columns, label=["good", "price"])):
        assert data["train"]["label"][:] == expected
        assert data["train"].features["label"] == List(ClassLabel(names=["good", "price"]))
    assert describe(lists).loc[["label: good", "label: price"], "train"].tolist() == [2, 2]
    message = error_message(load, save([("a b", 2, 0)], tmp_path / "d.csv", ("text", "x", "y")), label=["x", "y"])
    assert message.startswith("d.csv, row 2: x '2' is neither 0 nor 1")


def test_class_names_of_a_parquet_file_are_kept(tmp_path):
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neutral", "anger"])})
    Dataset.from_dict({"text": ["a b", "c d"], "label": [1, 0]}, features=features).to_parquet(tmp_path / "r.parquet")
    assert rows_of(load(tmp_path / "r.parquet")["train"]) == [("a b", "anger"), ("c d", "neutral")]


# --- faulty rows ------------------------------------------------------------------------------------------------------


def test_faulty_rows_are_dropped_on_request_and_counted(tmp_path):
    rows = [(f"text {i}", "ab"[i % 2]) for i in range(100)]
    rows[10], rows[20] = ("", "a"), ("no label", "")
    path = save(rows, tmp_path / "r.csv")
    path.write_text(path.read_text() + "one, two, three\n")
    assert error_message(load, path) == (
        "r.csv, row 102: the number of fields is 3 instead of 2; put quotation marks around a text that contains the "
        "separator"
    )
    data = load(path, on_fault="drop")
    assert len(data["train"]) == 98
    table = describe(data)["train"]
    kinds = ("wrong number of fields", "text empty", "label missing")
    assert [table[f"dropped: {kind}"] for kind in kinds] == [1, 1, 1]


def test_unknown_labels_of_dev_are_dropped_too(tmp_path):
    save([(f"text {i}", "ab"[i % 2]) for i in range(60)], tmp_path / "train.csv")
    save([(f"dev {i}", "abc"[2 if i == 7 else i % 2]) for i in range(30)], tmp_path / "dev.csv")
    assert "dev.csv, row 9: label 'c' is not one of a, b" in error_message(load, tmp_path)
    data = load(tmp_path, on_fault="drop")
    assert len(data["dev"]) == 29
    assert describe(data).loc["dropped: label unknown"].tolist() == [0, 1]


def test_the_first_fault_is_told_with_the_number_of_the_others(tmp_path):
    rows = [(f"text {i}", "ab"[i % 2]) for i in range(100)]
    rows[50], rows[60], rows[70] = ("no label", ""), ("", "b"), ("no label", "")
    told = "r.csv, row 52: label is missing; fill it in or delete the row"
    path = save(rows, tmp_path / "r.csv")
    assert error_message(load, path) == f"{told}; 2 more rows are faulty, and on_fault='drop' leaves all of them out"
    assert len(load(path, on_fault="drop")["train"]) == 97
    for i in range(80, 90):  # so many would be refused with on_fault="drop" as well
        rows[i] = ("", "b")
    assert error_message(load, save(rows, path)) == f"{told}; 12 more rows are faulty"
    path.write_text("text,label\n" + "a,x\nb,y\n" * 50 + "a,b,c\nd,e,f\n")
    assert error_message(load, path).endswith("; 1 more row is faulty, and on_fault='drop' leaves all of them out")


def test_rows_without_a_cell_are_blank(tmp_path):
    lines = ["text;label;by", *(f"Text {i}, so;{'ab'[i % 2]};Ann" for i in range(20))]
    lines.insert(5, ";;")
    path = write(tmp_path / "r.csv", "\n".join([*lines, " ; ;", ";;;;;"]) + "\n")
    data = load(path, text="text", label="label")
    assert len(data["train"]) == 20
    assert describe(data).loc["notes", "train"].endswith("; 3 blank rows skipped")
    frame = pd.DataFrame({"text": ["a b", " ", "c d"], "label": ["x", "", "y"]})
    frame.to_excel(tmp_path / "r.xlsx", index=False)
    assert len(load(tmp_path / "r.xlsx")["train"]) == 2
    assert error_message(load, write(tmp_path / "e.csv", ";;\n;;\n")).startswith("e.csv")


def test_marks_of_several_labels_that_are_neither_0_nor_1_are_dropped_on_request(tmp_path):
    rows = [(f"text {i}", i % 2, (i + 1) % 2) for i in range(60)]
    rows[7] = ("text 7", "?", 0)
    path = save(rows, tmp_path / "r.csv", ("text", "x", "y"))
    assert error_message(load, path, label=["x", "y"]).startswith("r.csv, row 9: x '?' is neither 0 nor 1")
    data = load(path, label=["x", "y"], on_fault="drop")
    assert len(data["train"]) == 59
    assert describe(data)["train"]["dropped: x no mark"] == 1


def test_too_many_faulty_rows_are_refused(tmp_path):
    path = save([("" if i % 10 == 0 else f"text {i}", "ab"[i % 2]) for i in range(100)], tmp_path / "r.csv")
    assert error_message(load, path, on_fault="drop") == (
        "r.csv: 10 of 100 rows are faulty, more than 5%, most often: text empty (r.csv, row 2: text is empty after "
        "normalizing); correct the file, or check how it is read"
    )
    assert "pass for example on_fault='drop'" in error_message(load, path, on_fault="ignore")


# --- splits that are made ---------------------------------------------------------------------------------------------


def test_splits_are_made_with_the_same_share_of_each_class(tmp_path):
    rows = [(f"text number {i}", "rare" if i % 10 == 0 else "common") for i in range(400)]
    path = save(rows, tmp_path / "r.csv")
    data = load(path, dev_share=0.1, test_share=0.25)
    assert {split: len(part) for split, part in data.items()} == {"train": 260, "dev": 40, "test": 100}
    assert [part["label"][:].count(1) for part in data.values()] == [26, 4, 10]
    assert data["dev"]["text"][:] == load(path, dev_share=0.1, test_share=0.25)["dev"]["text"][:]
    assert data["dev"]["text"][:] != load(path, dev_share=0.1, test_share=0.25, seed=1)["dev"]["text"][:]
    assert not set(data["train"]["text"]) & set(data["dev"]["text"]) & set(data["test"]["text"])


def test_rows_that_belong_together_stay_together(tmp_path):
    rows = [(f"text {i // 2}", "ab"[i % 2], f"author {i % 13}") for i in range(200)]
    path = save(rows, tmp_path / "r.csv", ("text", "label", "author"))
    data = load(path, dev_share=0.2)
    assert not set(data["train"]["text"]) & set(data["dev"]["text"])  # each text occurs twice
    data = load(path, dev_share=0.2, group="author")
    authors = dict(zip(((t, "ab".index(x)) for t, x, _ in rows), (a for *_, a in rows), strict=True))
    by_split = [{authors[row["text"], row["label"]] for row in part} for part in data.values()]
    assert not by_split[0] & by_split[1]
    assert 20 <= len(data["dev"]) <= 60


def test_a_split_that_is_there_stays_as_it_is(tmp_path):
    save([(f"text {i}", ("pos", "neg")[i % 2]) for i in range(40)], tmp_path / "train.csv")
    save(ROWS, tmp_path / "dev.csv")
    data = load(tmp_path, dev_share=0.2, test_share=0.2)
    assert {split: len(part) for split, part in data.items()} == {"train": 32, "dev": len(ROWS), "test": 8}
    assert len(load("reviews", dev_share=0.5)["dev"]) == len(load("reviews")["dev"])


def test_splits_that_cannot_be_made(tmp_path):
    path = save(ROWS, tmp_path / "train.csv")
    assert error_message(load, path, dev_share=0.1) == (
        f"train.csv: {len(ROWS)} rows are too few for a dev split of 10%; add rows, pass a file with the dev split, or "
        "another dev_share="
    )
    assert "pass for example dev_share=0.1" in error_message(load, path, dev_share=1.0)
    assert "no column 'author'" in error_message(load, path, dev_share=0.2, group="author")


def test_a_damaged_gzip_file_and_wrong_suffixes(tmp_path):
    content = gzip.compress(b"text,label\nfine,pos\nbad,neg\n")
    assert "cannot be unpacked" in error_message(load, write(tmp_path / "r.csv.gz", content[:-9]))
    assert "is no .parquet file" in error_message(load, write(tmp_path / "r.parquet", b"text,label\n"))
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), tmp_path / "one.parquet")
    assert "needs texts and labels" in error_message(load, tmp_path / "one.parquet")
