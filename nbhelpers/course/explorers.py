"""`explore`: a picture or a table that changes with sliders. A saved notebook keeps its first state."""

from __future__ import annotations

import base64
import html
import inspect
from collections.abc import Callable
from typing import Any

import ipywidgets
import pandas as pd
from IPython.display import display

from nbhelpers.course.diagrams import Drawing
from nbhelpers.course.errors import CourseError
from nbhelpers.plots import Picture

NO_FORMULAS = "tex2jax_ignore mathjax_ignore"  # a text between two dollar signs is not one


def explore(draw: Callable[..., Any], **controls: Any) -> None:
    """Show what a function returns, with a control for each argument. Each change calls the function again.

    Where widgets do not work, as in a saved notebook, the result of the first call is shown alone.

    Args:
        draw: returns a `plots.Picture`, a diagram, a DataFrame, a text, or a list of these. The default of each
            argument is where its control starts.
        controls: argument -> (smallest, largest) or (smallest, largest, step) for a slider, a list or
            {text: value} for a choice, a text for a text box, True or False for a check box, or a widget.

    Raises:
        CourseError: a control has no argument, or a value that no control can show.

    In a lesson: `explore(lambda rank=8: f"{2 * 384 * rank:,} weights", rank=(1, 64))`.
    """
    boxes = {name: control_of(draw, name, control) for name, control in controls.items()}
    first = draw(**{name: box.value for name, box in boxes.items()})
    result = ipywidgets.HTML(as_html(first))

    def update(_: Any) -> None:
        try:
            result.value = as_html(draw(**{name: box.value for name, box in boxes.items()}))
        except Exception as error:  # in a widget's callback a traceback would be shown nowhere
            result.value = as_html(f"This setting does not work: {error}")

    for box in boxes.values():
        box.observe(update, names="value")
    show_widget(ipywidgets.VBox([*boxes.values(), result]), as_html(first), as_text(first))


def show_widget(widget: ipywidgets.Widget, in_html: str, in_text: str) -> None:
    """Show a widget, or its form in HTML or in text where widgets do not work: a front end takes the best it can."""
    display({**widget._repr_mimebundle_(), "text/html": in_html, "text/plain": in_text}, raw=True)


def control_of(draw: Callable[..., Any], name: str, control: Any) -> Any:
    """The widget for an argument, as ipywidgets' `interact` would make it, with a label of its full width."""
    arguments = inspect.signature(draw).parameters
    if name not in arguments:
        raise CourseError(f"there is no argument {name!r}; there are {', '.join(arguments)}")
    default = arguments[name].default
    box = ipywidgets.interactive.widget_from_abbrev(control, default)
    if box is None:
        raise CourseError(f"{name}={control!r}: pass (smallest, largest), a list, a text, or True or False")
    box.description = name.replace("_", " ")
    box.style.description_width = "initial"
    box.layout.width = "min(100%, 36em)"
    if isinstance(box, ipywidgets.Text):
        box.continuous_update = False  # a text is complete when one presses Enter
    return box


def as_html(value: Any) -> str:
    """What a browser shows: a picture with its alt text and summary, a diagram, a table, or lines of text."""
    if isinstance(value, Picture):
        image = base64.b64encode(value.png()).decode()
        return f'<img src="data:image/png;base64,{image}" alt="{html.escape(value.alt)}">{as_html(value.summary)}'
    if isinstance(value, Drawing):
        return value.svg()
    if isinstance(value, pd.DataFrame):
        # With tabindex, a keyboard can scroll it
        return f'<div class="{NO_FORMULAS}" style="overflow-x: auto" tabindex="0">{value.to_html(border=0)}</div>'
    if isinstance(value, list):
        return "".join(as_html(part) for part in value)
    return f'<p class="{NO_FORMULAS}" style="white-space: pre-wrap">{html.escape(str(value))}</p>'


def as_text(value: Any) -> str:
    """What a program without pictures shows: summaries, tables and texts.

    >>> as_text(["two", "parts"])
    'two\\nparts'
    """
    if isinstance(value, list):
        return "\n".join(as_text(part) for part in value)
    if isinstance(value, Picture):
        return value.summary
    return value.alt if isinstance(value, Drawing) else str(value)
