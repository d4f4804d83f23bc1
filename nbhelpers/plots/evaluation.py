"""Figures about how good a model is: its errors, its calibration, and its scores with their intervals."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .heatmap import draw_heatmap, largest_cells, largest_classes, square_counts
from .style import BLUE, GREY, INK, PALE, PAPER, RED, SKY, Picture, card_style, finish, new_picture, require, to_strings


def confusion_matrix(frame: pd.DataFrame) -> Picture:
    """Draw how often each gold label was predicted as each label. The color is the percentage of the row.

    Of more than 20 labels, it shows those with the most errors.

    Args:
        frame: counts with a row per gold label and a column per predicted label, in the same order, as from
            `metrics.confusion`.

    Raises:
        ValueError: rows and columns differ, or the counts are all zero, negative or NaN.

    >>> frame = pd.DataFrame([[9, 1], [4, 6]], index=["neutral", "joy"], columns=["neutral", "joy"])
    >>> print(confusion_matrix(frame).summary)
    Recall is best for neutral (90.0 % of 10), worst for joy (60.0 % of 10). Most frequent error: joy as neutral (4).
    """
    names, table, shares = square_counts("frame", frame)
    texts = np.array(
        [f"{n:,.0f}\n{share:.0f} %" if n else "0" for n, share in zip(table.flat, shares.flat, strict=True)]
    ).reshape(table.shape)
    recall, rows, errors = shares.diagonal(), table.sum(axis=1), table * (1 - np.eye(len(names)))
    shown = largest_classes(errors.sum(axis=0) + errors.sum(axis=1))
    # A label without gold rows has no recall: it is NaN and is passed over.
    best, worst = np.nanargmax(recall), np.nanargmin(recall)
    gold, predicted = np.unravel_index(errors.argmax(), errors.shape)
    with card_style():
        title = "Gold and predicted labels: rows, and % of each line (rows per line)"
        if len(shown) < len(names):
            title += f". The {len(shown)} of {len(names)} labels with most errors"
        picture = draw_heatmap(title, names, table, shares, texts, shown, ylabel="gold", xlabel="predicted")
    summary = f"Recall is best for {names[best]} ({recall[best]:.1f} % of {rows[best]:,.0f}), worst for "
    summary += f"{names[worst]} ({recall[worst]:.1f} % of {rows[worst]:,.0f}). Most frequent error: "
    summary += f"{names[gold]} as {names[predicted]} ({errors.max():,.0f})." if errors.any() else "none."
    return finish(picture, f"Confusion matrix, gold by predicted. {largest_cells(names, shares, shown)}", summary)


def reliability_diagram(frame: pd.DataFrame, ece: float) -> Picture:
    """Draw accuracy against confidence, and how many rows each bin has.

    Args:
        frame: a row per bin with low, high, count, confidence and accuracy (fractions), as from `metrics.reliability`.
        ece: the expected calibration error from 0 to 1, as from `metrics.expected_calibration_error`.

    Raises:
        ValueError: a column is missing, ece is not a fraction, or no bin has rows.

    >>> frame = pd.DataFrame({"low": [0.5], "high": [1.0], "count": [10], "confidence": [0.9], "accuracy": [0.6]})
    >>> print(reliability_diagram(frame, ece=0.3).summary)
    ECE 30.0 points over 10 rows: mean confidence 90.0 %, accuracy 60.0 %. The bin 50 to 100 % adds most to it.
    """
    columns = ["low", "high", "confidence", "accuracy", "count"]
    require(set(columns) <= set(frame), f"frame has the columns {[*frame]}: it needs {', '.join(columns)}")
    require(0 <= ece <= 1, f"ece is {ece}: pass a fraction from 0 to 1")
    require(frame["count"].sum() > 0, "frame has no bin with rows: there is nothing to draw")
    filled = frame.loc[frame["count"] > 0, columns].to_numpy(dtype=float)
    (low, high, confidence, accuracy), count = 100 * filled[:, :4].T, filled[:, 4]
    with card_style():
        picture = new_picture(7, 5.2, f"Reliability: expected calibration error {100 * ece:.1f} points")
        axes, below = picture.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        axes.bar(low, accuracy, high - low, align="edge", color=SKY, edgecolor=INK, label="accuracy")
        # Hatched, because the gap lies partly over the bar: the reader must see the bar through it.
        gap = {"color": "none", "edgecolor": RED, "hatch": "///", "label": "gap to mean confidence"}
        axes.bar(low, confidence - accuracy, high - low, bottom=accuracy, align="edge", **gap)
        axes.plot([0, 100], [0, 100], color=INK, linestyle="--", label="perfectly calibrated")
        axes.set(ylabel="accuracy (%)", xlim=(0, 100), ylim=(0, 100))
        axes.legend(loc="upper left")
        bars = below.bar(low, count, high - low, align="edge", color=GREY, edgecolor=INK)
        below.bar_label(bars, [f"{n:,.0f}" for n in count], padding=2, fontsize=7)
        below.set(xlabel="top probability (%)", ylabel="rows", ylim=(0, 1.35 * count.max()))
        below.yaxis.set_major_formatter("{x:,.0f}")
    worst = (count * abs(confidence - accuracy)).argmax()
    summary = f"ECE {100 * ece:.1f} points over {count.sum():,.0f} rows: mean confidence "
    summary += f"{np.average(confidence, weights=count):.1f} %, accuracy {np.average(accuracy, weights=count):.1f} %. "
    summary += f"The bin {low[worst]:.0f} to {high[worst]:.0f} % adds most to it."
    bins = zip(low, high, accuracy, count, strict=True)
    listed = "; ".join(f"{start:.0f} to {end:.0f} %: {share:.0f} %, {n:,.0f}" for start, end, share, n in bins)
    alt = f"Reliability diagram. Bins of the top probability, their accuracy and rows: {listed}."
    return finish(picture, alt, summary)


def score_bars(frame: pd.DataFrame, measure: str = "score (%)", title: str = "Scores and their intervals") -> Picture:
    """Draw scores, or differences between scores, with their confidence intervals, in the order given.

    Args:
        frame: a row per model with score, low and high in percentage points. A row with NaN in low and high has no
            interval, such as a published number, and gets a hollow marker.
        measure: the name of the axis.
        title: of the picture. If a number is negative, as with differences, a line marks 0.

    Raises:
        ValueError: a column is missing, a score is NaN or outside of its interval, or all scores are 1 or less, which
            means fractions.

    >>> frame = pd.DataFrame({"score": [31.3, 62.0], "low": [29.0, 60.1], "high": [33.5, 63.8]}, ["majority", "ours"])
    >>> print(score_bars(frame).summary)
    Highest: ours with 62.0 [60.1, 63.8]; lowest: majority with 31.3 [29.0, 33.5].
    """
    score, low, high = check_scores(frame)
    names = to_strings(frame.index)
    intervals = ["" if np.isnan(start) else f" [{start:.1f}, {end:.1f}]" for start, end in zip(low, high, strict=True)]
    texts = [f"{value:.1f}{interval}" for value, interval in zip(score, intervals, strict=True)]
    with card_style():
        picture = new_picture(8, 1.1 + 0.32 * len(names), title)
        axes = picture.subplots()
        axes.hlines(range(len(names)), low, high, color=BLUE, linewidth=2.5)
        for i, text in enumerate(texts):
            axes.plot(score[i], i, "o", color=BLUE, markerfacecolor=PAPER if np.isnan(low[i]) else BLUE)
            # x in parts of the axes, y in rows: the texts form a column at the right of the axes
            axes.text(1.02, i, text, transform=axes.get_yaxis_transform(), va="center")
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel=measure, ylim=(len(names) - 0.4, -0.6))
        axes.grid(axis="x", color=PALE)
        if np.nanmin([score, low]) < 0:
            axes.axvline(0, color=INK, linewidth=1)
    most, least = score.argmax(), score.argmin()
    summary = f"Highest: {names[most]} with {texts[most]}; lowest: {names[least]} with {texts[least]}."
    listed = "; ".join(f"{name} {text}" for name, text in zip(names, texts, strict=True))
    return finish(picture, f"Points with intervals, {measure}. {listed}.", summary)


def check_scores(frame: pd.DataFrame) -> NDArray[Any]:
    """Check the argument of `score_bars`, and return its columns score, low and high, [3, models]."""
    require({"score", "low", "high"} <= set(frame), f"frame has {[*frame]}: it needs score, low and high")
    require(len(frame), "frame has no rows: pass one per model")
    score, low, high = values = frame[["score", "low", "high"]].to_numpy(dtype=float).T
    require(np.nanmax(score) > 1, "all scores are 1 or less: pass percentage points, 100 times the fraction")
    # A comparison with NaN is false, so a row without an interval passes.
    wrong = (low > score) | (high < score) | np.isnan(score)
    require(not wrong.any(), f"frame, row {frame.index[wrong.argmax()]}: the score is NaN or outside of its interval")
    return values
