"""`explore`: each control changes what is shown, and a saved notebook keeps the first state."""

import ipywidgets
import pandas as pd
import pytest

from nbhelpers import plots
from nbhelpers.course import diagrams, explorers
from nbhelpers.course.errors import CourseError


@pytest.fixture
def shown(monkeypatch):
    """What `explore` displays, and the controls and the result of its widget."""
    bundles, boxes = [], []
    make = ipywidgets.VBox

    def keep(children):
        boxes.append(children)
        return make(children)

    monkeypatch.setattr(explorers, "display", lambda bundle, raw: bundles.append(bundle))
    monkeypatch.setattr(explorers.ipywidgets, "VBox", keep)
    return bundles, boxes


def weights(rank=8, bias=False):
    return f"{2 * 384 * rank + (384 if bias else 0):,} weights"


def test_a_change_of_a_control_changes_the_result(shown):
    explorers.explore(weights, rank=(1, 64), bias=False)
    rank, bias, result = shown[1][0]
    assert (rank.min, rank.max, rank.value, rank.description) == (1, 64, 8, "rank")
    assert "6,144 weights" in result.value
    rank.value = 16
    assert "12,288 weights" in result.value
    bias.value = True
    assert "12,672 weights" in result.value


def test_a_saved_notebook_keeps_the_first_state(shown):
    explorers.explore(weights, rank=(1, 64))
    [bundle] = shown[0]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "6,144 weights" in bundle["text/html"]
    assert bundle["text/plain"] == "6,144 weights"


def test_an_error_is_shown_in_a_sentence_and_the_next_change_works(shown):
    explorers.explore(lambda divisor=1: f"{6 / divisor:.0f}", divisor=(0, 3))
    divisor, result = shown[1][0]
    divisor.value = 0
    assert "This setting does not work: division by zero" in result.value
    divisor.value = 2
    assert "3" in result.value


def test_pictures_tables_diagrams_and_texts_are_shown_with_their_words():
    picture = plots.threshold_curve([1, 0], [0.9, 0.1], 0.5)
    value = [picture, pd.DataFrame({"text": ["<b>$1 and $2"]}), diagrams.loop(), "a < b"]
    page, text = explorers.as_html(value), explorers.as_text(value)
    assert picture.alt in page
    assert page.count(picture.summary) == 2  # in the alt text, and below the picture
    assert "&lt;b&gt;$1 and $2" in page
    assert "mathjax_ignore" in page
    assert "<svg" in page
    assert "a &lt; b" in page
    for words in (picture.summary, "$1 and $2", diagrams.loop().alt, "a < b"):
        assert words in text


def test_a_text_box_waits_for_enter():
    box = explorers.control_of(lambda text="Yeah.": text, "text", "Yeah.")
    assert (box.value, box.continuous_update) == ("Yeah.", False)


@pytest.mark.parametrize(
    ("controls", "message"), [({"rang": (1, 2)}, "there is no argument 'rang'; there are rank, bias"),
                              ({"rank": object()}, "pass \\(smallest, largest\\), a list, a text, or True or False")],
)  # fmt: skip
def test_validation_errors_are_readable(controls, message):
    with pytest.raises(CourseError, match=message):
        explorers.explore(weights, **controls)
