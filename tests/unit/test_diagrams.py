"""Diagrams: valid SVG with a description, texts that fit, and colors that are never the only sign."""

import doctest
from xml.etree import ElementTree

import pytest

from nbhelpers.course import diagrams
from nbhelpers.course.diagrams import drawing

DIAGRAMS = [name for name in diagrams.__all__ if name != "Drawing"]
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(params=DIAGRAMS)
def diagram(request):
    return getattr(diagrams, request.param)()


def test_there_are_enough():
    assert len(DIAGRAMS) >= 10


def test_each_is_an_svg_with_a_description(diagram):
    root = ElementTree.fromstring(diagram.svg())
    assert root.get("role") == "img"
    assert root.get("aria-label") == diagram.alt == root.find(f"{SVG}title").text
    assert len(diagram.alt.split()) >= 15
    assert diagram._repr_mimebundle_()["text/plain"] == diagram.alt
    assert len(diagram.svg()) < 20_000


def test_texts_are_inside_the_picture(diagram):
    root = ElementTree.fromstring(diagram.svg())
    for text in root.iter(f"{SVG}text"):
        size, x, y = (float(text.get(name)) for name in ("font-size", "x", "y"))
        width = 0.6 * size * len(text.text)  # more than most fonts need
        left = {"start": x, "middle": x - width / 2, "end": x - width}[text.get("text-anchor")]
        assert left >= 0, text.text
        assert left + width <= diagram.width + 4, text.text
        assert size <= y <= diagram.height, text.text


def test_the_path_highlights_what_a_lesson_is_about():
    plain, chosen = diagrams.path(), diagrams.path(["pooling", "head"])
    assert "(this lesson)" not in plain.alt
    assert chosen.alt.count("(this lesson)") == 2
    assert chosen.svg().count('font-weight="bold"') == 4  # their names and their examples


def test_two_pictures_on_a_page_do_not_share_ids():
    assert diagrams.loop().arrow_id != diagrams.loop().arrow_id


@pytest.mark.parametrize("module", [diagrams, drawing])
def test_the_examples_in_the_docstrings_are_right(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted
    assert not outcome.failed
