"""A tokenizer that normalizes gives each text the tokens of the normalized text, wherever it is loaded."""

import re
import unicodedata
from pathlib import Path

import pytest
from exported_models import CONFIGS
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from test_corpora_normalizing import ODD
from transformers import AutoTokenizer, ByT5Tokenizer

from nbhelpers import corpora, encoders, exported
from nbhelpers.corpora import tokenizing

RAW = "\u201cI don\x92t\u00a0know ...\u201d\r\n cafe\u0301\u200b"
JOINERS = "\u200c\u200d\u0301\u0334e\u0928\U0001f468\u0d4d\u093c \u200b"


@pytest.fixture(scope="module")
def own():
    """The tokenizer of the embedded encoder."""
    return AutoTokenizer.from_pretrained(encoders.embedded_folder())


@settings(max_examples=500)
@given(st.one_of(st.text(), st.text(alphabet=ODD), st.text(alphabet=JOINERS)))
def test_the_rules_of_the_tokenizer_are_those_of_normalize(own, text):
    marks = re.sub(".", lambda match: "m" if unicodedata.combining(match[0]) else " ", text, flags=re.DOTALL)
    assume("m" * (tokenizing.MAX_MARKS + 1) not in marks)
    result = text
    for rule in tokenizing.rules():
        result = rule.normalize_str(result)
    assert result == corpora.normalize(text)


def test_normalized_texts_keep_their_tokens(own):
    texts = corpora.load("dialogues")["dev"]["text"][:]
    assert corpora.normalizing_tokenizer(own)(texts)["input_ids"] == own(texts)["input_ids"]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_saved_tokenizer_normalizes_in_every_program(own, encoder_folders, name, tmp_path):
    tokenizer, model = encoders.load(encoder_folders / name)
    tokenizer.add_special_tokens({"extra_special_tokens": ["[SPK1]"]})
    normalizing = corpora.normalizing_tokenizer(tokenizer)
    model.config.save_pretrained(tmp_path)
    normalizing.save_pretrained(tmp_path)
    expected = tokenizer(f"[SPK1] {corpora.normalize(RAW)}")
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert dict(loaded(f"[SPK1] {RAW}")) == dict(normalizing(f"[SPK1] {RAW}")) == dict(expected)
    assert exported.Tokenizer(Path(tmp_path), 128)(f"[SPK1] {RAW}")["input_ids"] == expected["input_ids"]
    for attribute in ("special_tokens_map", "extra_special_tokens", "model_max_length", "padding_side"):
        assert getattr(loaded, attribute) == getattr(tokenizer, attribute)
    assert corpora.normalizing_tokenizer(loaded) is loaded


def test_a_tokenizer_without_rules_of_its_own_is_refused():
    with pytest.raises(ValueError, match=r"ByT5Tokenizer has no tokenizer\.json"):
        corpora.normalizing_tokenizer(ByT5Tokenizer())


def test_no_combining_mark_is_beyond_those_that_the_rules_look_at():
    assert not any(unicodedata.combining(chr(code)) for code in range(tokenizing.LAST_MARK, 0x110000))
