"""The monitor's page, written as HTML from the state: it needs no script to be read, only to renew itself."""

from __future__ import annotations

import datetime
import html
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nbhelpers import alerts

from .pictures import interval_picture, sum_picture, week_picture

TEMPLATE = Path(__file__).with_name("page.html")
RECENT = 30  # days that the tables count
WEEKS = 52  # that the chart shows


def full_page(watch: alerts.Watch, usual: Mapping[str, float]) -> str:
    """The whole page.

    Args:
        watch: whose state is shown.
        usual: label -> its share in ordinary times, for each label with a rule.
    """
    version = html.escape(watch.store.version())
    content = {"VERSION": version, "LIVE": live_part(watch, usual)}
    return re.sub("VERSION|LIVE", lambda match: content[match[0]], TEMPLATE.read_text(encoding="utf-8"), count=2)


def live_part(watch: alerts.Watch, usual: Mapping[str, float]) -> str:
    """The part of the page that changes. As `full_page`."""
    charts = watch.charts()
    sentences = watch.store.sentences()
    if not sentences:
        return "<p>There is no sentence yet.</p>"
    last_day = sentences[-1].date
    stories = story_table(charts)
    parts = [
        f"<p>{len(sentences):,} sentences about {stories['company'].nunique()} companies tell {len(stories):,} "
        f"stories. The last one is of <time>{last_day}</time>.</p>",
        f'<h2 id="alerts-title">Alerts</h2>{alert_list(watch, charts)}',
    ]
    for label, rule in watch.rules.items():
        parts.append(label_section(label, rule, charts[label], stories, usual[label], last_day))
    return "".join(parts)


def story_table(charts: Mapping[str, Mapping[str, alerts.Chart]]) -> pd.DataFrame:
    """A row per story of all companies, with the columns company, topic, date and label."""
    of_companies = next(iter(charts.values()))  # the same stories for each label
    rows = [
        (company, story.sentences[0].topic, story.day, story.label)
        for company, chart in of_companies.items()
        for story in chart.stories
    ]
    return pd.DataFrame(rows, columns=["company", "topic", "date", "label"])


def alert_list(watch: alerts.Watch, charts: Mapping[str, Mapping[str, alerts.Chart]]) -> str:
    """The alerts, the latest first, each with how far its delivery is."""
    items = []
    for alert in watch.store.alerts():
        chart, message = charts[alert.label][alert.company], alert.message
        quotes = "".join(f"<li>{html.escape(text)}</li>" for text in message["sentences"] if text)
        said = [delivery(alert)]
        if message["late"]:
            said.append("It was raised late, by a sentence that came after those of later days.")
        if not still_raised(alert.day, [chart.stories[i].day for i in chart.alarms], watch.quiet_days):
            said.append("With what came later, the sums do not raise it any more.")
        items.append(
            f'<li data-key="{html.escape(alert.key)}"><h3>{html.escape(alert.company)}: {html.escape(alert.label)}, '
            f"<time>{alert.day}</time></h3><p>{html.escape(message['text'])}.</p>"
            f'<details id="quotes-{html.escape(alert.key)}"><summary>The last of these sentences</summary>'
            f'<ul>{quotes}</ul></details><p class="soft">{html.escape(" ".join(said))}</p></li>'
        )
    return f'<ol class="alerts">{"".join(items)}</ol>' if items else "<p>There was no alert yet.</p>"


def delivery(alert: alerts.Alert) -> str:
    """How far the delivery of an alert is, as a sentence."""
    times = f"{alert.attempts} attempt{'' if alert.attempts == 1 else 's'}"
    if alert.status == "sent":
        return f"Delivered after {times}."
    if alert.status == "refused":
        return f"The webhook refused it: it {alert.reason}."
    if alert.status == "not sent":
        return "It is of the history, so it was not sent."
    return f"Waiting after {times}: {alert.reason}." if alert.attempts else "Waiting to be delivered."


def still_raised(day: str, alarms: list[str], quiet_days: int) -> bool:
    """Whether there is an alarm near the day of an alert.

    >>> still_raised("2041-03-05", ["2041-03-09"], quiet_days=30), still_raised("2041-03-05", [], quiet_days=30)
    (True, False)
    """
    date = datetime.date.fromisoformat
    return any(abs((date(day) - date(alarm)).days) <= quiet_days for alarm in alarms)


def label_section(
    label: str,
    rule: alerts.Rule,
    charts: Mapping[str, alerts.Chart],
    stories: pd.DataFrame,
    usual: float,
    last_day: str,
) -> str:
    """What the page shows of a watched label: the chart of weeks, and the tables of companies and topics."""
    name, key = html.escape(label), re.sub(r"\W+", "-", label)
    since = str(datetime.date.fromisoformat(last_day) - datetime.timedelta(days=RECENT - 1))
    recent = stories[stories["date"] >= since]
    length = alerts.run_length(rule, usual)
    return (
        f'<h2 id="weeks-{key}">Stories that are {name}</h2>'
        f'<p class="soft">Usually {100 * usual:.0f} % of the stories are {name}. In ordinary times there is a false '
        f"alarm once in {length:,.0f} stories.</p>{week_part(label, key, stories, usual)}"
        f"{company_table(label, key, rule, charts, recent, usual, last_day)}{topic_table(label, key, recent, usual)}"
    )


def week_part(label: str, key: str, stories: pd.DataFrame, usual: float) -> str:
    """The p-chart of all companies together, and its numbers as a table."""
    weeks = alerts.count_labels(stories, label, period="W").tail(WEEKS).reset_index(drop=True)
    limits = alerts.p_chart(weeks["count"], weeks["total"], usual)
    chart = weeks[["date", "total", "count"]].join(limits).assign(usual=usual)
    rows = [
        f'<tr><th scope="row">{row["date"]:%Y-%m-%d}</th><td class="number">{row["count"]} of {row["total"]}</td>'
        f'<td class="number">{percent(row["share"])}</td><td>{"outside" if row["is_outside"] else ""}</td></tr>'
        for _, row in chart.iloc[::-1].iterrows()
    ]
    table = scroll(f"table-{key}", f"{label}, by week", ["week", "stories", "share", "limits"], rows)
    return (
        f'{week_picture(label, chart)}<p class="soft">All companies, by week. Dashed: limits that are passed rarely by '
        f'chance. Gray: the usual share.</p><details id="numbers-{key}"><summary>The same in numbers</summary>'
        f"{table}</details>"
    )


def company_table(
    label: str,
    key: str,
    rule: alerts.Rule,
    charts: Mapping[str, alerts.Chart],
    recent: pd.DataFrame,
    usual: float,
    last_day: str,
) -> str:
    """A row per company, those nearest to an alarm first."""
    shares = {row["company"]: row for _, row in alerts.count_labels(recent, label, by=["company"]).iterrows()}
    order = sorted(charts, key=lambda company: -(charts[company].sums or [0])[-1])
    rows = [
        f'<tr><th scope="row">{html.escape(company)}</th><td>'
        f"{sum_picture(company, label, charts[company], rule.limit, last_day)}</td>"
        f"{share_cells(shares.get(company), usual)}</tr>"
        for company in order
    ]
    heads = ["company", "sum in half a year", "stories", "share (95 % interval)", ""]
    return scroll(f"companies-{key}", f"Companies: {label}, last {RECENT} days", heads, rows)


def topic_table(label: str, key: str, recent: pd.DataFrame, usual: float) -> str:
    """A row per topic, the one with the largest share first. Nothing where no topic is known."""
    if not recent["topic"].any():
        return ""
    topics = alerts.count_labels(recent, label, by=["topic"]).sort_values("share", ascending=False, kind="stable")
    rows = [
        f'<tr><th scope="row">{html.escape(row["topic"] or "unknown")}</th>{share_cells(row, usual)}</tr>'
        for _, row in topics.iterrows()
    ]
    heads = ["topic", "stories", "share (95 % interval)", ""]
    return scroll(f"topics-{key}", f"Topics: {label}, last {RECENT} days", heads, rows)


def share_cells(row: Any, usual: float) -> str:
    """Three cells: the counts, the share with its interval in numbers, and the same as a picture."""
    if row is None:
        return '<td class="number">0</td><td></td><td></td>'
    numbers = f"{percent(row['share'])} ({100 * row['low']:.0f} to {100 * row['high']:.0f})"
    picture = interval_picture((row["share"], row["low"], row["high"]), usual)
    return (
        f'<td class="number">{row["count"]} of {row["total"]}</td><td class="number">{numbers}</td><td>{picture}</td>'
    )


def scroll(key: str, caption: str, heads: list[str], rows: list[str]) -> str:
    """A table that scrolls sideways where it does not fit, also by keyboard."""
    columns = "".join(f'<th scope="col">{head}</th>' if head else "<td></td>" for head in heads)
    name = html.escape(caption)
    return (
        f'<div class="scroll" id="{key}" tabindex="0" role="region" aria-label="{name}"><table>'
        f"<caption>{name}</caption><thead><tr>{columns}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def percent(share: float) -> str:
    """A share as text, "" where it is not known.

    >>> percent(0.125), percent(float("nan"))
    ('12 %', '')
    """
    return "" if share != share else f"{100 * share:.0f} %"
