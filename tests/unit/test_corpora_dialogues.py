"""Dialogues, the corpora of the course, and what `describe` and `loading_report` say about them."""

# ruff: noqa: E501 (an error message is checked as a whole, on one line)

import datasets
import pytest
from corpus_files import GOOD, HEADER, TURNS, error_message, write
from datasets import ClassLabel, Dataset, DatasetDict, DatasetInfo, Features, Value

from nbhelpers import corpora
from nbhelpers.corpora import EMOTIONS, SENTIMENTS, describe, load, load_dialogues, load_table, loading_report


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,Ann,joy,positive,0,0", "row 4: dialogue 0, utterance 0 is also in row 2; renumber or delete one of them"),
        ("a,Ann,happy,positive,1,0", f"row 4: Emotion 'happy' is not one of {', '.join(EMOTIONS)}; correct the row or pass labels=..."),
        ("a,Ann,Joy,positive,1,0", f"row 4: Emotion 'Joy' is not one of {', '.join(EMOTIONS)}; correct the row or pass labels=..."),
        ("a,Ann,joy,good,1,0", "row 4: Sentiment 'good' is not one of negative, neutral, positive; correct the row or pass labels=..."),
        ("a,Ann,joy,,1,0", "row 4: Sentiment is missing; fill it in or delete the row"),
        ("a,Ann,joy,positive,1.5,0", "row 4: Dialogue_ID '1.5' is not a whole number such as 0 or 12; correct the row"),
        ("a,Ann,joy,positive,1,", "row 4: Utterance_ID '' is not a whole number such as 0 or 12; correct the row"),
        ("a,Ann,joy,positive,-1,0", "row 4: Dialogue_ID '-1' is not a whole number such as 0 or 12; correct the row"),
        ("a,Ann,joy,positive,1," + "9" * 19, f"row 4: Utterance_ID '{'9' * 19}' is not a whole number such as 0 or 12; correct the row"),
        ("a, ,joy,positive,1,0", "row 4: Speaker is empty after normalizing; fill it in or delete the row"),
        (",Ann,joy,positive,1,0", "row 4: Utterance is empty after normalizing; fill it in or delete the row"),
    ],
)  # fmt: skip
def test_error_messages_of_dialogues(tmp_path, row, message):
    write(tmp_path / "train.csv", TURNS + row + "\n")
    assert error_message(load_dialogues, tmp_path) == f"train.csv, {message}"


@pytest.mark.parametrize("column", ["Utterance", "Speaker", "Emotion", "Utterance_ID"])
def test_dialogue_columns_are_required(tmp_path, column):
    write(tmp_path / "train.csv", TURNS.replace(column, "Other", 1))
    assert error_message(load_dialogues, tmp_path).startswith(f"train.csv: no column '{column}'; the columns are ")


def test_dialogues_without_sentiments(tmp_path):
    write(tmp_path / "train.csv", TURNS.replace("Sentiment", "Other", 1))
    assert load(tmp_path)["train"].column_names == ["text", "speaker", "emotion", "dialogue_id", "utterance_id"]


def test_dialogues_with_a_single_emotion_are_refused(tmp_path):
    write(tmp_path / "train.csv", TURNS.replace("joy", "neutral"))
    assert "every Emotion is the same" in error_message(load_dialogues, tmp_path)


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


def test_labels_have_the_order_of_meld():
    assert EMOTIONS == ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
    assert SENTIMENTS == ("negative", "neutral", "positive")


def test_season_and_episode_are_loaded(tmp_path):
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


def test_corpora_of_the_course_are_loaded_by_name(tmp_path, monkeypatch):
    assert load("dialogues")["test"].features["emotion"].names == list(corpora.EMOTIONS)
    assert load("reviews")["test"].features["label"].names == ["negative", "neutral", "positive"]
    assert error_message(load, "reviews", text="x") == "'reviews' has fixed columns and labels; leave out text"
    monkeypatch.setattr(corpora.loading, "DATA", tmp_path / "gone")
    for name in corpora.OWN:
        assert "this code was copied without the data of the course; pass the path of your own data" in error_message(
            load, name
        )


# --- what is reported -------------------------------------------------------------------------------------------------


def test_loading_report_counts_each_rule_and_is_kept_by_map_and_save(tmp_path):
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


OTHER_DESCRIPTIONS = [
    "2024",
    "null",
    '"reviews"',
    "[1, 2]",
    '[["a", 1]]',
    '{"notes": 5}',
    "[" * 100_000,
    "A corpus.",
    "",
]


@pytest.mark.parametrize("description", OTHER_DESCRIPTIONS, ids=range(len(OTHER_DESCRIPTIONS)))
def test_a_description_that_is_not_of_this_unit_is_no_report(description):
    info = DatasetInfo(description=description)
    dataset = Dataset.from_dict({"text": ["a", "b"]}, info=info)
    assert loading_report(dataset) == {}
    assert describe(DatasetDict(train=dataset)).loc[["file", "notes"], "train"].tolist() == ["-", "-"]


def test_describe_says_what_it_needs():
    dataset = Dataset.from_dict({"review": ["a"]})
    assert error_message(describe, dataset) == (
        "describe needs a DatasetDict, not an object of type Dataset; pass what `load` returns, or "
        "DatasetDict(train=...) for one split"
    )
    assert error_message(describe, DatasetDict(test=dataset)) == (
        "the split test has no column 'text'; its columns are review; rename the column with the texts"
    )


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


def test_describe_summarizes_many_classes():
    features = Features({"text": Value("string"), "label": ClassLabel(num_classes=77)})
    data = DatasetDict(some=Dataset.from_dict({"text": ["a", "", "b"], "label": [3, 3, 4]}, features=features))
    facts = describe(data)["some"].to_dict()
    assert (facts["label: classes"], facts["label: largest"], facts["empty texts"]) == (77, "3 (2)", 1)
    assert len(facts) < 12


def test_data_folder_in_a_wheel_and_in_a_checkout(tmp_path):
    package = tmp_path / "checkout" / "package"
    assert corpora.loading.data_folder(package) == tmp_path / "checkout" / "data"
    (package / "data").mkdir(parents=True)
    assert corpora.loading.data_folder(package) == package / "data"
