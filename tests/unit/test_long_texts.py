"""Long texts: which part is kept, windows that cover a text, and how their logits are joined."""

import doctest
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbhelpers import long_texts
from nbhelpers.long_texts import describe_lengths, keep_part, make_windows, pool_windows


def text_of(length):
    """A text of so many tokens, specials included: <s> is 0, </s> is 2, and the others count from 11."""
    return [0, *range(11, 9 + length), 2]


def test_the_examples_in_the_docstrings_are_right():
    outcome = doctest.testmod(long_texts)
    assert outcome.attempted >= 5
    assert not outcome.failed


def test_the_head_is_what_a_tokenizer_keeps():
    text = text_of(20)
    assert keep_part(text, 10) == [*text[:9], 2]
    assert keep_part(text, 10, "tail") == [0, *text[-9:]]


@pytest.mark.parametrize("part", long_texts.PARTS)
def test_a_short_text_stays_as_it_is(part):
    assert keep_part(text_of(10), 10, part) == text_of(10)


@given(st.integers(3, 60), st.integers(3, 60), st.sampled_from(long_texts.PARTS), st.floats(0, 1))
def test_a_part_fits_and_keeps_the_order(length, max_length, part, head_share):
    kept = keep_part(text_of(length), max_length, part, head_share)
    assert len(kept) == min(length, max_length)
    assert (kept[0], kept[-1]) == (0, 2)
    assert kept[1:-1] == sorted(set(kept[1:-1]))


@pytest.mark.parametrize(("share", "kept"), [(0, "tail"), (1, "head")])
def test_the_share_of_the_head_can_be_all_or_nothing(share, kept):
    assert keep_part(text_of(30), 12, "head and tail", share) == keep_part(text_of(30), 12, kept)


@given(st.lists(st.integers(2, 70), min_size=1, max_size=5), st.integers(3, 20), st.integers(0, 17))
def test_windows_cover_every_token(lengths, max_length, overlap):
    overlap = min(overlap, max_length - 3)
    texts = [text_of(length) for length in lengths]
    windows, text_ids = make_windows(texts, max_length, overlap)
    assert sorted(set(text_ids)) == list(range(len(texts)))
    for number, text in enumerate(texts):
        own = [window for window, owner in zip(windows, text_ids, strict=True) if owner == number]
        assert all(len(window) <= max_length and (window[0], window[-1]) == (0, 2) for window in own)
        assert {token for window in own for token in window} == set(text)
        assert len({len(window) for window in own}) == 1
        for before, after in itertools.pairwise(own):
            assert len(set(before[1:-1]) & set(after[1:-1])) >= overlap


def test_a_text_that_fits_is_one_window():
    assert make_windows([text_of(12)], 12, overlap=4) == ([text_of(12)], [0])


def test_few_windows_are_spread_over_the_text():
    text = text_of(102)
    windows, text_ids = make_windows([text], 12, max_windows=3)
    assert text_ids == [0, 0, 0]
    assert windows[0][1] == text[1]
    assert windows[-1][-2] == text[-2]
    assert make_windows([text], 12, max_windows=1)[0] == [keep_part(text, 12)]


def test_pooling():
    values, text_ids = [[1.0, 4.0], [3.0, 0.0], [7.0, 7.0]], [0, 0, 1]
    assert pool_windows(values, text_ids, "max").tolist() == [[3, 4], [7, 7]]
    assert pool_windows(values, text_ids, "first").tolist() == [[1, 4], [7, 7]]
    assert pool_windows(values, text_ids, "last").tolist() == [[3, 0], [7, 7]]
    assert pool_windows(np.array(values), [1, 1, 0]).tolist() == [[7, 7], [2, 2]]


def test_lengths_at_the_limit_are_not_truncated():
    assert describe_lengths([512, 512], 512)["truncated"] == 0
    assert describe_lengths([513], 512)["lost"] == pytest.approx(1 / 513)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: describe_lengths([], 512), "lengths is empty"),
        (lambda: keep_part([0, 2], 512, "middle"), "part 'middle' is not one of 'head', 'tail', 'head and tail'"),
        (lambda: keep_part([0, 2], 2), "max_length=2 must be above 2"),
        (lambda: keep_part([0, 2], 512, "head and tail", 1.5), "head_share=1.5 from 0 to 1"),
        (lambda: make_windows([[0, 2]], 12, overlap=10), "leaves no room for an overlap of 10"),
        (lambda: make_windows([[0, 2]], 12, overlap=-1), "an overlap of -1"),
        (lambda: make_windows([[0, 2]], 12, max_windows=0), "max_windows is 0"),
        (lambda: pool_windows([[1.0]], [0], "median"), "pooling 'median' is not one of mean, max, first, last"),
        (lambda: pool_windows([[1.0]], [0, 1]), "there are 1 windows, but 2 text_ids"),
        (lambda: pool_windows([[1.0]], [1]), "text 0 has no window"),
        (lambda: pool_windows([], []), "at least one"),
    ],
)
def test_errors_are_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)
