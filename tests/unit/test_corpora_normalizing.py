"""Normalizing gives texts that look the same one spelling, and changes nothing else."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nbhelpers import corpora
from nbhelpers.corpora import normalize

ODD = (
    "".join(map(chr, range(0x100)))
    + "".join(corpora.RULES)
    + "\u2018\u2019\u201c\u200b\u200c\u200d\u2028\ufeff\u0301e\u0928\U0001f468\u0d4d\u093c"
)


@given(st.one_of(st.text(), st.text(alphabet=ODD)))
@example("e\u200b\u0301")
@example("\u0928\u200d\u200b\u0937")
@example("\ud800")
@example("\x85 \x81 \x92")
@example("\u0915\u200d\u3000\u0915")
@example("\u0915\u200d\u1680\u0915")
@example("\u1f71\u200d\u0915")
@example("\u0915\u200d\ufb1d")
@example("\u0915\u0301\u094d\u200d ")
@example("\u0915\u0301\u093c\u200d\u0915")
@example("\u0915\u200d\u06d6\u0334")
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
        ("\u0645\u06cc\u200c", "\u0645\u06cc"),  # at the end of a word it changes nothing in Persian
        ("", ""),
    ],
)
def test_normalize(text, expected):
    assert normalize(text) == expected


@pytest.mark.parametrize(
    "word",
    [
        "\u0d05\u0d35\u0d28\u0d4d\u200d",  # Malayalam "he", whose last letter is a chillu
        "\u0989\u09ce \u09b9\u09a0\u09be\u09a4\u09cd\u200d",  # Bengali, as it was typed before U+09CE existed
        "\u0936\u094d\u200d",  # Hindi, a half letter
        "\u0936\u094d\u200c",  # Hindi, with a visible virama
        "\u0dc3\u0dca\u200d\u0dbb",  # Sinhala, inside a word
    ],
)
@pytest.mark.parametrize("rest", ["", " ", ".", ", a", "!\n"])
def test_joiners_after_a_virama_are_kept_at_the_end_of_a_word(word, rest):
    assert normalize(word + rest) == (word + rest).replace("\n", "").strip()


@pytest.mark.slow
def test_no_rule_takes_a_character_out_of_those_that_can_be_joined():
    """Otherwise normalizing a second time would remove a joiner."""
    joinable = corpora.normalizing.JOINABLE
    for code in range(0x110000):
        char = chr(code)
        if joinable.match(char) and not corpora.normalizing.INVISIBLE.match(char):  # those go before the joiners
            assert joinable.search(normalize(f"{char}x")), hex(code)


def test_every_rule_is_documented():
    assert all(f"| {rule} " in normalize.__doc__ for rule in corpora.RULES)
