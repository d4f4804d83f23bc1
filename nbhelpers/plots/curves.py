"""Figures about training: losses and dev scores, and one measure of several runs."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALE,
    PURPLE,
    RED,
    Picture,
    card_style,
    finish,
    new_picture,
    require,
    to_strings,
    width_of,
)

# Color and marker of each measure in `learning_curves`
CURVES = {"train_loss": (RED, "s"), "dev_loss": (BLUE, "o"), "dev_weighted_f1": (GREEN, "D")}
# Line style of each run. More than six cannot be told apart.
LINES: list[Any] = ["-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3))]
RUN_COLORS, RUN_MARKERS = (BLUE, ORANGE, GREEN, RED, PURPLE, GREY), "osD^vX"  # in `run_curves`


def learning_curves(history: pd.DataFrame) -> Picture:
    """Draw losses and dev weighted F1 over training.

    Args:
        history: a row per measurement, with NaN where something was not measured. Columns: "epoch" or else "step"; any
            of "train_loss", "dev_loss" and "dev_weighted_f1" (0 to 1, drawn in percent); optionally "run", with up to
            six names, which are told apart by line style.

    Raises:
        ValueError: a column is missing, dev_weighted_f1 is in percent, or there are more than six runs.

    >>> history = pd.DataFrame({"epoch": [1, 2, 3], "dev_loss": [1.2, 1.0, 1.1], "dev_weighted_f1": [0.5, 0.6, 0.58]})
    >>> print(learning_curves(history).summary)
    Lowest dev loss 1.000 at epoch 2; highest dev weighted F1 60.0 % at epoch 2.
    """
    x, measured, run_of_row = check_history(history)
    runs = list(dict.fromkeys(run_of_row))
    # Losses and F1 have different scales, so each kind that was measured has a panel.
    panels = [[name for name in measured if name.endswith(kind)] for kind in ("loss", "f1")]
    with card_style():
        columns = legend_columns(runs)
        picture = new_picture(8, 3.5 + 0.2 * (len(runs) // columns), "Learning curves")
        all_axes = picture.subplots(1, sum(map(bool, panels)), squeeze=False)[0]
        for axes, panel in zip(all_axes, filter(None, panels), strict=True):
            draw_panel(axes, history, x, panel, run_of_row)
        if len(runs) > 1:
            handles = [Line2D([], [], color=INK, linestyle=LINES[i], label=run) for i, run in enumerate(runs)]
            picture.legend(handles=handles, loc="outside lower left", ncols=columns, handlelength=4)
    summary = "; ".join(best_point(history, x, name, run_of_row) for name in measured)
    listed = "; ".join(f"{in_words(name)} from {first_and_last(history[name])}" for name in measured)
    listed += f"; runs: {', '.join(runs)}" if len(runs) > 1 else ""
    return finish(picture, f"Curves over {x}: {listed}.", f"{capitalized(summary)}.")


def check_history(history: pd.DataFrame) -> tuple[str, list[str], "pd.Series[str]"]:
    """Check the argument of `learning_curves`.

    Returns:
        The column of the x axis, the measures that have values, and the run of each row.
    """
    x = "epoch" if "epoch" in history else "step"
    measured = [name for name in CURVES if name in history and history[name].notna().any()]
    require(x in history and measured, f"history has {[*history]}: it needs epoch or step, and one of {[*CURVES]}")
    top = history["dev_weighted_f1"].max() if "dev_weighted_f1" in measured else 0
    require(top <= 1, f"dev_weighted_f1 goes up to {top:g}: pass fractions from 0 to 1, not percent")
    run_of_row = history["run"].astype(str) if "run" in history else pd.Series("", index=history.index)
    num_runs = len(run_of_row.unique())
    require(num_runs <= len(LINES), f"history has {num_runs} runs: draw at most {len(LINES)}, or their mean")
    return x, measured, run_of_row


def draw_panel(axes: Any, history: pd.DataFrame, x: str, measures: list[str], run_of_row: "pd.Series[str]") -> None:
    """Draw one panel of `learning_curves`: a color per measure, a line style per run."""
    for name in measures:
        color, marker = CURVES[name]
        look: dict[str, Any] = {"color": color, "marker": marker, "markersize": 4}
        for run, line in zip(dict.fromkeys(run_of_row), LINES, strict=False):
            points = history.loc[run_of_row == run, [x, name]].dropna()
            y = points[name] * (100 if name.endswith("f1") else 1)
            # Up to 15 markers per line: one for each of hundreds of updates would hide the line style.
            axes.plot(points[x], y, linestyle=line, markevery=len(points) // 15 + 1, **look)
        axes.plot([], [], label=in_words(name), **look)  # the legend names each measure once, not once per run
    axes.set(xlabel=x, ylabel="loss" if measures[0].endswith("loss") else "%")
    axes.set_xlim(-0.03 * history[x].max(), 1.03 * history[x].max())  # both panels have the same x axis
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.grid(axis="y", color=PALE)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=2)


def best_point(history: pd.DataFrame, x: str, name: str, run_of_row: "pd.Series[str]") -> str:
    """Say in words where a measure was best: the lowest loss or the highest F1."""
    values, is_f1 = history[name].to_numpy(dtype=float), name.endswith("f1")
    best = int(np.nanargmax(values if is_f1 else -values))
    value = f"{100 * values[best]:.1f} %" if is_f1 else f"{values[best]:.3f}"
    place = f"{x} {history[x].iloc[best]:g}" + (f" of {run_of_row.iloc[best]}" if len(run_of_row.unique()) > 1 else "")
    return f"{'highest' if is_f1 else 'lowest'} {in_words(name)} {value} at {place}"


def run_curves(frame: pd.DataFrame, measure: str, over: str = "training") -> Picture:
    """Draw one measure over training, with a line per run.

    Args:
        frame: a row per measurement and a column per run (up to six), with NaN where a run was not measured. The index
            is the x axis, and its name the label of this axis.
        measure: the name of the y axis.
        over: what the x axis stands for, for the title.

    Raises:
        ValueError: frame has no columns or more than six, or a run has no measurement.

    >>> frame = pd.DataFrame({"plain": [0.2, 0.4], "R-Drop": [0.2, 0.1]}, pd.Index([10, 20], name="update"))
    >>> print(run_curves(frame, "KL (nats)").summary)
    KL (nats) at the end: plain 0.4, R-Drop 0.1. Highest: 0.4 of plain at update 20.
    """
    table, x, runs = frame.to_numpy(dtype=float), str(frame.index.name or "step"), to_strings(frame.columns)
    require(0 < len(runs) <= len(LINES), f"frame has {len(runs)} columns: pass one for each run, up to {len(LINES)}")
    require(len(table) and (~np.isnan(table)).any(axis=0).all(), "a run in frame has no measurement: leave it out")
    with card_style():
        picture = new_picture(8, 3.4, f"{capitalized(measure)} over {over}")
        axes = picture.subplots()
        for i, run in enumerate(runs):
            points = frame.iloc[:, i].dropna()  # by position, because two runs may have the same name
            look = {"color": RUN_COLORS[i], "marker": RUN_MARKERS[i], "linestyle": LINES[i], "markersize": 4}
            axes.plot(points.index, points, label=run, markevery=len(points) // 15 + 1, **look)
        axes.set(xlabel=x, ylabel=measure, ylim=(min(0, 1.05 * np.nanmin(table)), None))  # 0 is always visible
        counts = (frame.index == frame.index.astype(int)).all()  # such as updates, between which there is nothing
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=counts, min_n_ticks=1))
        axes.grid(axis="y", color=PALE)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.03, 1), ncols=legend_columns(runs), handlelength=4)
    last = ", ".join(f"{run} {short(frame.iloc[:, i].dropna().iloc[-1])}" for i, run in enumerate(runs))
    row, best = divmod(int(np.nanargmax(table)), table.shape[1])
    summary = f"{measure} at the end: {last}. Highest: {short(table[row, best])} of {runs[best]} at {x} "
    summary += f"{frame.index[row]:g}."
    listed = "; ".join(f"{run} from {first_and_last(frame.iloc[:, i])}" for i, run in enumerate(runs))
    return finish(picture, f"Lines of {measure} over {x}: {listed}.", summary)


def short(value: float) -> str:
    """Three digits, and all digits of a thousand and more, which would else be written as a power of ten.

    >>> short(0.12345), short(2559.97)
    ('0.123', '2,560')
    """
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def legend_columns(runs: list[str]) -> int:
    """How many names of runs fit side by side into a legend: 7.5 inches, with 0.7 inches for the line of each."""
    return int(max(1, 7.5 // (width_of(runs) + 0.7)))


def in_words(column: str) -> str:
    """The name of a column as words: dev_weighted_f1 becomes "dev weighted F1"."""
    return column.replace("_", " ").replace("f1", "F1")


def capitalized(words: str) -> str:
    """The words with a capital letter first; `str.capitalize` would make all others small."""
    return f"{words[0].upper()}{words[1:]}"


def first_and_last(values: "pd.Series[float]") -> str:
    """The first and the last value that was measured, in words."""
    measured = values.dropna()
    return f"{measured.iloc[0]:.3f} to {measured.iloc[-1]:.3f}"
