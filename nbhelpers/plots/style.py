"""What all figures share: colors, the class `Picture`, `show`, and small helpers to check and describe arguments."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import font_manager, style
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image

INK, PALE, PAPER, GREY = "#1f2328", "#d0d7de", "#ffffff", "#999999"
# The palette of Okabe and Ito (2008), which readers with any kind of color blindness can tell apart
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"

# Color and marker of each emotion, the same in every figure
EMOTIONS = {
    "neutral": (GREY, "o"),
    "surprise": (SKY, "*"),
    "fear": (PURPLE, "D"),
    "sadness": (BLUE, "v"),
    "joy": (ORANGE, "^"),
    "disgust": (GREEN, "X"),
    "anger": (RED, "s"),
}
# Labels of other corpora take the next pair of this list
OTHERS = [(color, marker) for marker in "Pphd<>8H" for color in (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)]

MAX_CLASSES = 20  # more lines than these cannot be read in one figure

# Fonts with Chinese, Japanese or Korean characters that systems come with. Those that are missing would cost a warning.
CJK = ["Noto Sans CJK SC", "Noto Sans CJK JP", "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "WenQuanYi Zen Hei"]
FONTS = ["DejaVu Sans", *(name for name in CJK if name in font_manager.get_font_names())]

# The settings of every figure. "default" comes first, so that nothing of the user's own style is mixed in.
CARD: list[Any] = [
    "default",
    {
        "figure.facecolor": PAPER,  # opaque, so that it is as readable in a dark notebook as in a light one
        "font.family": FONTS,
        "font.size": 9,
        "text.color": INK,
        "text.parse_math": False,  # a dollar sign in a text of the corpus must not start a formula
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "figure.constrained_layout.w_pad": 0.12,
        "figure.constrained_layout.h_pad": 0.08,
        "legend.frameon": False,
    },
]


class Picture(Figure):
    """A matplotlib Figure with a description for screen readers (`alt`) and its finding in one line (`summary`).

    It is not registered with pyplot. Otherwise a notebook would show it a second time at the end of the cell.

    >>> picture = Picture(figsize=(4, 3))
    >>> picture.alt = "An empty picture."
    >>> picture.png()[1:4]
    b'PNG'
    """

    alt: str = ""
    summary: str = ""

    def _ipython_display_(self) -> None:
        """Show the picture: Jupyter calls this when a Picture is the last value of a cell."""
        show(self)

    def draw(self, renderer: Any) -> None:
        """Draw with the settings of the course, because matplotlib reads some settings only now."""
        with card_style():
            super().draw(renderer)

    def png(self) -> bytes:
        """Return the picture as a PNG of 256 colors, which has a third of the size and no visible change of color."""
        full, small = io.BytesIO(), io.BytesIO()
        with card_style():
            self.savefig(full, format="png", dpi=100)
        # Pillow's default method, median cut, may give two small markers of different emotions the same color.
        colors = Image.open(full).convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE)
        colors.save(small, format="png", optimize=True)
        return small.getvalue()


def show(picture: Picture) -> None:
    """Display the picture with its alt text, if this is a notebook, and print its summary.

    >>> picture = Picture()
    >>> picture.summary = "Scores rise from 40 to 60 %."
    >>> show(picture)
    Scores rise from 40 to 60 %.
    """
    # A notebook has imported IPython already. A script need not have it installed.
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
        from IPython.display import display

        formats = {"image/png": picture.png(), "text/plain": picture.alt}
        display(formats, metadata={"image/png": {"alt": picture.alt}}, raw=True)
    print(picture.summary)


@contextmanager
def card_style() -> Iterator[None]:
    """Use the settings of the course's figures within a `with` block; the user's own come back after it."""
    with style.context(CARD), warnings.catch_warnings():
        # The picture has a box for a character that no font has. A warning for each of them would fill the screen.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def new_picture(width: float, height: float, title: str) -> Picture:
    """An empty picture of this size in inches, with its title at the left. Call it within `card_style`."""
    picture = Picture(figsize=(width, height), dpi=100, layout="constrained")
    picture.suptitle(title, x=0.015, ha="left", weight="bold", fontsize=10)
    return picture


def finish(picture: Picture, alt: str, summary: str) -> Picture:
    """Add the two texts, compute the layout, and keep it from changing."""
    picture.alt, picture.summary = alt, summary
    picture.draw_without_rendering()
    # The layout is computed now. Without an engine, every later drawing has exactly this layout.
    picture.set_layout_engine("none")
    return picture


def to_numbers(name: str, values: ArrayLike | pd.DataFrame, ndim: int) -> NDArray[np.float64]:
    """Return an argument as an array, after a check that it has `ndim` dimensions and only numbers from 0."""
    array = np.asarray(values, dtype=float)
    require(array.ndim == ndim and array.size, f"{name} has shape {array.shape}: pass {ndim} dimension(s), not empty")
    require(
        np.isfinite(array).all() and array.min() >= 0,
        f"{name} contains NaN, infinite or negative numbers: pass numbers from 0, and fill gaps with 0",
    )
    return array


def to_strings(values: Iterable[Any]) -> list[str]:
    """Return names, labels or texts as strings; an index of a DataFrame may contain numbers."""
    return [str(value) for value in values]


def width_of(texts: list[str]) -> float:
    """About the width in inches of the longest text at font size 9."""
    # Sizes are decided before anything is drawn, when matplotlib cannot measure a text yet.
    return 0.085 * max(map(len, texts))


def require(condition: Any, message: str) -> None:
    """Raise ValueError with this message unless the condition holds."""
    if not condition:
        raise ValueError(message)
