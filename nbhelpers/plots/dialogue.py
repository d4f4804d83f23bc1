"""Figures about the turns of a dialogue: which label follows which, and one dialogue from left to right."""

from collections.abc import Iterable
from itertools import cycle, pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.transforms import blended_transform_factory

from .heatmap import draw_heatmap, largest_cells, largest_classes, square_counts
from .style import (
    EMOTIONS,
    INK,
    OTHERS,
    PALE,
    Picture,
    card_style,
    finish,
    new_picture,
    require,
    to_strings,
    width_of,
)

MAX_TEXTS = 16  # a longer dialogue has no room for its texts below the timeline


def transitions(matrix: pd.DataFrame) -> Picture:
    """Draw which label follows which. Of more than 20 labels, it shows the most frequent ones.

    Args:
        matrix: numbers of pairs of consecutive turns: a row per label of the first turn, a column per label of the
            next, in the same order.

    Raises:
        ValueError: rows and columns differ, or the counts are all zero, negative or NaN.

    >>> pairs = pd.DataFrame([[8, 2], [5, 5]], index=["neutral", "joy"], columns=["neutral", "joy"])
    >>> print(transitions(pairs).summary)
    The next turn keeps the label in 65.0 % of 20 pairs: neutral is kept most (80.0 %), joy least (50.0 %).
    """
    names, table, shares = square_counts("matrix", matrix)
    kept, texts = shares.diagonal(), np.array([f"{share:.0f} %" for share in shares.flat]).reshape(shares.shape)
    shown = largest_classes(table.sum(axis=1))
    # A label that is never first in a pair has NaN here and is passed over.
    most, least = np.nanargmax(kept), np.nanargmin(kept)
    with card_style():
        title = "Label of the next turn, in % of each line (pairs per line)"
        if len(shown) < len(names):
            title += f". The {len(shown)} most frequent of {len(names)} labels"
        picture = draw_heatmap(title, names, table, shares, texts, shown, ylabel="this turn", xlabel="next turn")
    summary = f"The next turn keeps the label in {100 * table.trace() / table.sum():.1f} % of {table.sum():,.0f} "
    summary += f"pairs: {names[most]} is kept most ({kept[most]:.1f} %), {names[least]} least ({kept[least]:.1f} %)."
    return finish(picture, f"Heat map, this turn by next turn. {largest_cells(names, shares, shown)}", summary)


def timeline(
    speakers: Iterable[str],
    labels: Iterable[str],
    texts: Iterable[str] | None = None,
    names: Iterable[str] | None = None,
    title: str = "Label of each turn",
) -> Picture:
    """Draw one dialogue from left to right, with a lane per speaker and a mark with its label for each turn.

    Args:
        speakers: [turns] names of the speakers.
        labels: [turns] such as emotions.
        texts: [turns] the words of each turn. They are listed below the lanes, each cut to one line, if there are at
            most 16 turns.
        names: all labels of the corpus. With them, labels outside `EMOTIONS` get the same color and marker in every
            dialogue.
        title: above the picture; say so if the labels are predictions.

    Raises:
        ValueError: there are no turns, the numbers of turns differ, or a label is missing in names.

    >>> print(timeline(["Joey", "Ross", "Joey"], ["neutral", "neutral", "joy"]).summary)
    Turns: 3, speakers: 2. The label differs from the turn before in 1 of 2 cases; most frequent: neutral (2).
    """
    who, felt, said = to_strings(speakers), to_strings(labels), to_strings([] if texts is None else texts)
    turns, lanes = len(felt), list(dict.fromkeys(who))
    require(turns > 0 and turns == len(who), f"{len(who)} speakers but {turns} labels: pass one of each per turn")
    require(len(said) in (0, turns), f"{len(said)} texts but {turns} labels: pass one of each per turn")
    looks = looks_of(felt, names)
    # Neighboring labels would overlap where a turn is narrower than the longest of them.
    upright = width_of(felt) > (8.3 - width_of(lanes)) / turns
    lane_height = 0.45 + (width_of(felt) if upright else 0.15)
    said = said if turns <= MAX_TEXTS else []
    with card_style():
        heights = [lane_height * len(lanes) + 0.6, 0.19 * len(said) + 0.01]  # inches
        picture = new_picture(9, sum(heights) + 0.5, title)
        axes, below = picture.subplots(2, 1, height_ratios=heights)
        for turn, (speaker, label) in enumerate(zip(who, felt, strict=True), start=1):
            draw_turn(axes, (turn, lanes.index(speaker)), label, looks[label], upright)
        axes.hlines(range(len(lanes)), 0.5, turns + 0.5, color=PALE, linewidth=1, zorder=0)
        axes.set(xlabel="turn", xlim=(0.4, turns + 0.6))
        axes.set_ylim(len(lanes) - 1 + 0.2 / lane_height, -1 + 0.1 / lane_height)  # the first speaker is on top
        axes.set_xticks(range(1, turns + 1))
        axes.set_yticks(range(len(lanes)), lanes)
        list_texts(picture, below, who, said)
    changes = sum(before != after for before, after in pairwise(felt))
    most = max(dict.fromkeys(felt), key=felt.count)
    summary = f"Turns: {turns}, speakers: {len(lanes)}. The label differs from the turn before in {changes} of "
    summary += f"{turns - 1} cases; most frequent: {most} ({felt.count(most)})."
    listed = "; ".join(f"{i + 1} {who[i]}: {felt[i]}" for i in range(turns))
    return finish(picture, f"Timeline of a dialogue, a lane per speaker. {listed}.", summary)


def looks_of(labels: list[str], names: Iterable[str] | None) -> dict[str, tuple[str, str]]:
    """The color and the marker of each label: those of `EMOTIONS`, and for other labels the next of `OTHERS`."""
    known = sorted(set(labels)) if names is None else to_strings(names)
    unknown = sorted(set(labels) - set(known))
    require(not unknown, f"labels {unknown} are missing in names: pass all labels of the corpus as names")
    # cycle: a corpus with more labels than there are pairs uses them again
    return dict(zip([name for name in known if name not in EMOTIONS], cycle(OTHERS), strict=False)) | EMOTIONS


def draw_turn(axes: Any, place: tuple[int, int], label: str, look: tuple[str, str], upright: bool) -> None:
    """Draw the mark of a turn at (turn, lane), and its label above the mark."""
    color, marker = look
    size = 13 if marker == "*" else 9  # a star looks smaller than other marks of the same size
    axes.plot(*place, color=color, marker=marker, markersize=size, markeredgecolor=INK, markeredgewidth=0.7)
    above = {"xytext": (0, 8), "textcoords": "offset points", "ha": "center", "va": "bottom"}
    axes.annotate(label, place, **above, rotation=90 * upright)


def list_texts(picture: Picture, axes: Any, speakers: list[str], texts: list[str]) -> None:
    """Write the turns into these axes, one line each, from the left edge of the picture."""
    axes.set_axis_off()
    # x in parts of the whole picture, y in parts of the axes
    place = blended_transform_factory(picture.transFigure, axes.transAxes)
    for i, words in enumerate(texts):
        line = f"{i + 1}  {speakers[i]}: {' '.join(words.split())}"
        text = axes.text(0.015, 1 - (i + 0.5) / len(texts), line, transform=place, fontsize=8, va="center")
        text.set_in_layout(False)  # it starts left of its axes, and the layout would make room for that
        fits = 0.96 * picture.bbox.width / text.get_window_extent().width  # the part of the line that fits
        text.set_text(line if fits >= 1 else line[: int(fits * len(line)) - 2].rstrip() + "…")
