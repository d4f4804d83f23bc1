"""Figures about a corpus: how its labels are distributed, and how long its texts are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from .style import (
    BLUE,
    GREY,
    INK,
    MAX_CLASSES,
    PALE,
    SKY,
    Picture,
    card_style,
    finish,
    new_picture,
    require,
    to_numbers,
    to_strings,
    width_of,
)


def label_distribution(counts: pd.DataFrame) -> Picture:
    """Draw the share of each label in each split. Of more than 20 labels, it shows the largest and the smallest.

    Args:
        counts: numbers of rows, with a label per row of the DataFrame and a split per column.

    Raises:
        ValueError: counts is empty, contains NaN or negative numbers, or has a split without rows.

    >>> counts = pd.DataFrame({"train": [60, 40], "test": [5, 5]}, index=["neutral", "joy"])
    >>> print(label_distribution(counts).summary.split(". ")[1])
    Between splits, shares differ most for neutral: by 10.0 points.
    """
    table, names, splits = to_numbers("counts", counts, ndim=2), to_strings(counts.index), to_strings(counts.columns)
    totals = table.sum(axis=0)
    require((totals > 0).all(), "counts has a split without rows: drop that column")
    shares = 100 * table / totals  # [labels, splits]
    width = max(8.0, width_of(names) + 2.2 * len(splits))
    shown, title = np.arange(len(names)), "Share of rows per label (number of rows)"
    if len(names) > MAX_CLASSES:
        half = MAX_CLASSES // 2
        by_size = np.argsort(-shares[:, 0], kind="stable")
        shown = np.concatenate([by_size[:half], by_size[-half:]])
        title += f": the {half} largest and the {half} smallest of {len(names)}"
    with card_style():
        picture = new_picture(width, 0.9 + 0.3 * len(shown), title)
        panels = picture.subplots(1, len(splits), sharex=True, sharey=True, squeeze=False)[0]
        for j, panel in enumerate(panels):
            texts = [f"{shares[i, j]:.1f} % ({table[i, j]:,.0f})" for i in shown]
            panel.bar_label(panel.barh(range(len(shown)), shares[shown, j], color=BLUE), texts, padding=3)
            panel.set_title(f"{splits[j]}: {totals[j]:,.0f} rows")
            # Each bar has its number, so an axis with ticks would say the same again.
            panel.spines["bottom"].set_visible(False)
            panel.tick_params(left=False, bottom=False, labelbottom=False)
        panels[0].set_yticks(range(len(shown)), [names[i] for i in shown])
        for_text = 1.15 * len(splits) / (width - width_of(names) - 0.5)  # the part of a panel that texts need
        panels[0].set(xlim=(0, shares.max() / (1 - for_text)), ylim=(len(shown) - 0.4, -0.6))
    first, largest, smallest = shares[:, 0], shares[:, 0].argmax(), shares[:, 0].argmin()
    summary = f"{names[largest]} is the largest class of {splits[0]} with {first[largest]:.1f} % of {totals[0]:,.0f} "
    summary += f"rows; {names[smallest]} the smallest with {first[smallest]:.1f} %."
    if len(splits) > 1:
        spread = np.ptp(shares, axis=1)  # the largest minus the smallest share of each label
        widest = f"{names[spread.argmax()]}: by {spread.max():.1f} points"
        summary += f" Between splits, shares differ most for {widest}."
    listed = ", ".join(f"{names[i]} {first[i]:.1f} %" for i in shown)
    return finish(picture, f"Bars of label shares for {', '.join(splits)}. In {splits[0]}: {listed}.", summary)


def length_histogram(lengths: ArrayLike, padded_to: int = 128, max_tokens: int | None = None) -> Picture:
    """Draw how many tokens the rows have; the summary says what padding every row to one length would cost.

    Args:
        lengths: [rows] numbers of tokens.
        padded_to: the length that each row would be padded to. Longer rows would be cut.
        max_tokens: the token budget of a batch. With it, the summary says how many rows fit into a batch.

    Raises:
        ValueError: lengths is empty, has no tokens, or contains NaN or negative numbers, or padded_to is below 1.

    >>> print(length_histogram([8, 8, 16], padded_to=16, max_tokens=64).summary.split(". ")[1])
    Padded to 16, 33.3 % of all tokens would be padding and 0 rows cut
    """
    tokens = to_numbers("lengths", lengths, ndim=1)
    require(padded_to > 0, f"padded_to is {padded_to}: use 1 or more")
    require(tokens.sum() > 0, "lengths contains only zeros: pass rows that have tokens")
    median, percentile_95, longest = np.median(tokens), np.percentile(tokens, 95), tokens.max()
    step = np.ceil(longest / 60)  # whole tokens, so that all bars cover equally many lengths; up to 60 bars
    heights, edges = np.histogram(tokens, np.arange(0, longest + step + 1, step) - 0.5)
    peak = heights.max()
    with card_style():
        picture = new_picture(8, 3.4, f"Tokens per row ({len(tokens):,} rows)")
        axes = picture.subplots()
        axes.stairs(heights, edges, fill=True, color=SKY)
        axes.set(xlabel="tokens", ylabel="rows", xlim=(0, 1.25 * longest), ylim=(0, 1.4 * peak))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        # Each text is at the right of its own line and above all later lines, so that no line crosses a text.
        marks = (("median", median, 1.36), ("95 % of rows", percentile_95, 1.24), ("longest", longest, 1.12))
        for name, value, top in marks:
            axes.vlines(value, 0, top * peak, color=INK, linewidth=1)
            axes.text(value, top * peak, f" {name}: {value:,.0f}", va="top")
    padding = 1 - np.minimum(tokens, padded_to).mean() / padded_to
    summary = f"Half of the rows have up to {median:,.0f} tokens, 95 % up to {percentile_95:,.0f}, the longest has "
    summary += f"{longest:,.0f}. Padded to {padded_to}, {100 * padding:.1f} % of all tokens would be padding and "
    summary += f"{np.count_nonzero(tokens > padded_to):,} rows cut."
    if max_tokens is not None:
        summary += f" A budget of {max_tokens:,} tokens holds {max_tokens // padded_to:,} rows of that length, or "
        summary += f"{max_tokens / tokens.mean():,.0f} rows of the mean length, {tokens.mean():.1f}."
    return finish(picture, f"Histogram of tokens per row; median {median:,.0f}, longest {longest:,.0f}.", summary)


def batch_shape(lengths: ArrayLike, padded_to: int | None = None) -> Picture:
    """Draw a batch as the rectangle that it becomes: the tokens of each text, and the padding that fills it up.

    Args:
        lengths: [texts] numbers of tokens.
        padded_to: the width of the rectangle; longer texts are cut. Default: the longest text.

    Raises:
        ValueError: lengths is empty, has no tokens, or contains NaN or negative numbers, or padded_to is below 1.

    >>> print(batch_shape([3, 9]).summary)
    2 texts of up to 9 tokens: 12 tokens and 6 of padding, which is 33.3 % of what is computed.
    """
    tokens = to_numbers("lengths", lengths, ndim=1)
    width = int(tokens.max()) if padded_to is None else padded_to
    require(width > 0, f"padded_to is {padded_to}, the longest text has {tokens.max():.0f} tokens: use 1 or more")
    kept = np.minimum(tokens, width)
    with card_style():
        picture = new_picture(8, 1.1 + 0.16 * len(tokens), "A batch: tokens, and the padding that fills it up")
        axes = picture.subplots()
        rows = range(len(tokens))
        axes.barh(rows, kept, 0.8, color=BLUE, label="tokens")
        axes.barh(rows, width - kept, 0.8, left=kept, color=PALE, hatch="///", edgecolor=GREY, label="padding")
        axes.set(xlim=(0, width), ylim=(len(tokens) - 0.4, -0.6), xlabel="tokens", ylabel="texts", yticks=[])
        axes.legend(loc="upper right", bbox_to_anchor=(1, 1.0 + 0.5 / (1.1 + 0.16 * len(tokens))), ncols=2)
    padding = width * len(tokens) - kept.sum()
    share = 100 * padding / (width * len(tokens))
    summary = (
        f"{len(tokens):,} texts of up to {width:,} tokens: {kept.sum():,.0f} tokens and {padding:,.0f} of padding, "
    )
    summary += f"which is {share:.1f} % of what is computed."
    return finish(picture, f"Bars of tokens and padding, one for each text. {summary}", summary)
