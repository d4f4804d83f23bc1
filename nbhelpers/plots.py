"""Every figure of the course, without torch; each also says in words what it shows.

A function takes plain numbers or a DataFrame and returns a `Picture`: a matplotlib Figure with `alt` (a description for
screen readers) and `summary` (the finding in one line). `show(picture)` gives both to the reader of a notebook. Colors
stay apart for color-blind readers (Okabe and Ito 2008; cividis) and never carry a meaning alone. Your own matplotlib
settings are left as they are. Every function raises ValueError on a wrong call.
"""

import io
import sys
from collections.abc import Iterable
from itertools import cycle, pairwise
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, style
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import blended_transform_factory
from numpy.typing import ArrayLike, NDArray
from PIL import Image

INK, PALE, PAPER, GREY = "#1f2328", "#d0d7de", "#ffffff", "#999999"
BLUE, ORANGE, GREEN, RED, PURPLE, SKY = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9"
# Color and marker by label name, the same in every figure; labels of other data sets take the next of OTHERS.
EMOTIONS = {"neutral": (GREY, "o"), "surprise": (SKY, "*"), "fear": (PURPLE, "D"), "sadness": (BLUE, "v")}
EMOTIONS |= {"joy": (ORANGE, "^"), "disgust": (GREEN, "X"), "anger": (RED, "s")}
OTHERS = [(color, marker) for marker in "Pphd<>8H" for color in (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)]
CURVES = {"train_loss": (RED, "s"), "dev_loss": (BLUE, "o"), "dev_weighted_f1": (GREEN, "D")}
LINES: list[Any] = ["-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3))]
# An opaque light card reads the same in light and dark notebooks. "default" comes first so that a user's style does not
# mix in, and texts are data: a dollar sign in one starts no formula.
CARD: list[Any] = ["default", {"figure.facecolor": PAPER, "font.size": 9, "text.color": INK, "text.parse_math": False}]
CARD[1] |= {"xtick.color": INK, "ytick.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK}
CARD[1] |= {"axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9, "axes.titlelocation": "left"}
CARD[1] |= {"figure.constrained_layout.w_pad": 0.12, "figure.constrained_layout.h_pad": 0.08, "legend.frameon": False}


class Picture(Figure):
    """A Figure with its text twins. It is not registered with pyplot, so no notebook shows it a second time."""

    alt: str = ""
    summary: str = ""

    def _ipython_display_(self) -> None:  # what Jupyter calls for a Picture at the end of a cell
        show(self)

    def draw(self, renderer: Any) -> None:  # matplotlib reads some settings only when it draws
        with style.context(CARD):
            super().draw(renderer)

    def png(self) -> bytes:
        """The picture as a PNG of 256 colors: a third of the size, and no color moves visibly."""
        full, small = io.BytesIO(), io.BytesIO()
        with style.context(CARD):
            self.savefig(full, format="png", dpi=100)
        # Not the default median cut: it may give two small markers of different emotions the same color.
        colors = Image.open(full).convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE)
        colors.save(small, format="png", optimize=True)
        return small.getvalue()


def show(picture: Picture) -> None:
    """Display the picture with its alt text in a notebook, and print its summary, in a notebook or not.

    >>> show(label_distribution(pd.DataFrame({"train": [3, 1]}, index=["neutral", "joy"])))
    neutral is the largest class of train with 75.0 % of 4 rows; joy the smallest with 25.0 %.
    """
    if "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None:
        from IPython.display import display

        twins = {"image/png": picture.png(), "text/plain": picture.alt}
        display(twins, metadata={"image/png": {"alt": picture.alt}}, raw=True)
    print(picture.summary)


def label_distribution(counts: pd.DataFrame) -> Picture:
    """The share of each label in each split. `counts`: rows per label (index) and split (columns).

    >>> counts = pd.DataFrame({"train": [60, 40], "test": [5, 5]}, index=["neutral", "joy"])
    >>> print(label_distribution(counts).summary.split(". ")[1])
    Between splits, shares differ most for neutral: by 10.0 points.
    """
    table, names, splits = _numbers("counts", counts, ndim=2), _words(counts.index), _words(counts.columns)
    totals = table.sum(axis=0)
    _need((totals > 0).all(), "counts has a split without rows: drop that column")
    shares = 100 * table / totals  # [labels, splits]
    width = max(8.0, _inches(names) + 2.2 * len(splits))
    with style.context(CARD):
        picture = _picture(width, 0.9 + 0.3 * len(names), "Share of rows per label (number of rows)")
        panels = picture.subplots(1, len(splits), sharex=True, sharey=True, squeeze=False)[0]
        for j, panel in enumerate(panels):
            texts = [f"{share:.1f} % ({count:,.0f})" for share, count in zip(shares[:, j], table[:, j], strict=True)]
            panel.bar_label(panel.barh(range(len(names)), shares[:, j], color=BLUE), texts, padding=3)
            panel.set_title(f"{splits[j]}: {totals[j]:,.0f} rows")
            panel.spines["bottom"].set_visible(False)
            panel.tick_params(left=False, bottom=False, labelbottom=False)
        panels[0].set_yticks(range(len(names)), names)
        for_text = 1.15 * len(splits) / (width - _inches(names) - 0.5)  # part of a panel's width, free for texts
        panels[0].set(xlim=(0, shares.max() / (1 - for_text)), ylim=(len(names) - 0.4, -0.6))
        first, most, least = shares[:, 0], shares[:, 0].argmax(), shares[:, 0].argmin()
        summary = f"{names[most]} is the largest class of {splits[0]} with {first[most]:.1f} % of {totals[0]:,.0f} "
        summary += f"rows; {names[least]} the smallest with {first[least]:.1f} %."
        if len(splits) > 1:
            spread = np.ptp(shares, axis=1)
            widest = f"{names[spread.argmax()]}: by {spread.max():.1f} points"
            summary += f" Between splits, shares differ most for {widest}."
        listed = ", ".join(f"{name} {share:.1f} %" for name, share in zip(names, first, strict=True))
        return _finish(picture, f"Bars of label shares for {', '.join(splits)}. In {splits[0]}: {listed}.", summary)


def length_histogram(lengths: ArrayLike, padded_to: int = 128, max_tokens: int | None = None) -> Picture:
    """Tokens per row, and in the summary what padding every row to `padded_to` costs (longer rows count as cut).

    `max_tokens` is the budget of a batch in tokens; the summary then says how many rows fit into it.

    >>> print(length_histogram([8, 8, 16], padded_to=16, max_tokens=64).summary.split(". ")[1])
    Padded to 16, 33.3 % of all tokens would be padding and 0 rows cut
    """
    tokens = _numbers("lengths", lengths, ndim=1)
    _need(padded_to > 0 and tokens.sum() > 0, f"padded_to is {padded_to}: use 1 or more, and rows that have tokens")
    median, most, longest = np.median(tokens), np.percentile(tokens, 95), tokens.max()
    step = np.ceil(longest / 60)  # whole tokens per bar, up to 60 bars
    heights, edges = np.histogram(tokens, np.arange(0, longest + step + 1, step) - 0.5)
    peak = heights.max()
    with style.context(CARD):
        picture = _picture(8, 3.4, f"Tokens per row ({len(tokens):,} rows)")
        axes = picture.subplots()
        axes.stairs(heights, edges, fill=True, color=SKY)
        axes.set(xlabel="tokens", ylabel="rows", xlim=(0, 1.25 * longest), ylim=(0, 1.4 * peak))
        axes.yaxis.set_major_formatter("{x:,.0f}")
        # Each text stands right of its line and above all later lines, so that no line crosses a text.
        for name, value, top in (("median", median, 1.36), ("95 % of rows", most, 1.24), ("longest", longest, 1.12)):
            axes.vlines(value, 0, top * peak, color=INK, linewidth=1)
            axes.text(value, top * peak, f" {name}: {value:,.0f}", va="top")
        padding = 1 - np.minimum(tokens, padded_to).mean() / padded_to
        summary = f"Half of the rows have up to {median:,.0f} tokens, 95 % up to {most:,.0f}, the longest has "
        summary += f"{longest:,.0f}. Padded to {padded_to}, {100 * padding:.1f} % of all tokens would be padding and "
        summary += f"{np.count_nonzero(tokens > padded_to):,} rows cut."
        if max_tokens is not None:
            summary += f" A budget of {max_tokens:,} tokens holds {max_tokens // padded_to:,} rows of that length, or "
            summary += f"{max_tokens / tokens.mean():,.0f} rows of the mean length, {tokens.mean():.1f}."
        return _finish(picture, f"Histogram of tokens per row; median {median:,.0f}, longest {longest:,.0f}.", summary)


def transitions(matrix: pd.DataFrame) -> Picture:
    """Which emotion follows which? `matrix`: counts of turn pairs, this turn's emotion by the next turn's (columns).

    >>> pairs = pd.DataFrame([[8, 2], [5, 5]], index=["neutral", "joy"], columns=["neutral", "joy"])
    >>> print(transitions(pairs).summary)
    The next turn keeps the emotion in 65.0 % of 20 pairs: neutral is kept most (80.0 %), joy least (50.0 %).
    """
    names, table, shares = _square("matrix", matrix)
    kept, texts = shares.diagonal(), [f"{share:.0f} %" for share in shares.flat]
    most, least = np.nanargmax(kept), np.nanargmin(kept)
    with style.context(CARD):
        title = "Emotion of the next turn, in % of each line (pairs per line)"
        picture = _heatmap(title, names, table, shares, texts, "this turn", "next turn")
        summary = f"The next turn keeps the emotion in {100 * table.trace() / table.sum():.1f} % of {table.sum():,.0f} "
        summary += f"pairs: {names[most]} is kept most ({kept[most]:.1f} %), "
        summary += f"{names[least]} least ({kept[least]:.1f} %)."
        return _finish(picture, f"Heat map, this turn by next turn. {_peaks(names, shares)}", summary)


def confusion_matrix(frame: pd.DataFrame) -> Picture:
    """Counts of gold labels (lines) by predicted ones (columns), as from `metrics.confusion`; color is % of the line.

    >>> frame = pd.DataFrame([[9, 1], [4, 6]], index=["neutral", "joy"], columns=["neutral", "joy"])
    >>> print(confusion_matrix(frame).summary)
    Recall is best for neutral (90.0 % of 10), worst for joy (60.0 % of 10). Most frequent error: joy as neutral (4).
    """
    names, table, shares = _square("frame", frame)
    texts = [f"{n:,.0f}\n{share:.0f} %" if n else "0" for n, share in zip(table.flat, shares.flat, strict=True)]
    recall, rows, errors = shares.diagonal(), table.sum(axis=1), table * (1 - np.eye(len(names)))
    best, worst = np.nanargmax(recall), np.nanargmin(recall)
    gold, predicted = np.unravel_index(errors.argmax(), errors.shape)
    with style.context(CARD):
        title = "Gold and predicted labels: rows, and % of each line (rows per line)"
        picture = _heatmap(title, names, table, shares, texts, "gold", "predicted")
        summary = f"Recall is best for {names[best]} ({recall[best]:.1f} % of {rows[best]:,.0f}), worst for "
        summary += f"{names[worst]} ({recall[worst]:.1f} % of {rows[worst]:,.0f}). Most frequent error: "
        summary += f"{names[gold]} as {names[predicted]} ({errors.max():,.0f})." if errors.any() else "none."
        return _finish(picture, f"Confusion matrix, gold by predicted. {_peaks(names, shares)}", summary)


def timeline(
    speakers: Iterable[str],
    emotions: Iterable[str],
    texts: Iterable[str] | None = None,
    names: Iterable[str] | None = None,
) -> Picture:
    """One dialogue from left to right, a lane per speaker, each turn marked and labelled with its emotion.

    `texts`, one per turn, are listed below, cut to one line, if there are at most 16. `names` is the full label list:
    with it, labels outside `EMOTIONS` look the same in every dialogue.

    >>> print(timeline(["Joey", "Ross", "Joey"], ["neutral", "neutral", "joy"]).summary)
    Turns: 3, speakers: 2. The emotion differs from the turn before in 1 of 2 cases; most frequent: neutral (2).
    """
    who, felt, said = _words(speakers), _words(emotions), _words([] if texts is None else texts)
    known, lanes, turns = sorted(set(felt)) if names is None else _words(names), list(dict.fromkeys(who)), len(felt)
    _need(turns > 0 and turns == len(who), f"{len(who)} speakers but {turns} emotions: pass one of each per turn")
    _need(len(said) in (0, turns), f"{len(said)} texts but {turns} emotions: pass one of each per turn")
    _need(set(felt) <= set(known), f"emotions {sorted(set(felt) - set(known))} are missing in names")
    looks = dict(zip([name for name in known if name not in EMOTIONS], cycle(OTHERS), strict=False)) | EMOTIONS
    upright = _inches(felt) > (8.3 - _inches(lanes)) / turns  # too narrow for horizontal words
    lane = 0.45 + (_inches(felt) if upright else 0.15)
    said = said if turns <= 16 else []
    with style.context(CARD):
        heights = [lane * len(lanes) + 0.6, 0.19 * len(said) + 0.01]
        picture = _picture(9, sum(heights) + 0.5, "Emotion of each turn")
        axes, below = picture.subplots(2, 1, height_ratios=heights)
        for turn, (speaker, emotion) in enumerate(zip(who, felt, strict=True), start=1):
            color, marker = looks[emotion]
            at, size = (turn, lanes.index(speaker)), 13 if marker == "*" else 9
            axes.plot(*at, color=color, marker=marker, markersize=size, markeredgecolor=INK, markeredgewidth=0.7)
            above = {"xytext": (0, 8), "textcoords": "offset points", "ha": "center", "va": "bottom"}
            axes.annotate(emotion, at, **above, rotation=90 * upright)
        axes.hlines(range(len(lanes)), 0.5, turns + 0.5, color=PALE, linewidth=1, zorder=0)
        axes.set(xlabel="turn", xlim=(0.4, turns + 0.6), ylim=(len(lanes) - 1 + 0.2 / lane, -1 + 0.1 / lane))
        axes.set_xticks(range(1, turns + 1))
        axes.set_yticks(range(len(lanes)), lanes)
        below.set_axis_off()
        place = blended_transform_factory(picture.transFigure, below.transAxes)
        for i, words in enumerate(said):
            line = f"{i + 1}  {who[i]}: {' '.join(words.split())}"
            text = below.text(0.015, 1 - (i + 0.5) / turns, line, transform=place, fontsize=8, va="center")
            text.set_in_layout(False)  # it starts left of its axes on purpose
            fits = 0.96 * picture.bbox.width / text.get_window_extent().width
            text.set_text(line if fits >= 1 else line[: int(fits * len(line)) - 2].rstrip() + "…")
        changes, most = sum(a != b for a, b in pairwise(felt)), max(dict.fromkeys(felt), key=felt.count)
        summary = f"Turns: {turns}, speakers: {len(lanes)}. The emotion differs from the turn before in {changes} of "
        summary += f"{turns - 1} cases; most frequent: {most} ({felt.count(most)})."
        listed = "; ".join(f"{i + 1} {who[i]}: {felt[i]}" for i in range(turns))
        return _finish(picture, f"Timeline of a dialogue, a lane per speaker. {listed}.", summary)


def learning_curves(history: pd.DataFrame) -> Picture:
    """Losses and dev weighted F1 over training. `history`: a line per measurement, NaN where something is not measured.

    Columns: `epoch` or else `step`; any of `train_loss`, `dev_loss`, `dev_weighted_f1` (0 to 1, drawn in %); optionally
    `run`, up to six names, told apart by line style.

    >>> history = pd.DataFrame({"epoch": [1, 2, 3], "dev_loss": [1.2, 1.0, 1.1], "dev_weighted_f1": [0.5, 0.6, 0.58]})
    >>> print(learning_curves(history).summary)
    Lowest dev loss 1.000 at epoch 2; highest dev weighted F1 60.0 % at epoch 2.
    """
    x = "epoch" if "epoch" in history else "step"
    measured = [name for name in CURVES if name in history and history[name].notna().any()]
    _need(x in history and measured, f"history has {[*history]}: it needs epoch or step, and one of {[*CURVES]}")
    top = history["dev_weighted_f1"].max() if "dev_weighted_f1" in measured else 0
    _need(top <= 1, f"dev_weighted_f1 goes up to {top:g}: pass fractions from 0 to 1, not percent")
    run_of = history["run"].astype(str) if "run" in history else pd.Series("", index=history.index)
    runs = list(dict.fromkeys(run_of))
    _need(len(runs) <= len(LINES), f"history has {len(runs)} runs: draw at most {len(LINES)}, or their mean")
    panels = [[name for name in measured if name.endswith(end)] for end in ("loss", "f1")]
    with style.context(CARD):
        columns = int(max(1, 7.5 // (_inches(runs) + 0.7)))
        picture = _picture(8, 3.5 + 0.2 * (len(runs) // columns), "Learning curves")
        all_axes = picture.subplots(1, sum(map(bool, panels)), squeeze=False)[0]
        for axes, panel in zip(all_axes, filter(None, panels), strict=True):
            for name in panel:
                color, marker = CURVES[name]
                look: dict[str, Any] = {"color": color, "marker": marker, "markersize": 4}
                for run, line in zip(runs, LINES, strict=False):
                    points = history.loc[run_of == run, [x, name]].dropna()
                    y = points[name] * (100 if name.endswith("f1") else 1)
                    axes.plot(points[x], y, linestyle=line, markevery=len(points) // 15 + 1, **look)
                axes.plot([], [], label=_plain(name), **look)
            axes.set(xlabel=x, ylabel="loss" if panel[0].endswith("loss") else "%")
            axes.set_xlim(-0.03 * history[x].max(), 1.03 * history[x].max())
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
            axes.grid(axis="y", color=PALE)
            axes.legend(loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=2)
        if len(runs) > 1:
            handles = [Line2D([], [], color=INK, linestyle=LINES[i], label=run) for i, run in enumerate(runs)]
            picture.legend(handles=handles, loc="outside lower left", ncols=columns, handlelength=4)
        facts = []
        for name in measured:
            values, is_f1 = history[name].to_numpy(dtype=float), name.endswith("f1")
            best = int(np.nanargmax(values if is_f1 else -values))
            value = f"{100 * values[best]:.1f} %" if is_f1 else f"{values[best]:.3f}"
            place = f"{x} {history[x].iloc[best]:g}" + (f" of {run_of.iloc[best]}" if len(runs) > 1 else "")
            facts.append(f"{'highest' if is_f1 else 'lowest'} {_plain(name)} {value} at {place}")
        summary = "; ".join(facts)
        listed = "; ".join(f"{_plain(name)} from {_ends(history[name])}" for name in measured)
        listed += f"; runs: {', '.join(runs)}" if len(runs) > 1 else ""
        return _finish(picture, f"Curves over {x}: {listed}.", f"{summary[0].upper()}{summary[1:]}.")


def reliability_diagram(frame: pd.DataFrame, ece: float) -> Picture:
    """Accuracy against confidence, per bin; `frame` and `ece` as from `metrics.reliability` and its ECE (0 to 1).

    >>> frame = pd.DataFrame({"low": [0.5], "high": [1.0], "count": [10], "confidence": [0.9], "accuracy": [0.6]})
    >>> print(reliability_diagram(frame, ece=0.3).summary)
    ECE 30.0 points over 10 rows: mean confidence 90.0 %, accuracy 60.0 %. The bin 50 to 100 % adds most to it.
    """
    columns = ["low", "high", "confidence", "accuracy", "count"]
    _need(set(columns) <= set(frame), f"frame has the columns {[*frame]}: it needs {', '.join(columns)}")
    _need(0 <= ece <= 1 and frame["count"].sum() > 0, f"ece is {ece}: pass a fraction from 0 to 1, and bins with rows")
    filled = frame.loc[frame["count"] > 0, columns].to_numpy(dtype=float)
    (low, high, sure, right), count = 100 * filled[:, :4].T, filled[:, 4]
    with style.context(CARD):
        picture = _picture(7, 5.2, f"Reliability: expected calibration error {100 * ece:.1f} points")
        axes, below = picture.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        axes.bar(low, right, high - low, align="edge", color=SKY, edgecolor=INK, label="accuracy")
        gap = {"color": "none", "edgecolor": RED, "hatch": "///", "label": "gap to mean confidence"}
        axes.bar(low, sure - right, high - low, bottom=right, align="edge", **gap)
        axes.plot([0, 100], [0, 100], color=INK, linestyle="--", label="perfectly calibrated")
        axes.set(ylabel="accuracy (%)", xlim=(0, 100), ylim=(0, 100))
        axes.legend(loc="upper left")
        bars = below.bar(low, count, high - low, align="edge", color=GREY, edgecolor=INK)
        below.bar_label(bars, [f"{n:,.0f}" for n in count], padding=2, fontsize=7)
        below.set(xlabel="top probability (%)", ylabel="rows", ylim=(0, 1.35 * count.max()))
        below.yaxis.set_major_formatter("{x:,.0f}")
        worst = (count * abs(sure - right)).argmax()
        summary = f"ECE {100 * ece:.1f} points over {count.sum():,.0f} rows: mean confidence "
        summary += f"{np.average(sure, weights=count):.1f} %, accuracy {np.average(right, weights=count):.1f} %. "
        summary += f"The bin {low[worst]:.0f} to {high[worst]:.0f} % adds most to it."
        bins = "; ".join(
            f"{a:.0f} to {b:.0f} %: {r:.0f} %, {n:,.0f}" for a, b, r, n in zip(low, high, right, count, strict=True)
        )
        alt = f"Reliability diagram. Bins of the top probability, their accuracy and rows: {bins}."
        return _finish(picture, alt, summary)


def score_bars(frame: pd.DataFrame, measure: str = "score (%)") -> Picture:
    """Scores with their intervals, in the order given. `frame`: a line per model; score, low, high in percent points.
    `measure` names the axis.

    A line without an interval (low and high NaN), such as a published number, gets a hollow marker.

    >>> frame = pd.DataFrame({"score": [31.3, 62.0], "low": [29.0, 60.1], "high": [33.5, 63.8]}, ["majority", "ours"])
    >>> print(score_bars(frame).summary)
    Highest: ours with 62.0 [60.1, 63.8]; lowest: majority with 31.3 [29.0, 33.5].
    """
    _need({"score", "low", "high"} <= set(frame) and len(frame), f"frame has {[*frame]}: it needs score, low and high")
    score, low, high = values = frame[["score", "low", "high"]].to_numpy(dtype=float).T
    _need(np.nanmax(score) > 1, "all scores are 1 or less: pass percent points, 100 times the fraction")
    _need(not ((low > score) | (high < score) | np.isnan(score)).any(), "a score is NaN or outside of its interval")
    names = _words(frame.index)
    texts = [f"{s:.1f}" if np.isnan(a) else f"{s:.1f} [{a:.1f}, {b:.1f}]" for s, a, b in values.T]
    with style.context(CARD):
        picture = _picture(8, 1.1 + 0.32 * len(names), "Scores and their intervals")
        axes = picture.subplots()
        axes.hlines(range(len(names)), low, high, color=BLUE, linewidth=2.5)
        for i, text in enumerate(texts):
            axes.plot(score[i], i, "o", color=BLUE, markerfacecolor=PAPER if np.isnan(low[i]) else BLUE)
            axes.text(1.02, i, text, transform=axes.get_yaxis_transform(), va="center")
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel=measure, ylim=(len(names) - 0.4, -0.6))
        axes.grid(axis="x", color=PALE)
        most, least = score.argmax(), score.argmin()
        summary = f"Highest: {names[most]} with {texts[most]}; lowest: {names[least]} with {texts[least]}."
        listed = "; ".join(f"{name} {text}" for name, text in zip(names, texts, strict=True))
        return _finish(picture, f"Points with intervals, {measure}. {listed}.", summary)


def class_probabilities(frame: pd.DataFrame) -> Picture:
    """What a model answers for one text under several conditions. `frame`: a line per condition, a column per class.

    >>> frame = pd.DataFrame([[0.6, 0.3, 0.1], [0.1, 0.9, 0]], ["alone", "in context"], ["neutral", "joy", "anger"])
    >>> print(class_probabilities(frame).summary)
    alone: neutral 60 %; in context: joy 90 %. joy moves most, by 60 points.
    """
    table, conditions, names = 100 * _numbers("frame", frame, ndim=2), _words(frame.index), _words(frame.columns)
    _need(np.allclose(table.sum(axis=1), 100, atol=1), "a line of frame does not sum to 1: use softmax")
    styles = [(GREY, ""), (BLUE, "///"), (ORANGE, "..."), (GREEN, "xx")]
    thick = 0.8 / len(conditions)
    with style.context(CARD):
        picture = _picture(8, 1.2 + 0.18 * len(names) * (1 + len(conditions)), "Probability of each class (%)")
        axes = picture.subplots()
        for i, condition in enumerate(conditions):
            place, (color, hatch) = np.arange(len(names)) + (i - (len(conditions) - 1) / 2) * thick, styles[i % 4]
            bars = axes.barh(place, table[i], thick, color=color, hatch=hatch, edgecolor=PAPER, label=condition)
            axes.bar_label(bars, [f"{value:.0f}" for value in table[i]], padding=3, fontsize=7)
        axes.set_yticks(range(len(names)), names)
        axes.set(xlim=(0, 110), ylim=(len(names) - 0.4, -0.6))
        axes.legend(loc="upper right", bbox_to_anchor=(1, 1.12), ncols=len(conditions))
        tops = [f"{c}: {names[row.argmax()]} {row.max():.0f} %" for c, row in zip(conditions, table, strict=True)]
        summary, spread = "; ".join(tops) + ".", np.ptp(table, axis=0)
        if len(conditions) > 1:
            summary += f" {names[spread.argmax()]} moves most, by {spread.max():.0f} points."
        listed = [", ".join(f"{n} {v:.0f}" for n, v in zip(names, row, strict=True)) for row in table]
        alt = "; ".join(f"{condition}: {values}" for condition, values in zip(conditions, listed, strict=True))
        return _finish(picture, f"Bars of class probabilities in percent. {alt}.", summary)


def dropout_spread(passes: ArrayLike, texts: Iterable[str], names: Iterable[str]) -> Picture:
    """What a model answers for each text in several passes with different dropout masks, a dot for each pass.

    `passes`: probabilities [passes, texts, classes]; `names`: the classes.

    >>> passes = [[[0.6, 0.4], [0.9, 0.1]], [[0.4, 0.6], [0.8, 0.2]]]
    >>> print(dropout_spread(passes, ["Fine.", "Great!"], ["neutral", "joy"]).summary)
    2 passes: the largest class changes for 1 of 2 texts; neutral of text 1 moves most, from 40 to 60 %.
    """
    table, said, classes = 100 * _numbers("passes", passes, ndim=3), _words(texts), _words(names)
    shape, wanted = (len(said), len(classes)), f"[passes, {len(said)} texts, {len(classes)} names]"
    _need(table.shape[1:] == shape, f"passes has shape {table.shape}: pass {wanted}")
    _need(np.allclose(table.sum(axis=2), 100, atol=1), "a pass does not sum to 1 over the classes: use softmax")
    low, high, count = table.min(axis=0), table.max(axis=0), len(table)  # [texts, classes]
    apart = np.linspace(-0.3, 0.3, count) if count > 1 else np.zeros(1)  # one height for each pass, so that dots part
    with style.context(CARD):
        title = f"Probability of each class (%) in {count} passes with dropout"
        picture = _picture(8, 0.9 + len(said) * (0.45 + 0.26 * len(classes)), title)
        panels = picture.subplots(len(said), 1, sharex=True, squeeze=False)[:, 0]
        for i, panel in enumerate(panels):
            for j, (a, b) in enumerate(zip(low[i], high[i], strict=True)):
                panel.plot(table[:, i, j], j + apart, "o", color=BLUE, markersize=4, markerfacecolor="none")
                panel.text(1.01, j, f"{a:.0f} to {b:.0f}", transform=panel.get_yaxis_transform(), va="center")
            panel.set_yticks(range(len(classes)), classes)
            panel.set(xlim=(-1, 101), ylim=(len(classes) - 0.5, -0.5))
            panel.grid(axis="x", color=PALE)
            line = f"{i + 1}  {' '.join(said[i].split())}"
            panel.set_title(line if len(line) <= 90 else line[:88].rstrip() + "…")
        panels[-1].set_xlabel("%")
        changed = sum(len(set(table[:, i].argmax(axis=1))) > 1 for i in range(len(said)))
        text, widest = np.unravel_index((high - low).argmax(), shape)
        summary = f"{count} passes: the largest class changes for {changed} of {len(said)} texts; {classes[widest]} of "
        summary += f"text {text + 1} moves most, from {low[text, widest]:.0f} to {high[text, widest]:.0f} %."
        ranges = [", ".join(f"{name} {low[i, j]:.0f} to {high[i, j]:.0f}" for j, name in enumerate(classes))
                  for i in range(len(said))]  # fmt: skip
        listed = "; ".join(f"text {i}: {words}" for i, words in enumerate(ranges, start=1))
        return _finish(picture, f"Dots of class probabilities in percent, ranges over the passes. {listed}.", summary)


def run_curves(frame: pd.DataFrame, measure: str, over: str = "training") -> Picture:
    """One measure over training, a line per run. `frame`: a line per measurement (its index is the x axis, by name), a
    column per run (up to six), NaN where a run was not measured. `measure` names the y axis, `over` what x stands for.

    >>> frame = pd.DataFrame({"plain": [0.2, 0.4], "R-Drop": [0.2, 0.1]}, pd.Index([10, 20], name="update"))
    >>> print(run_curves(frame, "KL (nats)").summary)
    KL (nats) at the end: plain 0.4, R-Drop 0.1. Highest: 0.4 of plain at update 20.
    """
    table, x, runs = frame.to_numpy(dtype=float), str(frame.index.name or "step"), _words(frame.columns)
    _need(0 < len(runs) <= len(LINES), f"frame has {len(runs)} columns: pass one for each run, up to {len(LINES)}")
    _need(len(table) and (~np.isnan(table)).any(axis=0).all(), "a run in frame has no measurement: leave it out")
    colors = (BLUE, ORANGE, GREEN, RED, PURPLE, GREY)
    with style.context(CARD):
        picture = _picture(8, 3.4, f"{measure[0].upper()}{measure[1:]} over {over}")
        axes = picture.subplots()
        for i, run in enumerate(runs):
            known = frame.iloc[:, i].dropna()
            look = {"color": colors[i], "marker": "osD^vX"[i], "linestyle": LINES[i], "markersize": 4}
            axes.plot(known.index, known, label=run, markevery=len(known) // 15 + 1, **look)
        axes.set(xlabel=x, ylabel=measure, ylim=(min(0, 1.05 * np.nanmin(table)), None))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.grid(axis="y", color=PALE)
        columns = int(max(1, 7.5 // (_inches(runs) + 0.7)))
        axes.legend(loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=columns, handlelength=4)
        last = ", ".join(f"{run} {frame.iloc[:, i].dropna().iloc[-1]:.3g}" for i, run in enumerate(runs))
        line, best = divmod(int(np.nanargmax(table)), table.shape[1])
        summary = f"{measure} at the end: {last}. Highest: {table[line, best]:.3g} of {runs[best]} at {x} "
        summary += f"{frame.index[line]:g}."
        listed = "; ".join(f"{run} from {_ends(frame.iloc[:, i])}" for i, run in enumerate(runs))
        return _finish(picture, f"Lines of {measure} over {x}: {listed}.", summary)


def _picture(width: float, height: float, title: str) -> Picture:
    picture = Picture(figsize=(width, height), dpi=100, layout="constrained")
    picture.suptitle(title, x=0.015, ha="left", weight="bold", fontsize=10)
    return picture


def _finish(picture: Picture, alt: str, summary: str) -> Picture:
    picture.alt, picture.summary = alt, summary
    picture.draw_without_rendering()
    picture.set_layout_engine("none")  # the layout is done now; every later drawing is the same
    return picture


def _heatmap(
    title: str, names: list[str], table: NDArray[Any], shares: NDArray[Any], texts: list[str], lines: str, columns: str
) -> Picture:
    size, longest, small = len(names), _inches(names), len(names) > 10
    width = max(8.0, longest + 0.39 * size + 1.4)
    upright = longest > (width - longest - 1.4) / size  # too narrow for horizontal names
    picture = _picture(width, 0.9 + (0.36 if small else 0.45) * size + longest * upright, title)
    axes = picture.subplots()
    cmap = colormaps["cividis"].with_extremes(bad=PALE)  # bad: a line without rows
    mesh = axes.pcolormesh(shares, cmap=cmap, vmin=0, vmax=np.nanmax(shares), edgecolor=PAPER, linewidth=1)
    for (i, j), share in np.ndenumerate(shares):
        light = np.dot(mesh.to_rgba(share)[:3] ** np.float64(2.2), [0.2126, 0.7152, 0.0722])  # WCAG relative luminance
        text = axes.text(j + 0.5, i + 0.5, "" if np.isnan(share) else texts[i * size + j], ha="center", va="center")
        text.set(color="black" if light > 0.18 else "white", fontsize=6.5 if small else 9)
    axes.set(xlabel=columns, ylabel=lines, ylim=(size, 0))
    axes.set_xticks(np.arange(size) + 0.5, names, rotation=90 * upright)
    axes.set_yticks(np.arange(size) + 0.5, [f"{names[i]} ({table[i].sum():,.0f})" for i in range(size)])
    axes.tick_params(length=0)
    return picture


def _peaks(names: list[str], shares: NDArray[Any]) -> str:
    filled = [(name, line) for name, line in zip(names, shares, strict=True) if not np.isnan(line).any()]
    cells = "; ".join(f"{name}: {names[line.argmax()]} {line.max():.0f} %" for name, line in filled)
    return f"Largest cell of each line: {cells}."


def _square(what: str, frame: pd.DataFrame) -> tuple[list[str], NDArray[Any], NDArray[Any]]:
    """Names, counts, and counts in % of their line (NaN in a line without counts)."""
    table, names = _numbers(what, frame, ndim=2), _words(frame.index)
    _need(names == _words(frame.columns), f"{what} has lines {names} but columns {[*frame.columns]}: use one order")
    _need(table.any(), f"{what} holds only zeros: there is nothing to draw")
    totals = table.sum(axis=1, keepdims=True)
    return names, table, 100 * table / np.where(totals > 0, totals, np.nan)


def _numbers(what: str, values: ArrayLike | pd.DataFrame, ndim: int) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    _need(array.ndim == ndim and array.size, f"{what} has shape {array.shape}: pass {ndim} dimension(s), not empty")
    _need(np.isfinite(array).all() and array.min() >= 0, f"{what} holds NaN or negative numbers: fill gaps with 0")
    return array


def _words(values: Iterable[Any]) -> list[str]:
    return [str(value) for value in values]


def _inches(words: list[str]) -> float:
    return 0.085 * max(map(len, words))  # room for the longest word at font size 9


def _plain(column: str) -> str:
    return column.replace("_", " ").replace("f1", "F1")


def _ends(values: pd.Series) -> str:
    known = values.dropna()
    return f"{known.iloc[0]:.3f} to {known.iloc[-1]:.3f}"


def _need(right: Any, message: str) -> None:
    if not right:
        raise ValueError(message)
