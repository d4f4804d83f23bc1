"""corpora.py: every fault is refused with one clear sentence; what is loaded is right, ordered and in memory."""

# ruff: noqa: E501 (a refusal is checked with its whole message, on one line)

import codecs
import csv
import hashlib
import json
import multiprocessing
import threading
import time
import unicodedata
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import datasets
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nbhelpers import corpora
from nbhelpers.corpora import (
    EMOTIONS,
    SENTIMENTS,
    CorpusError,
    describe,
    load,
    load_dialogues,
    load_hub,
    load_meld,
    load_table,
    loading_report,
    normalize,
)

GOOD = "text,label\nfine,pos\nbad,neg\n"
HEADER = "Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID\n"
TURNS = HEADER + "Hi!,Ann,joy,positive,0,0\nOh.,Bo,neutral,neutral,0,1\n"


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def fault(function, *arguments, **options):
    with pytest.raises(CorpusError) as caught:
        function(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- normalize --------------------------------------------------------------------------------------------------------

ODD = (
    "".join(map(chr, range(0x100)))
    + "".join(corpora.RULES)
    + "\u2018\u2019\u201c\u200b\u200c\u200d\u2028\ufeff\u0301e\u0928\U0001f468"
)


@settings(deadline=None)
@given(st.one_of(st.text(), st.text(alphabet=ODD)))
@example("e\u200b\u0301")
@example("\u0928\u200d\u200b\u0937")
@example("\ud800")
@example("\x85 \x81 \x92")
@example(" \u2000\u037e")
def test_normalise_is_idempotent_and_leaves_no_control_characters(text):
    once = normalize(text)
    assert normalize(once) == once
    assert once == once.strip(" ")
    assert "  " not in once
    assert not any(unicodedata.category(char) in ("Cc", "Zl", "Zp") for char in once)
    assert unicodedata.is_normalized("NFC", once)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\u2018a\u2019 \u201cb\u201d \u201ec\u201f \u201ad\u201b", "'a' \"b\" \"c\" 'd'"),
        ("don\x92t \x93x\x94 \x85", 'don\'t "x" \u2026'),
        ("a\r\nb\rc\nd\u2028e\x0bf", "a b c d e f"),
        ("a\u00a0b\u3000c\td", "a b c d"),
        ("a\u200bb\ufeffc\u00add\u200ee\u200df", "abcdef"),
        ("  a   b  ", "a b"),
        ("a\x00b\x07c\x7f", "abc"),
        ("cafe\u0301", "caf\u00e9"),
        ("well \u2014 er\u2026 1\u20132", "well \u2014 er\u2026 1\u20132"),  # dashes and ellipsis stay
        ("\U0001f469\u200d\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f469\u200d\U0001f467"),  # family
        ("\u2764\ufe0f\u200d\U0001f525", "\u2764\ufe0f\u200d\U0001f525"),  # burning heart
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        ),  # Persian
        ("\U0001f600\u200d", "\U0001f600"),
        ("", ""),
    ],
)
def test_normalise(text, expected):
    assert normalize(text) == expected


def test_every_rule_is_documented():
    assert all(f"| {rule} " in normalize.__doc__ for rule in corpora.RULES)


# --- tables -----------------------------------------------------------------------------------------------------------

REFUSALS = [  # name of the file, its content, options, the whole message
    ("r.csv", "text,label\na,postive\n", {"labels": ["negative", "neutral", "positive"]},
     "r.csv, row 2: label 'postive' is not one of negative, neutral, positive; correct the row or pass labels=..."),
    ("r.csv", "review,label\na,x\n", {}, "r.csv: no column 'text'; it has review, label; pass text_column= and label_column=, "
     "or columns= without a header"),
    ("r.csv", "", {}, "r.csv is empty; check that it was saved and copied completely"),
    ("r.csv", " \r\n\n", {}, "r.csv is empty; check that it was saved and copied completely"),
    ("r.csv", "\ufeff", {}, "r.csv is empty; check that it was saved and copied completely"),
    ("r.csv", "text,label\n", {}, "r.csv has a header and no rows; check that it was saved and copied completely"),
    ("r.csv", GOOD + "so,\n", {}, "r.csv, row 4: label is missing; fill it in or delete the row"),
    ("r.csv", GOOD + "so,  \n", {}, "r.csv, row 4: label is missing; fill it in or delete the row"),
    ("r.csv", GOOD + ",pos\n", {}, "r.csv, row 4: text is empty after normalising; fill it in or delete the row"),
    ("r.csv", GOOD + "\u200b \u00a0,pos\n", {}, "r.csv, row 4: text is empty after normalising; fill it in or delete the row"),
    ("r.csv", GOOD + "a,b,pos\n", {}, "r.csv, row 4: 3 fields for 2 columns; put quotes around a text that contains the separator"),
    ("r.csv", GOOD + "a\n", {}, "r.csv, row 4: 1 fields for 2 columns; put quotes around a text that contains the separator"),
    ("r.csv", GOOD + '"a,pos\nb,neg\n', {}, "r.csv, row 4: a quoted text is never closed; double each quote inside a quoted text, "
     "or pass quotes=False if quotes are plain characters here"),
    ("r.csv", GOOD + '"a" b,pos\n', {}, "r.csv, row 4: a quoted text goes on after its closing quote; double each quote inside a "
     "quoted text, or pass quotes=False if quotes are plain characters here"),
    ("r.csv", GOOD.replace("bad", "fine").replace("neg", "pos"), {},
     "r.csv: every label is the same; a classifier needs two classes at least; check the column and the file"),
    ("r.csv", "text,label\na,0\nb,1\nc,3\n", {}, "r.csv: label ids 0, 1, 3 do not run from 0 to 2; pass labels=[...]: names for "
     "the ids from 0 on, or these numbers in the order you want"),
    ("r.csv", "text,label,text\na,x,b\n", {}, "r.csv, header: the name 'text' stands 2 times; rename or remove all but one"),
    ("r.csv", GOOD, {"labels": ["pos", "neg", "pos"]}, "labels: the name 'pos' stands 2 times; rename or remove all but one"),
    ("r.csv", GOOD.encode() + b"a\0b,pos\n", {},
     "r.csv, row 4: a NUL byte; no common encoding fits, the file is damaged or no text; export it again as UTF-8"),
    ("r.csv", b'text,label\n"two\nlines",pos\n\n' + b"caf\xe9,neg\n", {}, "r.csv, row 4: byte 0xe9 cannot be read as utf-8; "
     "it can be read as cp1252 or latin-1; pass encoding='cp1252' and look at a few rows"),
    ("r.csv", b"text,label\n\x81\xe9,neg\n", {}, "r.csv, row 2: byte 0x81 cannot be read as utf-8; it can be read as latin-1; "
     "pass encoding='latin-1' and look at a few rows"),
    ("r.csv", GOOD.encode("utf-16"), {}, "r.csv, row 1: byte 0xff cannot be read as utf-8; it can be read as utf-16; "
     "pass encoding='utf-16' and look at a few rows"),
    ("r.csv", GOOD.encode("utf-16-le"), {}, "r.csv, row 1: a NUL byte; it can be read as utf-16-le; pass encoding='utf-16-le' "
     "and look at a few rows"),
    ("r.csv", GOOD + "caf\u00e9,pos", {"encoding": "ascii"}, "r.csv, row 4: byte 0xc3 cannot be read as ascii; it can be read as "
     "utf-8 or cp1252 or latin-1; pass encoding='utf-8' and look at a few rows"),
    ("r.csv", codecs.BOM_UTF8 + GOOD.encode(), {"encoding": "utf8000"}, "r.csv: Python has no encoding 'utf8000'; it can be read as "
     "utf-8-sig or cp1252 or latin-1; pass encoding='utf-8-sig' and look at a few rows"),
    ("r.csv", GOOD + "x" * 2_000_000 + ",pos\n", {}, "r.csv, row 4: text has 2,000,000 characters, more than max_chars=100,000; "
     "look for a broken quote, shorten it or pass max_chars=..."),
    ("r.txt", GOOD, {}, "r.txt: suffix '.txt' is not supported (if tabs separate the columns, rename it to .tsv); "
     "save the table as .csv, .tsv or .jsonl"),
    ("r.xlsx", GOOD, {}, "r.xlsx: suffix '.xlsx' is not supported; save the table as .csv, .tsv or .jsonl"),
    ("r.jsonl", '{"text": "a", "label": 0}\n\n{"text": "b"\n', {}, "r.jsonl, line 3: Expecting ',' delimiter: line 1 column 13 "
     '(char 12); write an object such as {"text": "..."}'),
    ("r.jsonl", '["a", 0]\n', {}, 'r.jsonl, line 1: not an object; write an object such as {"text": "..."}'),
    ("r.jsonl", '{"text": "a", "label": 0}\n{"text": "b\\ud83d", "label": 1}\n', {},
     "r.jsonl, line 2: half of a surrogate pair; write the character itself"),
    ("r.jsonl", '{"text": "a", "text": "b"}\n', {}, "r.jsonl, line 1: the name 'text' stands 2 times; rename or remove all but one"),
    ("r.jsonl", '{"text": "a", "label": 0}\n{"text": 5, "label": 1}\n', {},
     "r.jsonl, line 2: text 5 is not a text; put quotes around it"),
    ("r.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": 0.5}\n', {},
     "r.jsonl, line 2: label 0.5 is neither a name nor a whole number; correct the row"),
    ("r.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"}\n', {}, "r.jsonl, line 2: label is missing; fill it in or delete the row"),
    ("r.jsonl", '{"text": "a", "label": "x"}\n{"label": "y"}\n', {},
     "r.jsonl, line 2: text is empty after normalising; fill it in or delete the row"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "content", "options", "message"), REFUSALS, ids=range(len(REFUSALS)))
def test_table_refusals(tmp_path, name, content, options, message):
    assert fault(load_table, write(tmp_path / name, content), **options) == message


TABLE_LIKE = st.text(alphabet='abé01,"\t\r\n \0\ufeff\u2019{}[]:\\ud').map(
    lambda rest: f"text,label\na,b\nc,d\n{rest}".encode()
)
JSON_LIKE = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=3)


@settings(deadline=None)
@given(
    content=st.one_of(st.binary(), TABLE_LIKE, TABLE_LIKE.map(lambda content: content.decode().encode("utf-16"))),
    suffix=st.sampled_from([".csv", ".tsv", ".jsonl"]),
    encoding=st.sampled_from(["utf-8", "cp1252", "latin-1", "utf-16"]),
    quotes=st.booleans(),
)
def test_any_bytes_are_loaded_or_refused(tmp_path_factory, content, suffix, encoding, quotes):
    path = write(tmp_path_factory.getbasetemp() / f"any{suffix}", content)
    message, texts = "", []
    try:
        texts = load_table(path, encoding=encoding, quotes=quotes)["train"]["text"][:]
    except CorpusError as error:
        message = str(error)
    assert len(message.splitlines()) == (0 if texts else 1)
    assert len(message) < 600
    assert all(text == normalize(text) != "" for text in texts)


@settings(deadline=None)
@given(st.lists(st.fixed_dictionaries({"text": JSON_LIKE | st.text(min_size=1), "label": JSON_LIKE}), min_size=1))
def test_any_json_lines_are_loaded_or_refused(tmp_path_factory, objects):
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
    assert "r.jsonl, line 1: " in fault(load_table, write(tmp_path / "r.jsonl", '{"text": ' + "[" * 100_000))


def test_many_classes_are_not_all_listed(tmp_path):
    rows = "".join(f"t{i},class_{i:02}\n" for i in range(77))
    files = {
        "train": write(tmp_path / "a.csv", "text,label\n" + rows),
        "test": write(tmp_path / "b.csv", "text,label\na,klass_07\n"),
    }
    message = fault(load_table, files)
    assert message.startswith("b.csv, row 2: label 'klass_07' is not one of the 77 classes (similar: class_07")
    assert len(message) < 250


def test_missing_files_suggest_near_matches(tmp_path):
    write(tmp_path / "reviews.csv", GOOD)
    assert fault(load_table, tmp_path / "reviws.csv").endswith("reviws.csv does not exist; did you mean reviews.csv?")
    assert fault(load, str(tmp_path / "zzz.csv")).endswith("zzz.csv does not exist; check the path")
    assert "did you mean reviews.csv?" in fault(load, tmp_path / "reviews")
    assert fault(load, "no/such/folder/x").endswith("x does not exist; check the path")


def test_folder_and_file_confusion(tmp_path):
    folder = tmp_path / "f.csv"
    folder.mkdir()
    file = write(tmp_path / "reviews.csv", GOOD)
    assert "is a folder where a file is needed" in fault(load_table, {"train": folder})
    assert "is a file where a folder is needed" in fault(load_dialogues, file)
    assert "has no train.csv, train.tsv, train.jsonl or train_sent_emo.csv" in fault(load_table, folder)
    assert "does not exist" in fault(load_dialogues, tmp_path / "none")


def test_two_files_for_one_split(tmp_path):
    for name in ("train.csv", "dev.csv", "validation.csv"):
        write(tmp_path / name, GOOD)
    assert "has dev.csv and validation.csv for one split; keep one of them" in fault(load, tmp_path)


def test_a_train_split_is_needed(tmp_path):
    assert "no split 'train' among test" in fault(load_table, {"test": write(tmp_path / "a.csv", GOOD)})


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
def test_formats(tmp_path, name, content, options):
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
        ([str(i) for i in range(12)], None, [str(i) for i in range(12)], list(range(12))),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_labels(tmp_path, values, labels, names, ids, suffix):
    if suffix == ".csv":
        content = "text,label\n" + "".join(f"t,{value}\n" for value in values)
    else:
        content = "\n".join(json.dumps({"text": "t", "label": int(v) if v.isdigit() else v}) for v in values)
    train = load_table(write(tmp_path / f"a{suffix}", content), labels=labels)["train"]
    assert train.features["label"].names == names
    assert train["label"][:] == ids


def test_row_numbers_count_records_and_blank_rows(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\r\n"one\r\ntwo\r\nthree",pos\r\n\r\nfine,neg\r\n,pos\r\n')
    assert fault(load_table, path).startswith("a.csv, row 5: text is empty")
    assert fault(load_table, write(tmp_path / "b.csv", "a,x\n,y\n"), columns=["text", "label"]).startswith(
        "b.csv, row 2:"
    )


def test_long_texts_are_read_and_the_limit_of_csv_is_left_alone(tmp_path):
    path, before = write(tmp_path / "a.csv", GOOD + "x" * 2_000_000 + ",pos\n"), csv.field_size_limit()
    assert len(load_table(path, max_chars=3_000_000)["train"][2]["text"]) == 2_000_000
    fault(load_table, write(tmp_path / "b.csv", GOOD + '"'))
    assert csv.field_size_limit() == before


def test_quotes_as_plain_characters(tmp_path):
    path = write(tmp_path / "a.tsv", '"so" he said\tpos\nbad "\tneg\n')
    assert "pass quotes=False" in fault(load_table, path, columns=["text", "label"])
    data = load_table(path, columns=["text", "label"], quotes=False)
    assert data["train"]["text"][:] == ['"so" he said', 'bad "']


def test_folders_and_dicts(tmp_path):
    write(tmp_path / "train.csv", GOOD)
    write(tmp_path / "validation.tsv", GOOD.replace(",", "\t"))
    write(tmp_path / "test.jsonl", '{"text": "x", "label": "pos"}')
    assert {split: len(part) for split, part in load(str(tmp_path)).items()} == {"train": 2, "dev": 2, "test": 1}
    data = load_table({"train": tmp_path / "train.csv", "val": str(tmp_path / "validation.tsv")})
    assert list(data) == ["train", "dev"]
    write(tmp_path / "test.jsonl", '{"text": "x", "label": "postive"}')
    message = "test.jsonl, line 1: label 'postive' is not one of neg, pos; correct the row or pass labels=..."
    assert fault(load, tmp_path) == message


# --- dialogues --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,Ann,joy,positive,0,0", "row 4: dialogue 0, utterance 0 stands in row 2 already; renumber or delete one of them"),
        ("a,Ann,happy,positive,1,0", f"row 4: Emotion 'happy' is not one of {', '.join(EMOTIONS)}; correct the row"),
        ("a,Ann,Joy,positive,1,0", f"row 4: Emotion 'Joy' is not one of {', '.join(EMOTIONS)}; correct the row"),
        ("a,Ann,joy,good,1,0", "row 4: Sentiment 'good' is not one of negative, neutral, positive; correct the row"),
        ("a,Ann,joy,,1,0", "row 4: Sentiment is missing; fill it in or delete the row"),
        ("a,Ann,joy,positive,1.5,0", "row 4: Dialogue_ID '1.5' is not a whole number such as 0 or 12; correct the row"),
        ("a,Ann,joy,positive,1,", "row 4: Utterance_ID '' is not a whole number such as 0 or 12; correct the row"),
        ("a,Ann,joy,positive,-1,0", "row 4: Dialogue_ID '-1' is not a whole number such as 0 or 12; correct the row"),
        ("a,Ann,joy,positive,1," + "9" * 19, f"row 4: Utterance_ID '{'9' * 19}' is not a whole number such as 0 or 12; correct the row"),
        ("a, ,joy,positive,1,0", "row 4: Speaker is empty after normalising; fill it in or delete the row"),
        (",Ann,joy,positive,1,0", "row 4: Utterance is empty after normalising; fill it in or delete the row"),
    ],
)  # fmt: skip
def test_dialogue_refusals(tmp_path, row, message):
    write(tmp_path / "train.csv", TURNS + row + "\n")
    assert fault(load_dialogues, tmp_path) == f"train.csv, {message}"


@pytest.mark.parametrize("column", corpora.DIALOGUE_COLUMNS)
def test_dialogue_columns_are_required(tmp_path, column):
    write(tmp_path / "train.csv", TURNS.replace(column, "Other", 1))
    assert fault(load_dialogues, tmp_path).startswith(f"train.csv: no column '{column}'; it has ")


def test_one_emotion_only(tmp_path):
    write(tmp_path / "train.csv", TURNS.replace("joy", "neutral"))
    assert "every Emotion is the same" in fault(load_dialogues, tmp_path)


def test_shuffled_rows_come_out_in_order_and_gaps_are_kept(tmp_path):
    turns = [(10, 0), (2, 7), (2, 0), (2, 10), (0, 3), (10, 1)]
    rows = "".join(f'"t{d}\u2019{u}",Ann,{EMOTIONS[u % 7]},neutral,{d},{u},x\n' for d, u in turns)
    write(tmp_path / "train.csv", HEADER.replace("\n", ",Extra\n") + rows)
    write(tmp_path / "test.csv", TURNS)
    train = load(tmp_path)["train"]
    assert list(zip(train["dialogue_id"], train["utterance_id"], strict=True)) == sorted(turns)
    assert train["text"][:] == [f"t{d}'{u}" for d, u in sorted(turns)]
    assert train["emotion"][:] == [u % 7 for _, u in sorted(turns)]
    assert train.features == Features(
        {
            "text": Value("string"),
            "speaker": Value("string"),
            "emotion": ClassLabel(names=list(EMOTIONS)),
            "sentiment": ClassLabel(names=list(SENTIMENTS)),
            "dialogue_id": Value("int64"),
            "utterance_id": Value("int64"),
        }
    )


def test_order_of_the_labels_is_melds():
    assert EMOTIONS == ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
    assert SENTIMENTS == ("negative", "neutral", "positive")


def test_season_and_episode(tmp_path):
    rows = TURNS.splitlines()
    write(tmp_path / "train.csv", "\n".join([rows[0] + ",Season,Episode", rows[1] + ",8,21", rows[2] + ",8,21"]))
    assert load_dialogues(tmp_path)["train"][1] == {
        "text": "Oh.",
        "speaker": "Bo",
        "emotion": 0,
        "sentiment": 1,
        "dialogue_id": 0,
        "utterance_id": 1,
        "season": 8,
        "episode": 21,
    }


def test_the_corpora_that_come_with_the_course(tmp_path, monkeypatch):
    assert load("dialogues")["test"].features["emotion"].names == list(corpora.EMOTIONS)
    assert load("reviews")["test"].features["label"].names == ["negative", "neutral", "positive"]
    assert fault(load, "reviews", text_column="x") == "'reviews' has fixed columns and labels; leave out text_column"
    monkeypatch.setattr(corpora, "DATA", tmp_path / "gone")
    for name in corpora.OWN:
        assert "this file was copied without the course; pass the path of your own data" in fault(load, name)


# --- what is reported -------------------------------------------------------------------------------------------------


def test_report_counts_every_rule_and_survives(tmp_path):
    odd = {
        "cp1252 characters": "a\x85",
        "curly quotes": "it\u2019s",
        "line breaks": '"a\nb"',
        "control characters": "a\x07",
        "invisible characters": "a\u200bb",
        "special spaces": "a\u00a0b",
        "surplus spaces": "a  b",
        "Unicode NFC": "e\u0301",
    }
    content = GOOD + "".join(f"{text},pos\n" for text in odd.values()) + "a longer it\u2019s,neg\n"
    train = load_table(write(tmp_path / "a.csv", content))["train"]
    report = loading_report(train)
    assert {rule: found["texts"] for rule, found in report["normalized"].items()} == dict.fromkeys(odd, 1) | {
        "curly quotes": 2
    }
    assert report["normalized"]["curly quotes"] == {"texts": 2, "before": "it\u2019s", "after": "it's"}
    assert list(odd) == list(corpora.RULES)
    assert loading_report(train.select([0]).map(lambda row: row)) == report
    train.save_to_disk(tmp_path / "saved")
    assert loading_report(datasets.load_from_disk(tmp_path / "saved")) == report
    assert loading_report(Dataset.from_dict({"text": ["a"]})) == {}


def test_describe(tmp_path):
    rows = TURNS + "Oh.,Ann,neutral,neutral,1,0\nIt\u2019s,Cy,anger,negative,1,5\n"
    write(tmp_path / "train_sent_emo.csv", rows)
    write(tmp_path / "test.csv", TURNS)
    table = describe(load_dialogues(tmp_path))
    assert list(table.columns) == ["train", "test"]
    facts = table["train"].to_dict()
    assert (facts["rows"], facts["dialogues"], facts["speakers"], facts["repeated texts"]) == (4, 2, 3, 1)
    assert [facts[f"emotion: {name}"] for name in EMOTIONS] == [2, 0, 0, 0, 1, 0, 1]
    assert facts["notes"] == "differs from the official file"
    assert table.loc["normalized: curly quotes"].tolist() == [1, 0]
    assert "normalized: line breaks" not in table.index
    assert table.loc["also in train"].tolist() == ["-", 2]
    assert table["test"]["notes"] == "-"


def test_describe_sums_up_many_classes_and_takes_any_data():
    features = Features({"text": Value("string"), "label": ClassLabel(num_classes=77)})
    data = DatasetDict(some=Dataset.from_dict({"text": ["a", "", "b"], "label": [3, 3, 4]}, features=features))
    facts = describe(data)["some"].to_dict()
    assert (facts["label: classes"], facts["label: largest"], facts["empty texts"]) == (77, "3 (2)", 1)
    assert len(facts) < 12


# --- the Hub ----------------------------------------------------------------------------------------------------------


def test_hub_formats(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "hub"
    folder.mkdir()
    features = Features({"sentence": Value("string"), "stars": ClassLabel(names=["neg", "pos"])})
    for split, labels in (("train", [1, 0]), ("validation", [1, 1]), ("test", [-1, -1])):
        part = Dataset.from_dict({"sentence": ["it\u2019s", "b"], "stars": labels}, features=features)
        part.to_parquet(folder / f"{split}-00000-of-00001.parquet")
    data = load_hub(str(folder), text_column="sentence", label_column="stars")
    assert list(data) == ["train", "dev"]
    assert data["train"][:] == {"text": ["it's", "b"], "label": [1, 0]}
    assert data["train"].features["label"].names == ["neg", "pos"]
    assert loading_report(data["train"])["notes"] == ["split test left out: no labels"]
    assert "no column 'text'; it has sentence, stars; pass text_column=" in fault(load_hub, str(folder))


def hub(parts):
    return lambda *_, **__: DatasetDict({split: Dataset.from_dict(columns) for split, columns in parts.items()})


def test_hub_with_names_as_labels_and_with_faults(monkeypatch):
    monkeypatch.setattr(corpora, "load_dataset", hub({"train": {"text": ["a", "b"], "label": ["y", "x"]}}))
    assert load("some/thing")["train"]["label"][:] == [1, 0]
    assert load("some/thing", labels=["y", "x"])["train"]["label"][:] == [0, 1]
    monkeypatch.setattr(corpora, "load_dataset", hub({"train": {"text": ["a", None], "label": [0, 1]}}))
    assert (
        fault(load, "some/thing")
        == "some/thing[train], row 1: text is empty after normalising; fill it in or delete the row"
    )
    monkeypatch.setattr(corpora, "load_dataset", hub({"test": {"text": ["a", "b"], "label": [0, 1]}}))
    assert "no split 'train' among test" in fault(load, "some/thing")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("Dataset scripts are no longer supported, but found x.py"), "needs a loading script, which `datasets` no"),
        (ConnectionError("Couldn't reach 'x' on the Hub (LocalEntryNotFoundError)"), "the Hub cannot be reached; go online, set HF_END"),
        (datasets.exceptions.DatasetNotFoundError("Dataset 'x' doesn't exist"), "found neither here nor on the Hub; check the spelling"),
        (ValueError("Config name is missing.\nPlease pick one among: ['a', 'b']"), "Please pick one among: ['a', 'b']; check config= and"),
    ],
)  # fmt: skip
def test_hub_failures(monkeypatch, error, message):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr(corpora, "load_dataset", fail)
    text = fault(load, "some/thing")
    assert text.startswith("some/thing: ")
    assert message in text
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if isinstance(error, ConnectionError):
        assert "HF_HUB_OFFLINE is set" in fault(load, "some/thing")


def test_hub_script_for_real(tmp_path):
    assert "needs a loading script" in fault(load_hub, str(write(tmp_path / "old.py", "raise SystemExit")))


# --- downloading ------------------------------------------------------------------------------------------------------

FILES = {name: (TURNS + f"{name},Cy,anger,negative,1,0\n").encode() for name in corpora.MELD_SHA256}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        _, behaviour, name = self.path.split("/")
        body = FILES[name]
        if behaviour == "missing":
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if behaviour == "silent":
            time.sleep(1.5)
        if behaviour == "drip":
            for byte in body[:20]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.1)
            return None
        return self.wfile.write({"wrong": body[::-1], "short": body[:50]}.get(behaviour, body))

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):  # the client hung up, as it should
        pass


@pytest.fixture
def sources(monkeypatch, tmp_path):
    """Set the two sources to behaviours of a local server; returns the cache folder."""
    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("NBHELPERS_DATA", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NBHELPERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        corpora, "MELD_SHA256", {name: hashlib.sha256(body).hexdigest() for name, body in FILES.items()}
    )
    monkeypatch.setattr(corpora, "PAUSE_LIMIT", 0.5)
    monkeypatch.setattr(corpora, "FILE_LIMIT", 1.0)

    def choose(*behaviours):
        templates = tuple(f"http://127.0.0.1:{server.server_port}/{behaviour}/{{file}}" for behaviour in behaviours)
        monkeypatch.setattr(corpora, "MELD_SOURCES", templates)
        return tmp_path / "cache" / "meld"

    yield choose
    server.shutdown()
    server.server_close()


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("first", ["good", "missing", "wrong", "short"])
def test_download(sources, first):
    cache = sources(first, "good")
    data = load("meld")
    assert {split: len(part) for split, part in data.items()} == {"train": 3, "dev": 3, "test": 3}
    assert contents(cache) == FILES
    assert loading_report(data["dev"])["notes"] == ["official file"]
    sources("missing", "missing")  # the second time nothing is fetched
    assert len(load_meld()["train"]) == 3


@pytest.mark.parametrize("first", ["silent", "drip"])
def test_slow_source_is_given_up(sources, first):
    cache, start = sources(first, "good"), time.monotonic()
    corpora._fetch("dev_sent_emo.csv", cache)
    assert contents(cache) == {"dev_sent_emo.csv": FILES["dev_sent_emo.csv"]}
    assert time.monotonic() - start < 3


def test_both_sources_down(sources):
    cache = sources("missing", "short")
    message = fault(load, "meld")
    assert message.startswith("train_sent_emo.csv cannot be downloaded: http://127.0.0.1:")
    assert "/missing/train_sent_emo.csv (HTTP Error 404: Not Found); " in message
    assert (
        "/short/train_sent_emo.csv (50 bytes, not the published file); put train_sent_emo.csv, dev_sent_emo.csv, "
        in message
    )
    assert "call load_meld(folder), or name that folder meld and set NBHELPERS_DATA" in message
    assert not cache.exists()


def test_no_connection_at_all(sources, monkeypatch):
    sources("good")
    monkeypatch.setattr(corpora, "MELD_SOURCES", ("http://127.0.0.1:9/{file}", "http://no.such.host.invalid/{file}"))
    message = fault(load_meld)
    assert "http://127.0.0.1:9/train_sent_emo.csv (" in message
    assert "no.such.host.invalid" in message


def test_a_damaged_cache_is_fetched_again(sources):
    cache = sources("good", "missing")
    cache.mkdir(parents=True)
    write(cache / "train_sent_emo.csv", FILES["train_sent_emo.csv"][:30])
    load_meld()
    assert contents(cache) == FILES
    write(cache / "train_sent_emo.csv", TURNS)
    sources("missing", "missing")
    assert "cannot be downloaded" in fault(load_meld)


def test_a_cache_that_cannot_be_written(sources, tmp_path, monkeypatch):
    sources("good")
    monkeypatch.setenv("NBHELPERS_CACHE", str(write(tmp_path / "file", "")))
    assert "set NBHELPERS_CACHE to a folder of yours" in fault(load_meld)


def test_two_processes_at_once_are_harmless(sources):
    cache = sources("good", "good")
    workers = [multiprocessing.get_context("fork").Process(target=load_meld) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert contents(cache) == FILES


def test_order_of_places(sources, tmp_path, monkeypatch):
    cache = sources("missing", "missing")
    own, data = tmp_path / "own", tmp_path / "data"
    for folder in (own, data / "meld"):
        folder.mkdir(parents=True)
        write(folder / "train_sent_emo.csv", TURNS + f"{folder.name},Cy,anger,negative,1,0\n")
    monkeypatch.setenv("NBHELPERS_DATA", str(data))
    assert load("meld")["train"]["text"][2] == "meld"
    train = load_meld(own)["train"]
    assert train["text"][2] == "own"
    assert loading_report(train)["notes"] == ["differs from the official file"]
    monkeypatch.setenv("NBHELPERS_DATA", str(own))
    assert "NBHELPERS_DATA is set, but there is no folder" in fault(load_meld)
    assert not cache.exists()


def test_published_sources_are_pinned():
    assert all("2d2011b409d3ca2d7e94460cd007d434b1d0a102" in source for source in corpora.MELD_SOURCES)
    assert [source.split("/")[2] for source in corpora.MELD_SOURCES] == [
        "raw.githubusercontent.com",
        "cdn.jsdelivr.net",
    ]
    assert {len(digest) for digest in corpora.MELD_SHA256.values()} == {64}
