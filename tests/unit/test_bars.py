"""The diagram of amounts: lengths in proportion, the words of each bar, and readable errors."""

from xml.etree import ElementTree

import pytest

from nbhelpers.course import diagrams
from nbhelpers.course.errors import CourseError

RECT = "{http://www.w3.org/2000/svg}rect"


def lengths(drawing):
    return [float(box.get("width")) for box in ElementTree.fromstring(drawing.svg()).iter(RECT) if box.get("rx")]


def test_bars_are_as_long_as_their_amounts():
    first, second = lengths(diagrams.bars({"all": 200.0, "a half": 100.0}))
    assert first == 2 * second


def test_the_words_have_each_amount_with_its_unit():
    drawing = diagrams.bars({"full copies": 1234.56, "adapters": 2.0}, "Disk space", "GB")
    assert drawing.alt == (
        "Disk space, as horizontal bars in GB. From top to bottom, full copies: 1,234.6 GB; adapters: 2.0 GB."
    )


def test_nothing_is_drawn_as_a_thin_line():
    assert lengths(diagrams.bars({"none": 0.0})) == [1.0]


@pytest.mark.parametrize("amounts", [{}, {"below zero": -1.0}, {"a name that is much too long for its place": 1.0}])
def test_what_cannot_be_drawn_is_refused(amounts):
    with pytest.raises(CourseError, match="at most 32 letters"):
        diagrams.bars(amounts)
