"""Figures about the probabilities that a model gives: for one text in several conditions, or in several passes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from .style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PAPER,
    Picture,
    card_style,
    finish,
    new_picture,
    require,
    to_numbers,
    to_strings,
)

# Color and hatching of each condition; the hatching also tells them apart without color
FILLS = [(GREY, ""), (BLUE, "///"), (ORANGE, "..."), (GREEN, "xx")]


def class_probabilities(frame: pd.DataFrame) -> Picture:
    """Draw the class probabilities of one text under several conditions, such as with and without context.

    Of more than ten classes, it shows those with the highest probabilities.

    Args:
        frame: probabilities with a row per condition and a column per class; each row sums to 1.

    Raises:
        ValueError: frame is empty, contains NaN or negative numbers, or a row does not sum to 1.

    >>> frame = pd.DataFrame([[0.6, 0.3, 0.1], [0.1, 0.9, 0]], ["alone", "in context"], ["neutral", "joy", "anger"])
    >>> print(class_probabilities(frame).summary)
    alone: neutral 60 %; in context: joy 90 %. joy moves most, by 60 points.
    """
    table, conditions = 100 * to_numbers("frame", frame, ndim=2), to_strings(frame.index)
    names = to_strings(frame.columns)
    require(np.allclose(table.sum(axis=1), 100, atol=1), "a row of frame does not sum to 1: apply softmax to logits")
    table, names = most_likely(table, names)
    thickness = 0.8 / len(conditions)  # the bars of a class together are 0.8 high; 0.2 separates the classes
    with card_style():
        height = 1.2 + 0.18 * len(names) * (1 + len(conditions))
        picture = new_picture(8, height, "Probability of each class (%)")
        axes = picture.subplots()
        for i, condition in enumerate(conditions):
            places = np.arange(len(names)) + (i - (len(conditions) - 1) / 2) * thickness
            color, hatch = FILLS[i % len(FILLS)]
            bars = axes.barh(places, table[i], thickness, color=color, hatch=hatch, edgecolor=PAPER, label=condition)
            axes.bar_label(bars, [f"{value:.0f}" for value in table[i]], padding=3, fontsize=7)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlim=(0, 110), ylim=(len(names) - 0.4, -0.6))  # to 110, so that the number of a full bar has room
        axes.legend(loc="upper right", bbox_to_anchor=(1, 1.12), ncols=len(conditions))
    tops = [f"{c}: {names[row.argmax()]} {row.max():.0f} %" for c, row in zip(conditions, table, strict=True)]
    summary, spread = "; ".join(tops) + ".", np.ptp(table, axis=0)
    if len(conditions) > 1:
        moved = f"{names[spread.argmax()]} moves most, by {spread.max():.0f} points."
        summary += f" {moved if spread.max() >= 0.5 else 'No class moves by half a point.'}"
    listed = [", ".join(f"{n} {v:.0f}" for n, v in zip(names, row, strict=True)) for row in table]
    alt = "; ".join(f"{condition}: {values}" for condition, values in zip(conditions, listed, strict=True))
    return finish(picture, f"Bars of class probabilities in percent. {alt}.", summary)


def dropout_spread(passes: ArrayLike, texts: Iterable[str], names: Iterable[str]) -> Picture:
    """Draw how much the class probabilities of each text vary between passes with different dropout masks.

    Of more than ten classes, it shows those with the highest probabilities.

    Args:
        passes: probabilities, [passes, texts, classes].
        texts: the texts; the title of a panel shows up to 90 characters.
        names: the names of the classes.

    Raises:
        ValueError: passes has another shape, contains NaN or negative numbers, or does not sum to 1 over the classes.

    >>> passes = [[[0.6, 0.4], [0.9, 0.1]], [[0.4, 0.6], [0.8, 0.2]]]
    >>> print(dropout_spread(passes, ["Fine.", "Great!"], ["neutral", "joy"]).summary)
    2 passes: the largest class changes for 1 of 2 texts; neutral of text 1 moves most, from 40 to 60 %.
    """
    table, sentences, classes = 100 * to_numbers("passes", passes, ndim=3), to_strings(texts), to_strings(names)
    shape, wanted = (len(sentences), len(classes)), f"[passes, {len(sentences)} texts, {len(classes)} names]"
    require(table.shape[1:] == shape, f"passes has shape {table.shape}: pass {wanted}")
    require(np.allclose(table.sum(axis=2), 100, atol=1), "a pass does not sum to 1 over the classes: apply softmax")
    changed = sum(len(set(table[:, i].argmax(axis=1))) > 1 for i in range(len(sentences)))
    table, classes = most_likely(table, classes)
    low, high, count = table.min(axis=0), table.max(axis=0), len(table)  # low and high: [texts, classes]
    # Each pass has its own height within a class, so that equal probabilities do not hide each other.
    offsets = np.linspace(-0.3, 0.3, count) if count > 1 else np.zeros(1)
    with card_style():
        title = f"Probability of each class (%) in {count} passes with dropout"
        picture = new_picture(8, 0.9 + len(sentences) * (0.45 + 0.26 * len(classes)), title)
        panels = picture.subplots(len(sentences), 1, sharex=True, squeeze=False)[:, 0]
        for i, panel in enumerate(panels):
            for j, (start, end) in enumerate(zip(low[i], high[i], strict=True)):
                panel.plot(table[:, i, j], j + offsets, "o", color=BLUE, markersize=4, markerfacecolor="none")
                panel.text(1.01, j, f"{start:.0f} to {end:.0f}", transform=panel.get_yaxis_transform(), va="center")
            panel.set_yticks(range(len(classes)), classes)
            panel.set(xlim=(-1, 101), ylim=(len(classes) - 0.5, -0.5))
            panel.grid(axis="x", color=PALE)
            line = f"{i + 1}  {' '.join(sentences[i].split())}"
            panel.set_title(line if len(line) <= 90 else line[:88].rstrip() + "…")
        panels[-1].set_xlabel("%")
    text, widest = np.unravel_index((high - low).argmax(), low.shape)
    summary = f"{count} passes: the largest class changes for {changed} of {len(sentences)} texts; "
    summary += f"{classes[widest]} of text {text + 1} moves most, "
    summary += f"from {low[text, widest]:.0f} to {high[text, widest]:.0f} %."
    ranges = [
        ", ".join(f"{name} {low[i, j]:.0f} to {high[i, j]:.0f}" for j, name in enumerate(classes))
        for i in range(len(sentences))
    ]
    listed = "; ".join(f"text {i}: {words}" for i, words in enumerate(ranges, start=1))
    return finish(picture, f"Dots of class probabilities in percent, ranges over the passes. {listed}.", summary)


def most_likely(table: NDArray[Any], names: list[str], limit: int = 10) -> tuple[NDArray[Any], list[str]]:
    """Keep the classes with the highest probabilities, in their order.

    Args:
        table: probabilities, [..., classes].
        names: of the classes.
        limit: of how many classes.

    >>> most_likely(np.array([[0.1, 0.7, 0.2]]), ["a", "b", "c"], limit=2)
    (array([[0.7, 0.2]]), ['b', 'c'])
    """
    highest = table.reshape(-1, len(names)).max(axis=0)
    chosen = np.sort(np.argsort(-highest, kind="stable")[:limit])
    return table[..., chosen], [names[i] for i in chosen]
