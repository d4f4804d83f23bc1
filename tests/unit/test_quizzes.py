"""Quiz questions: complete, one right choice each, asked in the lessons, and shown with and without widgets."""

import doctest
import re

import jupytext
import pytest

from nbhelpers.course import build, explorers, quizzes
from nbhelpers.course.errors import CourseError
from nbhelpers.course.quizzes import asking

QUESTIONS = quizzes.all_questions()


@pytest.mark.parametrize("name", QUESTIONS)
def test_each_question_has_one_right_choice_and_an_explanation_for_each(name):
    choices = QUESTIONS[name].choices
    assert len(choices) >= 3
    assert sum(choice.right for choice in choices) == 1
    assert len({choice.answer for choice in choices}) == len(choices)
    for choice in choices:
        assert len(choice.because.split()) >= 6
        assert not choice.because.startswith(("Right", "No.", "Yes"))


def test_the_right_choice_is_not_always_in_the_same_place_nor_the_longest():
    places = [[choice.right for choice in asked.choices].index(True) for asked in QUESTIONS.values()]
    assert min(places.count(place) for place in range(3)) >= 3
    longest = [max(asked.choices, key=lambda choice: len(choice.answer)).right for asked in QUESTIONS.values()]
    assert sum(longest) < 0.8 * len(longest)


@pytest.mark.parametrize("path", sorted(build.SOURCE.glob("*.py")), ids=lambda path: path.stem)
def test_each_lesson_asks_its_questions(path):
    code = "\n".join(cell.source for cell in jupytext.read(path).cells if cell.cell_type == "code")
    asked = re.findall(r'^quiz\("(.*?)"\)', code, re.M)
    assert asked == [name for name in QUESTIONS if name[:2] == path.name[:2]]
    assert len(asked) >= 3


def test_choosing_shows_the_explanation():
    asked = QUESTIONS["05-why-two-passes"]
    _, buttons, explanation = asking.widget(asked).children
    for i, choice in enumerate(asked.choices):
        buttons.value = i
        assert choice.because in explanation.value.replace("&#x27;", "'")
        assert ("Right." in explanation.value) == choice.right


def test_without_widgets_the_explanations_are_folded(monkeypatch):
    shown = []
    monkeypatch.setattr(explorers, "display", lambda bundle, raw: shown.append(bundle))
    quizzes.quiz("03-interval")
    assert {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"} <= set(shown[0])
    assert shown[0]["text/html"].count("<details>") == 3
    assert "paired test" in shown[0]["text/plain"]
    with pytest.raises(CourseError, match="there is no question '03-x'; there are 01-bf16"):
        quizzes.quiz("03-x")


def test_the_example_in_the_docstring_is_right():
    assert doctest.testmod(asking) == (0, 1)
