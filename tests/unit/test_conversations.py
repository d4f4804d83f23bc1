"""Dialogues for lesson 6: a part of a corpus has whole dialogues, and typed turns are read or refused in a sentence."""

import doctest

import pandas as pd
import pytest

from nbhelpers.course import conversations
from nbhelpers.course.errors import CourseError


def test_the_examples_in_the_docstrings_are_right():
    outcome = doctest.testmod(conversations)
    assert outcome.attempted
    assert not outcome.failed


@pytest.mark.parametrize(("count", "kept"), [(0, [1, 2, 5, 9]), (99, [1, 2, 5, 9]), (2, [1, 5]), (1, [1])])
def test_whole_dialogues_are_kept_from_all_parts_of_the_table(count, kept):
    frame = pd.DataFrame({"dialogue_id": [1, 1, 2, 5, 5, 5, 9]}, index=range(10, 17))
    part = conversations.some_dialogues(frame, count)
    assert part["dialogue_id"].unique().tolist() == kept
    assert part["dialogue_id"].value_counts().to_dict() == frame["dialogue_id"].value_counts()[kept].to_dict()
    assert part.index.tolist() == list(range(len(part)))


def test_an_empty_table_stays_empty():
    assert conversations.some_dialogues(pd.DataFrame({"dialogue_id": []}), 3).empty


def test_empty_lines_and_outer_spaces_do_not_matter():
    turns = conversations.typed_turns("\n  Ann :  It is 5:30.  \r\n\n Bo:So?\n")
    assert turns["speaker"].tolist() == ["Ann", "Bo"]
    assert turns["text"].tolist() == ["It is 5:30.", "So?"]
    assert turns["dialogue_id"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "there is no turn yet"), (" \n ", "there is no turn yet"), ("Ann: Hi.\nWhat?", "'What\\?' has no speaker"),
     (": What?", "has no speaker"), ("Ann:", "has no speaker")],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_a_sentence(text, message):
    with pytest.raises(CourseError, match=message):
        conversations.typed_turns(text)
