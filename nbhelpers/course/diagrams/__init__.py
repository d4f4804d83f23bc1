"""The diagrams of the lessons, drawn by code so that all have the same look, words for each, and no file to go stale.

>>> from nbhelpers.course import diagrams
>>> "From a text to probabilities" in diagrams.path("head").alt
True
"""

from .bars import bars
from .context import causal_mask, windows
from .data import fine_tuning, loop, padding
from .drawing import Drawing
from .methods import low_rank, two_passes
from .numbers import number_line
from .path import path
from .serving import request, rounding

__all__ = [
    "Drawing",
    "bars",
    "causal_mask",
    "fine_tuning",
    "loop",
    "low_rank",
    "number_line",
    "padding",
    "path",
    "request",
    "rounding",
    "two_passes",
    "windows",
]
