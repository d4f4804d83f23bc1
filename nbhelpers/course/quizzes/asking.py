"""`quiz`: a question with choices. Where widgets work one chooses, everywhere else the explanations are folded."""

from __future__ import annotations

import functools
import html
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets
import yaml

from nbhelpers.course.errors import CourseError
from nbhelpers.course.explorers import show_widget


@dataclass(frozen=True)
class Choice:
    """One of the choices: the text, the explanation, and whether it is the right one."""

    answer: str
    because: str
    right: bool = False

    @property
    def verdict(self) -> str:
        """What the learner reads after choosing it."""
        return f"{'Right.' if self.right else 'No.'} {self.because}"


@dataclass(frozen=True)
class Question:
    """A question and its choices, exactly one of which is right."""

    question: str
    choices: tuple[Choice, ...]


@functools.cache
def all_questions() -> dict[str, Question]:
    """All questions of the course by their names, in the order of the lessons."""
    questions = {}
    for path in sorted(Path(__file__).parent.glob("[0-9][0-9].yml")):
        for name, entry in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            choices = [Choice(**choice) for choice in entry["choices"]]
            # Mixed, but the same in every notebook. Authors tend to put the right choice into the same place
            choices.sort(key=lambda choice: zlib.crc32(choice.answer.encode()))
            questions[name] = Question(entry["question"], tuple(choices))
    return questions


def quiz(name: str) -> None:
    """Ask a question. A saved notebook shows the explanations folded, because it has no widgets.

    Args:
        name: of the question, as the lesson gives it.

    Raises:
        CourseError: there is no such question.
    """
    questions = all_questions()
    if name not in questions:
        raise CourseError(f"there is no question {name!r}; there are {', '.join(questions)}")
    asked = questions[name]
    show_widget(widget(asked), folded(asked), as_text(asked))


def widget(asked: Question) -> Any:
    """The question with a button for each choice. Choosing one shows its explanation below."""
    buttons = ipywidgets.RadioButtons(
        options=[(choice.answer, i) for i, choice in enumerate(asked.choices)],
        value=None,
        layout={"width": "100%", "height": "auto"},
    )
    explanation = ipywidgets.HTML()

    def explain(change: Any) -> None:
        explanation.value = f"<p>{html.escape(asked.choices[change['new']].verdict)}</p>"

    buttons.observe(explain, names="value")
    return ipywidgets.VBox([ipywidgets.HTML(f"<p><b>{html.escape(asked.question)}</b></p>"), buttons, explanation])


def folded(asked: Question) -> str:
    """The question in HTML, with the explanation of each choice folded."""
    lines = [
        f"<details><summary>{html.escape(choice.answer)}</summary>{html.escape(choice.verdict)}</details>"
        for choice in asked.choices
    ]
    return f"<div><p><b>{html.escape(asked.question)}</b></p>{''.join(lines)}</div>"


def as_text(asked: Question) -> str:
    """The question and its choices, without the explanations.

    >>> print(as_text(Question("Which?", (Choice("This.", "Yes.", True), Choice("That.", "No.")))))
    Which?
    - This.
    - That.
    """
    return "\n".join([asked.question, *(f"- {choice.answer}" for choice in asked.choices)])
