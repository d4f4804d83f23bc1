"""The diagram of a frequent and a rare class: its numbers, its words, and what it refuses."""

import doctest
import random
from xml.etree import ElementTree

import pytest

from nbhelpers.course import diagrams
from nbhelpers.course.diagrams import imbalance
from nbhelpers.course.errors import CourseError

LINE = "{http://www.w3.org/2000/svg}line"


def test_recall_and_precision_are_those_of_drawn_texts():
    draw = random.Random(0)
    classes = [draw.random() < imbalance.SHARE for _ in range(100_000)]
    evidence = [draw.gauss(imbalance.CENTER if is_rare else -imbalance.CENTER, 1) for is_rare in classes]
    for tau in (0.0, 1.0):
        found = [is_rare for is_rare, x in zip(classes, evidence, strict=True) if x > imbalance.boundary_of(tau)]
        assert imbalance.hits(tau) == pytest.approx((sum(found) / sum(classes), sum(found) / len(found)), abs=0.01)


@pytest.mark.parametrize(
    ("tau", "words"), [(1.0, "moves toward the frequent class"), (0.0, "stays"), (-0.5, "moves into the rare class")]
)
def test_the_words_say_where_the_boundary_moves(tau, words):
    drawing = diagrams.boundary(tau)
    assert f"The boundary {words}." in drawing.alt
    arrows = [line for line in ElementTree.fromstring(drawing.svg()).iter(LINE) if line.get("marker-end")]
    assert len(arrows) == (tau != 0)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(CourseError, match="choose a number from -1 to 2"):
        diagrams.boundary(3)


def test_the_examples_in_the_docstrings_are_right():
    outcome = doctest.testmod(imbalance)
    assert outcome.attempted
    assert not outcome.failed
