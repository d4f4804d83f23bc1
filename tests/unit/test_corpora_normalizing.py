"""Normalizing gives texts that look the same one spelling, and changes nothing else."""

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nbhelpers import corpora
from nbhelpers.corpora import normalize

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
def test_normalize_is_idempotent_and_leaves_no_control_characters(text):
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
def test_normalize(text, expected):
    assert normalize(text) == expected


def test_every_rule_is_documented():
    assert all(f"| {rule} " in normalize.__doc__ for rule in corpora.RULES)
