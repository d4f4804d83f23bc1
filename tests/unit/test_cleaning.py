"""cleaning.py: each step does what it says, and the cost of dropping what carries the label is visible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbhelpers.cleaning import VARIANTS, clean_text, cost


@pytest.mark.parametrize(
    ("text", "steps", "expected"),
    [
        ("Don't STOP, it's 7:30!", {}, "dont stop its"),
        ("Don't STOP, it's 7:30!", {"lower": False}, "Dont STOP its"),
        ("Don't STOP, it's 7:30!", {"punctuation": False}, "don't stop, it's :!"),
        ("Don't STOP, it's 7:30!", {"digits": False}, "dont stop its 7 30"),
        ("well-known", {}, "well known"),
        ("?!...", {}, ""),
        ("", {}, ""),
        ("I \u2764\ufe0f it \U0001f600", {}, "i it"),
        ("\u5f88\u597d\uff0c\u5403\uff01", {}, "\u5f88\u597d \u5403"),
        ("\u0928\u092e\u0938\u094d\u0924\u0947!", {}, "\u0928\u092e\u0938\u094d\u0924\u0947"),
    ],
)
def test_cleaning_steps(text, steps, expected):
    assert clean_text(text, **steps) == expected


def test_without_steps_the_text_is_unchanged():
    assert clean_text("A  b, 7 ", lower=False, punctuation=False, digits=False) == "A  b, 7 "


@given(st.text())
def test_dropped_characters_do_not_remain(text):
    cleaned = clean_text(text)
    assert not any(char.isdecimal() or char in "!?.,'\u2019$" for char in cleaned)
    assert clean_text(cleaned) == cleaned or cleaned.lower() != cleaned  # some letters lower in two steps


def corpus():
    words = ["yes", "no", "well", "stop", "there", "what"]
    texts = [f"{word}{mark}" for word in words for mark in ("!", "?")] * 3
    return texts, [int(text.endswith("?")) for text in texts]


def test_cost_shows_the_step_that_removes_the_signal():
    texts, labels = corpus()
    table = cost(texts, labels, texts, labels)
    assert list(table.index) == list(VARIANTS)
    assert list(table.columns) == [
        "weighted_f1",
        "macro_f1",
        "weighted_change",
        "macro_change",
        "features",
        "emptied",
    ]
    assert table.loc["as it is", "weighted_f1"] == 1.0
    assert table.loc["as it is", "weighted_change"] == 0.0
    assert table.loc["no punctuation", "macro_f1"] < 0.7
    assert table.loc["no punctuation", "weighted_change"] == pytest.approx(
        100 * (table.loc["no punctuation", "weighted_f1"] - 1)
    )
    assert table.loc["lower-cased", "macro_f1"] == 1.0


def test_cost_keeps_case_and_punctuation_as_features():
    table = cost(["A b!", "a c?"], [0, 1], ["...", "a"], [0, 1])
    assert table.loc["as it is", "features"] > table.loc["lower-cased", "features"] > table.loc["all three", "features"]
    assert table["emptied"].tolist() == [0, 0, 1, 0, 1]


def test_cost_is_deterministic():
    texts, labels = corpus()
    assert cost(texts, labels, texts, labels).equals(cost(texts, labels, texts, labels))


def test_cost_needs_one_label_per_text():
    with pytest.raises(ValueError, match=r"test: 2 texts and 1 labels; pass one label"):
        cost(["a", "b"], [0, 1], ["a", "b"], [0])
