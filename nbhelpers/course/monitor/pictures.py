"""The pictures of the monitor's page: SVG with a description in words, colored by the page's style sheet."""

from __future__ import annotations

import datetime
import html
from collections.abc import Sequence

import pandas as pd

from nbhelpers import alerts

DAYS = 180  # that a company's picture shows
WIDTH, HEIGHT = 200, 44  # of a company's picture
CHART_WIDTH, CHART_HEIGHT, LEFT, BOTTOM, TOP = 360, 190, 50, 160, 14  # of the chart of weeks


def svg(width: float, height: float, alt: str, *parts: str, name: str = "") -> str:
    """An SVG picture that a screen reader announces with its description."""
    inner = "".join(parts)
    return (
        f'<svg class="{name}" viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(alt)}">{inner}</svg>'
    )


def sum_picture(company: str, label: str, chart: alerts.Chart, limit: int, last_day: str) -> str:
    """The CUSUM of a company over the last months, with its limit and its alarms.

    Args:
        company, label: for the description.
        chart: from `Watch.charts`.
        limit: of the rule.
        last_day: the right edge.
    """
    end = datetime.date.fromisoformat(last_day).toordinal()
    top, base = 6.0, HEIGHT - 4.0
    days = [datetime.date.fromisoformat(story.day).toordinal() - (end - DAYS) for story in chart.stories]
    shown = [i for i, day in enumerate(days) if day >= 0]
    points, alarms, level = [(0.0, base)], [], base
    for i in shown:
        x = round((WIDTH - 6) * days[i] / DAYS, 1)  # room for a mark at the right edge
        points.append((x, level))  # the sum changes with a story, and not between two
        level = round(base - (base - top) * min(chart.sums[i], limit) / limit, 1)
        points.append((x, level))
        if i in chart.alarms:
            alarms.append(f'<path class="alarm" d="M{x} {level} l-5 -6 h10 z"/>')
            level = base
            points.append((x, level))
    points.append((WIDTH, level))
    now = chart.sums[-1] if chart.sums and len(chart.sums) - 1 not in chart.alarms else 0
    highest = max((chart.sums[i] for i in shown), default=0)
    alt = f"{company}, {label}: the sum is {now} of {limit}; the highest in {DAYS} days was {highest}, alarms: "
    alt += ", ".join(chart.stories[i].day for i in shown if i in chart.alarms) or "none"
    line = " ".join(f"{x},{y}" for x, y in points)
    limit_line = f'<line class="limit" x1="0" x2="{WIDTH}" y1="{top}" y2="{top}"/>'
    return svg(WIDTH, HEIGHT, alt, limit_line, f'<polyline class="line" points="{line}"/>', *alarms, name="sum")


def week_picture(label: str, weeks: pd.DataFrame) -> str:
    """The p-chart of the last weeks: the share of a label, its usual share, and the limits.

    Args:
        label: for the description.
        weeks: a row per week, with the columns "date", "share", "low", "high" (the limits), "usual" and "is_outside".
    """
    if weeks.empty:
        return "<p>There is no week yet.</p>"
    step = (CHART_WIDTH - LEFT - 10) / max(1, len(weeks) - 1)
    xs = [round(LEFT + i * step, 1) for i in range(len(weeks))]

    def line(column: str, name: str) -> str:
        points = " ".join(f"{x},{height(y)}" for x, y in zip(xs, weeks[column], strict=True))
        return f'<polyline class="{name}" points="{points}"/>'

    dots = [
        f'<circle class="{"dot outside" if out else "dot"}" cx="{x}" cy="{height(y)}" r="{4.5 if out else 2.5}"/>'
        for x, y, out in zip(xs, weeks["share"], weeks["is_outside"], strict=True)
    ]
    axis = [
        f'<text x="{LEFT - 6}" y="{height(share) + 4}" text-anchor="end">{100 * share:.0f} %</text>'
        for share in (0.0, 0.5, 1.0)
    ]
    first, last = (f"{date:%Y-%m-%d}" for date in (weeks["date"].iloc[0], weeks["date"].iloc[-1]))
    axis.append(f'<text x="{LEFT}" y="{BOTTOM + 20}">{first}</text>')
    axis.append(f'<text x="{CHART_WIDTH - 4}" y="{BOTTOM + 20}" text-anchor="end">{last}</text>')
    outside = [f"{date:%Y-%m-%d}" for date in weeks.loc[weeks["is_outside"], "date"]]
    alt = f"Share of {label} stories in each of {len(weeks)} weeks from {first} to {last}, from "
    alt += f"{100 * weeks['share'].min():.0f} to {100 * weeks['share'].max():.0f} %; usual: "
    alt += f"{100 * weeks['usual'].iloc[0]:.0f} %. Weeks outside the limits: {', '.join(outside) or 'none'}."
    lines = [line("usual", "usual"), line("low", "limit"), line("high", "limit"), line("share", "line")]
    return svg(CHART_WIDTH, CHART_HEIGHT, alt, *lines, *dots, *axis, name="weeks")


def height(share: float) -> float:
    """Where a share is in the chart of weeks, from the top."""
    return round(BOTTOM - (BOTTOM - TOP) * min(1.0, max(0.0, share)), 1)


def interval_picture(shares: Sequence[float], usual: float) -> str:
    """A share with its interval, and a mark at the usual share. The numbers are beside it, so it needs no description.

    Args:
        shares: the share, and the lower and the upper end of its interval.
        usual: the share in ordinary times.
    """
    share, low, high = (round(4 + 112 * value, 1) for value in shares)
    mark = round(4 + 112 * usual, 1)
    return (
        '<svg class="interval" viewBox="0 0 120 20" aria-hidden="true">'
        f'<line class="usual" x1="{mark}" x2="{mark}" y1="1" y2="19"/>'
        f'<line class="line" x1="{low}" x2="{high}" y1="10" y2="10"/>'
        f'<circle class="dot" cx="{share}" cy="10" r="4"/></svg>'
    )
