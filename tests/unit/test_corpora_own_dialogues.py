"""Dialogues with columns and classes of their own."""

import json

import pytest
from corpus_files import TURNS, error_message, write

from nbhelpers.corpora import describe, load, load_dialogues

TALKS = (
    "scene,who,line,mood\n"
    "bus,Ann,Hi there!,good\nbus,Bo,Who is it?,bad\nshop,\"['Cy Lee']\",How much is it?,good\nbus,Ann,It is me.,good\n"
)


def test_columns_by_name_turns_in_the_order_of_the_file(tmp_path):
    path = write(tmp_path / "talks.csv", TALKS)
    data = load(path, dialogue="scene", speaker="who", text="line", label="mood")
    part = data["train"]
    assert part.features["label"].names == ["bad", "good"]
    assert part["dialogue_id"][:] == [0, 0, 0, 1]
    assert part["utterance_id"][:] == [0, 1, 2, 0]
    assert part["text"][2] == "It is me."
    assert part["speaker"][:] == ["Ann", "Bo", "Ann", "Cy Lee"]
    assert describe(data).loc[["dialogues", "speakers", "label: good"], "train"].tolist() == [2, 3, 3]
    guessed = load(path, dialogue="scene")
    assert guessed["train"][:] == part[:]
    assert "read with text='line', label='mood', speaker='who'" in describe(guessed).loc["notes", "train"]


def test_a_turn_column_gives_the_order(tmp_path):
    rows = "conversation_id,turn,text,label\n7,2,so long,a\n7,1,hello you,b\n9,1,hm hm,a\n9,2,no no,b\n"
    path = write(tmp_path / "r.csv", rows)
    data = load_dialogues(path)
    assert data["train"]["text"][:] == ["hello you", "so long", "hm hm", "no no"]
    assert data["train"]["dialogue_id"][:] == [7, 7, 9, 9]
    assert "speaker" not in data["train"].features
    write(path, rows + "9,2,again,a\n")
    assert error_message(load_dialogues, path) == (
        "r.csv, row 6: dialogue 9, utterance 2 is also in row 5; renumber or delete one of them"
    )


def test_a_list_of_turns_for_each_dialogue(tmp_path):
    first = [{"speaker": "Ann", "text": "Hi there", "label": "a"}, {"speaker": "Bo", "text": "Oh no", "label": "b"}]
    second = [{"speaker": "Cy", "text": "So so", "label": "b"}]
    for content in (
        [{"id": "x", "turns": first}, {"id": "y", "turns": second}],
        {"train": [{"turns": first}, {"turns": second}], "test": [{"turns": first}]},
        [first, second],
    ):
        data = load_dialogues(write(tmp_path / "r.json", json.dumps(content)))
        assert data["train"]["text"][:] == ["Hi there", "Oh no", "So so"]
        assert data["train"]["dialogue_id"][1:] == [data["train"]["dialogue_id"][0], data["train"]["dialogue_id"][2]]
        assert data["train"]["utterance_id"][:] == [0, 1, 0]
        assert data["train"]["speaker"][:] == ["Ann", "Bo", "Cy"]


def test_a_list_for_each_column(tmp_path):
    lines = [
        {"dialog": ["Hi you", "Oh no"], "act": [1, 2], "emotion": [0, 4]},
        {"dialog": ["Bye now"], "act": [1], "emotion": [0]},
    ]
    path = write(tmp_path / "r.jsonl", "\n".join(map(json.dumps, lines)))
    data = load_dialogues(path, text="dialog", label="emotion", labels=["none", "anger", "disgust", "fear", "joy"])
    assert data["train"]["label"][:] == [0, 4, 0]
    assert data["train"].features["label"].names[4] == "joy"
    lines[1]["act"] = []
    write(path, "\n".join(map(json.dumps, lines)))
    message = error_message(load_dialogues, path, text="dialog", label="emotion")
    assert message.startswith("r.jsonl, line 2: the lists differ in length (dialog has 1, act has 0, emotion has 1)")


def test_splits_are_made_of_whole_dialogues(tmp_path):
    rows = [f"{i // 5},text {i},{'ab'[i % 2]}" for i in range(200)]
    path = write(tmp_path / "r.csv", "dialogue,text,label\n" + "\n".join(rows) + "\n")
    data = load_dialogues(path, dev_share=0.2, test_share=0.2)
    ids = [set(part["dialogue_id"]) for part in data.values()]
    assert [len(x) for x in ids] == [24, 8, 8]
    assert not ids[0] & ids[1] | ids[0] & ids[2] | ids[1] & ids[2]


def test_faulty_turns_can_be_dropped(tmp_path):
    rows = [f"{i // 5},text {i},{'ab'[i % 2]}" for i in range(100)]
    rows[7] = "1,,a"
    path = write(tmp_path / "r.csv", "dialogue,text,label\n" + "\n".join(rows) + "\n")
    assert error_message(load_dialogues, path).startswith("r.csv, row 9: text is empty")
    data = load_dialogues(path, on_fault="drop")
    assert len(data["train"]) == 99
    assert describe(data).loc["dropped: text empty", "train"] == 1


def test_a_single_file_in_melds_format_is_read_as_dialogues(tmp_path):
    data = load(write(tmp_path / "mine.csv", TURNS))
    assert data["train"].features["emotion"].names[1] == "surprise"
    assert data["train"]["speaker"][:] == ["Ann", "Bo"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "text,label\na b,x\nc d,y\n",
            "no column tells the dialogues apart; the columns are text, label; pass dialogue=",
        ),
        ("dialogue,text\n1,a b\n", "no column 'label', and no other column looks like it"),
    ],
)
def test_dialogues_that_cannot_be_read(tmp_path, content, message):
    assert message in error_message(load_dialogues, write(tmp_path / "r.csv", content))
