"""Large files: read in parts into files on disk, with what `load_table` would give."""

import gzip
import json
import random

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from nbhelpers import corpora
from nbhelpers.corpora import in_parts, large

WORDS = ["fine", "bad", "good", "awful", "so", "very", "not", "really", "slow", "fast"]


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """Parts of seven rows, so that small files have many."""
    monkeypatch.setattr(in_parts, "CHUNK", 7)


def make_rows(count, seed=0):
    draw = random.Random(seed)
    return [(f"{' '.join(draw.choices(WORDS, k=5))} {i}", draw.choice(["neg", "pos", "so so"])) for i in range(count)]


def write(path, rows, names=("text", "label")):
    suffix = path.name.removesuffix(".gz").rpartition(".")[2]
    if suffix == "parquet":
        pyarrow.parquet.write_table(pyarrow.table(dict(zip(names, zip(*rows, strict=True), strict=True))), path)
        return path
    if suffix == "jsonl":
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
    else:
        lines = [{"csv": ",", "tsv": "\t"}[suffix].join(row) for row in (names, *rows)]
    content = ("\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["r.csv", "r.tsv", "r.jsonl", "r.parquet", "r.csv.gz", "r.jsonl.gz"])
def test_a_large_file_is_read_as_a_small_one(tmp_path, name):
    path = write(tmp_path / name, make_rows(40))
    expected, found = corpora.load_table(path), corpora.load_large(path, tmp_path / "made")
    assert found["train"][:] == expected["train"][:]
    assert found["train"].features == expected["train"].features
    assert corpora.loading_report(found["train"]) == corpora.loading_report(expected["train"])
    assert found["train"].cache_files  # it is read from the disk
    assert sorted(file.name for file in (tmp_path / "made").iterdir()) == ["0-0.arrow"]


def test_what_loading_changed_and_left_out_is_reported_as_for_small_files(tmp_path):
    rows = make_rows(200)
    rows[3] = ("“Curly”  one", "pos")
    rows[150] = ("‘other’", "neg")
    rows[60], rows[120], rows[121] = ("", "pos"), ("no label", ""), (" ", " ")
    path = write(tmp_path / "r.csv", rows)
    expected = corpora.load_table(path, on_fault="drop")
    found = corpora.load_large(path, tmp_path / "made", on_fault="drop")
    assert found["train"][:] == expected["train"][:]
    reports = [corpora.loading_report(data["train"]) for data in (found, expected)]
    assert reports[0]["dropped"] == reports[1]["dropped"] != {}
    assert {rule: x["texts"] for rule, x in reports[0]["normalized"].items()} == {
        rule: x["texts"] for rule, x in reports[1]["normalized"].items()
    }
    with pytest.raises(corpora.CorpusError, match=r"r\.csv, row 62: text is empty"):
        corpora.load_large(path, tmp_path / "again")


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda rows: [*rows, ("one", "pos", "more")], {}, r"r\.csv, row 42: the number of fields is 3 instead of 2"),
        (lambda rows: rows, {"label": "stars"}, "no column 'stars'"),
        (lambda rows: [(text, "pos") for text, _ in rows], {}, "every label is the same"),
        (lambda rows: [(text, str(i)) for i, (text, _) in enumerate(rows)], {"label": "label"}, "has its own label"),
        (lambda rows: rows, {"labels": ["neg", "pos"]}, r"r\.csv, row \d+: label 'so so' is not one of neg, pos"),
        (lambda rows: [(text, "") for text, _ in rows], {"on_fault": "drop", "label": "label"}, "has no rows"),
        (lambda rows: [*rows, ("text", "label")], {}, r"row 42: the row repeats the header; delete it"),
        (lambda rows: [(" ", " ")] * 20, {"text": "text", "label": "label"}, "has no rows"),
        (lambda rows: rows, {"dev_share": 0.6, "test_share": 0.5}, "leave no rows for train"),
    ],
)
def test_a_faulty_large_file_is_refused(tmp_path, change, options, message):
    rows = change(make_rows(40))
    with pytest.raises(corpora.CorpusError, match=message):
        corpora.load_large(write(tmp_path / "r.csv", rows), tmp_path / "made", **options)


def test_a_header_that_is_a_row_is_noticed(tmp_path):
    """The first thousand rows of a sorted file without a header all have the same label."""
    rows = [(f"good text {i}", "good") for i in range(1200)] + [(f"bad text {i}", "bad") for i in range(1200)]
    path = tmp_path / "r.csv"
    path.write_text("".join(f"{text},{label}\n" for text, label in rows))
    with pytest.raises(corpora.CorpusError, match=r"'good' is also a label, so the first row is probably no header"):
        corpora.load_large(path, tmp_path / "made", label="good")
    found = corpora.load_large(path, tmp_path / "made", columns=["text", "label"])
    assert len(found["train"]) == 2400


def test_class_names_in_a_parquet_file_are_kept(tmp_path):
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    rows = {"text": [f"text {i}" for i in range(30)], "label": [i % 2 for i in range(30)]}
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "r.parquet")
    expected, found = (load(tmp_path / "r.parquet") for load in (corpora.load_table, load_large_to(tmp_path / "made")))
    assert found["train"][:] == expected["train"][:]
    assert found["train"].features["label"].names == ["neg", "pos"]
    rows["label"][20] = -1  # no label
    datasets.Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "r.parquet")
    with pytest.raises(corpora.CorpusError, match=r"r\.parquet, row 21: label is missing"):
        corpora.load_large(tmp_path / "r.parquet", tmp_path / "made")


def test_optional_keys_of_json_lines_are_no_fault(tmp_path):
    lines = [{"text": f"text {i}", "label": "ab"[i % 2], **({"votes": i} if i > 20 else {})} for i in range(30)]
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, lines)))
    options = {"text": "text", "label": "label"}
    found = corpora.load_large(tmp_path / "r.jsonl", tmp_path / "made", **options)
    assert found["train"][:] == corpora.load_table(tmp_path / "r.jsonl", **options)["train"][:]


def test_a_damaged_parquet_file_and_a_folder_that_cannot_be_written(tmp_path):
    path = write(tmp_path / "r.parquet", make_rows(5000))
    content = bytearray(path.read_bytes())
    content[1000:3000] = bytes(2000)
    path.write_bytes(content)
    with pytest.raises(corpora.CorpusError, match=r"r\.parquet cannot be read"):
        corpora.load_large(path, tmp_path / "made")
    (tmp_path / "file").write_text("")
    with pytest.raises(corpora.CorpusError, match="cannot be written"):
        corpora.load_large(write(tmp_path / "r.csv", make_rows(20)), tmp_path / "file")


def load_large_to(folder):
    return lambda path, **options: corpora.load_large(path, folder, **options)


def test_made_splits_have_their_share_and_no_text_twice(tmp_path):
    rows = make_rows(1000)
    rows += rows[:300]  # the same texts again
    data = corpora.load_large(write(tmp_path / "r.csv", rows), tmp_path / "made", dev_share=0.2, test_share=0.1)
    assert list(data) == ["train", "dev", "test"]
    assert sum(map(len, data.values())) == 1300
    assert len(data["dev"]) / 1300 == pytest.approx(0.2, abs=0.05)
    assert len(data["test"]) / 1300 == pytest.approx(0.1, abs=0.04)
    texts = [set(part["text"]) for part in data.values()]
    assert len(set.union(*texts)) == sum(map(len, texts))
    pairs = {(text, label) for part in data.values() for text, label in zip(part["text"], part["label"], strict=True)}
    names = data["train"].features["label"].names
    assert pairs == {(text, names.index(label)) for text, label in rows}
    other = corpora.load_large(tmp_path / "r.csv", tmp_path / "other", dev_share=0.2, test_share=0.1, seed=1)
    assert set(other["dev"]["text"]) != texts[1]
    few = corpora.load_large(tmp_path / "r.csv", tmp_path / "few", dev_share=0.5, made_rows={"dev": 50})
    assert 20 <= len(few["dev"]) <= 90


def test_rows_of_a_group_stay_together(tmp_path):
    rows = [(text, label, f"author {i % 20}") for i, (text, label) in enumerate(make_rows(400))]
    path = write(tmp_path / "r.csv", rows, ("text", "label", "author"))
    data = corpora.load_large(path, tmp_path / "made", text="text", label="label", group="author", dev_share=0.3)
    author = {text: name for text, _, name in rows}
    assert not {author[text] for text in data["train"]["text"]} & {author[text] for text in data["dev"]["text"]}


def test_splits_in_files_stay_as_they_are(tmp_path):
    for name, count in (("train", 40), ("dev", 11), ("test", 12)):
        write(tmp_path / f"{name}.csv", make_rows(count, seed=count))
    data = corpora.load_large(tmp_path, tmp_path / "made", dev_share=0.5)
    expected = corpora.load_table(tmp_path)
    assert {split: part[:] for split, part in data.items()} == {split: part[:] for split, part in expected.items()}


def test_pairs_are_read(tmp_path):
    rows = [(text, f"second {i}", label) for i, (text, label) in enumerate(make_rows(30))]
    path = write(tmp_path / "r.tsv", rows, ("a", "b", "label"))
    found = corpora.load_large(path, tmp_path / "made", text=["a", "b"], label="label")
    assert found["train"][:] == corpora.load_table(path, text=["a", "b"], label="label")["train"][:]


def test_lists_of_labels_are_left_to_the_other_reader(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text("\n".join(json.dumps({"text": f"text {i}", "label": ["a", "b"][: i % 3]}) for i in range(20)))
    with pytest.raises(corpora.SeveralLabels):
        corpora.load_large(path, tmp_path / "made", label="label")


def test_only_large_files_of_texts_are_large(tmp_path, monkeypatch):
    path = write(tmp_path / "train.csv", make_rows(40))
    assert not corpora.is_large(path)
    monkeypatch.setattr(large, "LARGE", 100)
    assert corpora.is_large(path)
    assert corpora.is_large(tmp_path)
    assert corpora.is_large({"train": path})
    for other in ("reviews", tmp_path / "none.csv", {"train": tmp_path / "none.csv"}, None):
        assert not corpora.is_large(other)
    for options in (
        {"dialogue": "scene"},
        {"label": ["a", "b"]},
        {"label_separator": ","},
        {"table": "messages"},
        {"folder": "x"},
    ):
        assert not corpora.is_large(path, options)
    talks = tmp_path / "talks.csv"  # dialogues in MELD's format, unless the options say otherwise
    talks.write_text("Utterance,Emotion,Dialogue_ID\n" + "Well,joy,1\n" * 100)
    assert not corpora.is_large(talks)
    assert corpora.is_large(talks, {"text": "Utterance"})
    (tmp_path / "a.xlsx").write_bytes(b"0" * 1000)
    assert not corpora.is_large(tmp_path / "a.xlsx")
