"""A table of counts drawn as a heat map: for `transitions` and `confusion_matrix`."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from numpy.typing import NDArray

from .style import MAX_CLASSES, PALE, PAPER, Picture, new_picture, require, to_numbers, to_strings, width_of


def square_counts(name: str, frame: pd.DataFrame) -> tuple[list[str], NDArray[Any], NDArray[Any]]:
    """Check a square table of counts.

    Returns:
        The names of its rows, which are also those of its columns; the counts, [classes, classes]; and the counts in
        percent of their row, which are NaN in a row without counts.
    """
    table, names = to_numbers(name, frame, ndim=2), to_strings(frame.index)
    require(
        names == to_strings(frame.columns),
        f"{name} has the rows {names} but the columns {[*frame.columns]}: use one order for both",
    )
    require(table.any(), f"{name} contains only zeros: there is nothing to draw")
    totals = table.sum(axis=1, keepdims=True)
    return names, table, 100 * table / np.where(totals > 0, totals, np.nan)


def largest_classes(sizes: NDArray[Any], limit: int = MAX_CLASSES) -> NDArray[np.int64]:
    """Return the positions of the classes of the largest sizes, in their order.

    >>> largest_classes(np.array([1, 5, 3]), limit=2).tolist()
    [1, 2]
    """
    return np.sort(np.argsort(-sizes, kind="stable")[:limit])


def draw_heatmap(
    title: str,
    names: list[str],
    table: NDArray[Any],
    shares: NDArray[Any],
    texts: NDArray[Any],
    shown: NDArray[np.int64],
    ylabel: str,
    xlabel: str,
) -> Picture:
    """Draw a table with a text in each cell. Call it within `card_style`.

    Args:
        title: of the picture.
        names, table, shares: from `square_counts`; `shares` sets the colors.
        texts: [classes, classes], one per cell.
        shown: the positions of the classes that are drawn, from `largest_classes`.
        ylabel, xlabel: what the rows and the columns are.
    """
    totals, names = table.sum(axis=1)[shown], [names[i] for i in shown]
    shares, texts = shares[np.ix_(shown, shown)], texts[np.ix_(shown, shown)]
    size, longest, small = len(names), width_of(names), len(names) > 10
    width = max(8.0, longest + 0.39 * size + 1.4)
    upright = longest > (width - longest - 1.4) / size  # columns are too narrow for horizontal names
    picture = new_picture(width, 0.9 + (0.36 if small else 0.45) * size + longest * upright, title)
    axes = picture.subplots()
    cmap = colormaps["cividis"].with_extremes(bad=PALE)  # the color of NaN, that is, of rows without counts
    mesh = axes.pcolormesh(shares, cmap=cmap, vmin=0, vmax=np.nanmax(shares), edgecolor=PAPER, linewidth=1)
    for (i, j), share in np.ndenumerate(shares):
        words = "" if np.isnan(share) else str(texts[i, j])
        text = axes.text(j + 0.5, i + 0.5, words, ha="center", va="center")
        text.set(color=text_color(mesh.to_rgba(share)), fontsize=6.5 if small else 9)
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(size, 0))  # the first row is at the top, as in a table
    axes.set_xticks(np.arange(size) + 0.5, names, rotation=90 * upright)
    axes.set_yticks(
        np.arange(size) + 0.5, [f"{name} ({total:,.0f})" for name, total in zip(names, totals, strict=True)]
    )
    axes.tick_params(length=0)
    return picture


def text_color(background: Any) -> str:
    """Black or white, whichever has more contrast with this background (RGBA, each from 0 to 1)."""
    # Relative luminance as WCAG defines it. Black and white have the same contrast at a luminance of 0.18.
    luminance = np.dot(np.array(background[:3]) ** 2.2, [0.2126, 0.7152, 0.0722])
    return "black" if luminance > 0.18 else "white"


def largest_cells(names: list[str], shares: NDArray[Any], shown: NDArray[np.int64]) -> str:
    """A sentence with the largest cell of each row that is shown, for the alt text, but not of rows without counts."""
    filled = [(names[i], shares[i]) for i in shown if not np.isnan(shares[i]).any()]
    cells = "; ".join(f"{name}: {names[row.argmax()]} {row.max():.0f} %" for name, row in filled)
    return f"Largest cell of each line: {cells}."
