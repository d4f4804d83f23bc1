"""What is said, shown, drawn and recorded of a comparison."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from rich import box
from rich.table import Column, Table

from .comparing import OURS, Comparison, Row, ratio, table

BUSY = 1.3  # how many times as fast the fastest round of a quiet machine is as the slowest, at most


def sentences(comparison: Comparison) -> list[str]:
    """What was found, in plain words."""
    rows = table(comparison)
    ours = fastest(rows, [name for name in rows if name.startswith(OURS)])
    other = fastest(rows, [name for name in rows if not name.startswith(OURS) and name != comparison.ceiling])
    if ours is None:
        return [comparison.about, f"None of the ways of {OURS} could be measured; the table says why."]
    row = rows[ours]
    found = [comparison.about, f"{ours}: {readable_speed(row.median)} {comparison.unit}."]
    if not math.isnan(row.times_common):
        found.append(f"That is {row.times_common:.1f} times the speed of the common way, {comparison.common}.")
    elif comparison.common in rows:
        found.append(f"The common way, {comparison.common}, reached 0 {comparison.unit}.")
    if other not in (None, comparison.common):
        times = ratio(row.median, rows[str(other)].median)
        found.append(f"It is {times:.2f} times the speed of the fastest other way, {other}.")
    found.append(f"It reaches {percent(row.of_ceiling)} of the ceiling, {comparison.ceiling}.")
    if comparison.time_shares:
        found.append(f"Where its time goes: {listed(comparison.time_shares)}.")
    if any(row.fastest > BUSY * row.slowest for row in rows.values()):
        found.append("The rounds differ much, so other programs were running. Repeat it when the machine is quiet.")
    return found


def fastest(rows: Mapping[str, Row], names: list[str]) -> str | None:
    """The name with the highest median; None without names."""
    return max(names, key=lambda name: rows[name].median, default=None)


def listed(shares: Mapping[str, float]) -> str:
    """Shares in percent, largest first, with what is left over at the end.

    >>> listed({"rest": 0.25, "dropout": 0.15, "products": 0.6})
    'products 60 %, dropout 15 %, rest 25 %'
    """
    order = sorted(shares, key=lambda name: (name == "rest", -shares[name]))
    return ", ".join(f"{name} {percent(shares[name])}" for name in order)


def percent(share: float) -> str:
    """A share as people read it.

    >>> percent(0.456)
    '46 %'
    """
    return f"{100 * share:.0f} %"


def readable_speed(speed: float) -> str:
    """A speed with three digits or more.

    >>> readable_speed(14.26), readable_speed(1426.2)
    ('14.3', '1,426')
    """
    return f"{speed:,.0f}" if speed >= 100 else f"{speed:.1f}"


def readable(comparison: Comparison) -> Table:
    """The table for the screen. A way that was not measured has a row without numbers."""
    columns = ("median", "rounds", "ratio", "ceiling")
    shown = Table(
        Column("way", no_wrap=True),
        *(Column(name, justify="right", no_wrap=True) for name in columns),
        title=f"{comparison.subject}, {comparison.unit}",
        box=box.SIMPLE,
    )
    for name, row in table(comparison).items():
        rounds = f"{readable_speed(row.slowest)}-{readable_speed(row.fastest)}"
        times = "-" if math.isnan(row.times_common) else f"{row.times_common:.2f}"
        shown.add_row(name, readable_speed(row.median), rounds, times, percent(row.of_ceiling))
    for name in comparison.failed:
        shown.add_row(name, *["-"] * len(columns))
    return shown


def footnotes(comparison: Comparison) -> list[str]:
    """What belongs below the table: the meaning of its columns, and why a way was not measured."""
    meaning = f"ratio: to the common way, {comparison.common}; ceiling: share of {comparison.ceiling}"
    return [meaning, *(f"{name} was not measured: {reason}" for name, reason in comparison.failed.items())]


def draw(comparison: Comparison, path: Path) -> None:
    """Write a picture of the medians, with lines from the slowest to the fastest round, as a PNG file."""
    from nbhelpers import plots

    bars = {name: (row.median, row.slowest, row.fastest) for name, row in table(comparison).items()}
    frame = pd.DataFrame.from_dict(bars, orient="index", columns=["score", "low", "high"])
    picture = plots.score_bars(frame, comparison.unit, f"nbhelpers bench {comparison.subject}: median of the rounds")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture.png())


def record(comparison: Comparison, **details: object) -> None:
    """Add a row for each way to data/results/speed.jsonl; for a way that was not measured, with the reason.

    Args:
        comparison: what was measured.
        details: what else belongs to each row, such as corpus="meld".
    """
    from nbhelpers.course import results

    for name, row in table(comparison).items():
        line = {"row": f"{comparison.subject}: {name}", **details, "unit": comparison.unit, "median": row.median}
        for ratio_name, value in {"times_common": row.times_common, "of_ceiling": row.of_ceiling}.items():
            line[ratio_name] = None if math.isnan(value) else round(value, 3)
        line["rounds"] = [round(speed, 2) for speed in comparison.speeds[name]]
        if comparison.time_shares and name.startswith(OURS):
            line["time_shares"] = {group: round(share, 3) for group, share in comparison.time_shares.items()}
        results.append("speed", line)
    for name, reason in comparison.failed.items():
        results.append("speed", {"row": f"{comparison.subject}: {name}", **details, "not_measured": reason})
