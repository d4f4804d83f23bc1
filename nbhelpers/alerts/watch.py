"""The watch: takes classified sentences in any order, counts each story once, and raises alerts."""

from __future__ import annotations

import datetime
import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .errors import AlertError
from .rules import Rule
from .store import Change, Sentence, Store
from .stories import find_stories, shingles, story_label

EXAMPLES = 3  # sentences that a message quotes


class Added(NamedTuple):
    """What became of the sentences that were passed to `Watch.add`."""

    new: int
    doubled: int  # with an id and a content that were there already
    conflicting: int  # with an id that was there already, but another content; the first one stays
    alerts: list[dict[str, Any]]  # the messages of new alerts


class Story(NamedTuple):
    """Sentences about one event."""

    day: str  # of its first sentence
    label: str
    sentences: list[Sentence]


class Chart(NamedTuple):
    """The CUSUM of a company."""

    stories: list[Story]
    sums: list[int]  # after each story
    alarms: list[int]  # positions of stories


class Watch:
    """Watch the labels of the sentences about each company.

    For each label with a rule, each company has a CUSUM over its stories, in order of their days. A sentence that comes
    late is counted on its day: the sums of its company are computed again from the start. An alert that was raised
    stays, also if the sums would not raise it any more. A new alarm within `quiet_days` of an alert of the same company
    and label belongs to that alert, so a late sentence that moves an alarm by some days raises no second one.

    Args:
        path: of the SQLite file with the state.
        rules: label -> rule, from `make_rule`. A state keeps its rules, because other rules would raise old alarms.
        days: how long a story is told, as in `find_stories`.
        min_similarity: which share of their words two sentences of a story have in common at least.
        quiet_days: how many days an alert covers before and after its day.

    Raises:
        AlertError: there is no rule, or the file is no state, or that of a watch with other settings.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     watch = Watch(Path(folder, "state.db"), {"negative": Rule(up=12, down=8, limit=36)})
    ...     for day in (3, 10, 17):
    ...         news = {"date": f"2041-06-{day:02}", "company": "Aeroquena", "label": "negative", "text": "Bad news."}
    ...         for message in watch.add([news]).alerts:
    ...             print(message["text"])
    Aeroquena: 3 of the last 3 stories are negative, from 2041-06-03 to 2041-06-17
    """

    def __init__(
        self,
        path: str | Path,
        rules: Mapping[str, Rule],
        *,
        days: int = 3,
        min_similarity: float = 0.04,
        quiet_days: int = 30,
    ) -> None:
        if not rules:
            raise AlertError("there is no rule; make one with make_rule and pass it as {'negative': rule}")
        self.rules, self.days, self.min_similarity, self.quiet_days = dict(rules), days, min_similarity, quiet_days
        self.store = Store(path)
        settings: dict[str, Any] = {"rules": {label: list(rule) for label, rule in sorted(rules.items())}}
        settings |= {"days": days, "min_similarity": min_similarity, "quiet_days": quiet_days}
        with self.store.change() as change:
            for name, value in settings.items():
                if (stored := change.setting(name, value)) != value:
                    raise AlertError(f"{path} is of a watch with {name}={stored}, not {value}; choose another file")

    def add(self, sentences: Iterable[Mapping[str, Any]], *, notify: bool = True) -> Added:
        """Add sentences, in any order, and raise the alerts that follow. All of it is stored, or nothing.

        Args:
            sentences: dicts with "date" (2041-03-05), "company" and "label", and if known "text", "topic" and "id".
                Without an id, the content is the id, so the same sentence counts once.
            notify: whether new alerts are to be delivered. Pass False for a history that ended long ago.

        Raises:
            AlertError: a sentence lacks something, or its date is none. Nothing of the call is stored then.
        """
        rows = [read_sentence(number, given) for number, given in enumerate(sentences)]
        new, doubled, conflicting = 0, 0, 0
        with self.store.change() as change:
            last_day = change.last_day()
            for row in rows:
                stored = change.find(row.id)
                if stored is None:
                    change.add(row)
                    new += 1
                elif stored == row:
                    doubled += 1
                else:
                    conflicting += 1
            companies = sorted({row.company for row in rows})
            alerts = [x for company in companies for x in self.raise_alerts(change, company, last_day, notify)]
        return Added(new, doubled, conflicting, alerts)

    def raise_alerts(self, change: Change, company: str, last_day: str, notify: bool) -> list[dict[str, Any]]:
        """Compute the sums of a company again, and store the alerts that are new.

        Args:
            change: the transaction.
            company: the company.
            last_day: the latest day before this change. An alert of an earlier day is late.
            notify: as in `add`.

        Returns:
            The messages of the new alerts.
        """
        stories, messages = self.stories(change.of_company(company)), []
        for label, rule in self.rules.items():
            known = [datetime.date.fromisoformat(day) for day in change.alert_days(company, label)]
            for position, start in rule.path(story.label == label for story in stories)[1]:
                day = datetime.date.fromisoformat(stories[position].day)
                if any(abs((day - other).days) <= self.quiet_days for other in known):
                    continue
                known.append(day)
                key = alert_key(company, label, stories[position].day)
                message = make_message(key, company, label, stories[start : position + 1], last_day)
                change.add_alert(key, company, label, message["day"], message, "waiting" if notify else "not sent")
                messages.append(message)
        return messages

    def charts(self) -> dict[str, dict[str, Chart]]:
        """Compute what a picture of each company needs: label -> company -> its stories, sums and alarms."""
        companies: dict[str, list[Sentence]] = {}
        for sentence in self.store.sentences():
            companies.setdefault(sentence.company, []).append(sentence)
        found: dict[str, dict[str, Chart]] = {label: {} for label in self.rules}
        for company, sentences in sorted(companies.items()):
            stories = self.stories(sentences)
            for label, rule in self.rules.items():
                sums, alarms = rule.path(story.label == label for story in stories)
                found[label][company] = Chart(stories, sums, [alarm.position for alarm in alarms])
        return found

    def stories(self, sentences: Sequence[Sentence]) -> list[Story]:
        """Group the sentences of a company into stories, in order of their first days."""
        numbers = find_stories(
            [sentence.date for sentence in sentences],
            [sentence.topic for sentence in sentences],
            [shingles(sentence.text) for sentence in sentences],
            min_similarity=self.min_similarity,
            days=self.days,
        )
        grouped: dict[int, list[Sentence]] = {}
        for sentence, number in zip(sentences, numbers, strict=True):
            grouped.setdefault(number, []).append(sentence)
        # A story with as many sentences of a watched label as of another one has the watched label.
        return [
            Story(members[0].date, story_label([member.label for member in members], list(self.rules)), members)
            for _, members in sorted(grouped.items())
        ]


def read_sentence(number: int, given: Mapping[str, Any]) -> Sentence:
    """A sentence from a dict; AlertError if something is missing or the date is none.

    >>> read_sentence(0, {"date": "2041-03-05", "company": "Aeroquena", "label": "neutral", "id": 7})[:3]
    ('7', '2041-03-05', 'Aeroquena')
    """
    values = {name: str(given.get(name) or "").strip() for name in Sentence._fields}
    for name in ("date", "company", "label"):
        if not values[name]:
            raise AlertError(f"sentence {number} has no {name}; pass a dict with date, company and label")
    try:
        values["date"] = datetime.date.fromisoformat(values["date"][:10]).isoformat()
    except ValueError:
        raise AlertError(f"sentence {number}: {values['date']!r} is no date; write it as 2041-03-05") from None
    if given.get("id") is None or not values["id"]:
        values["id"] = content_id(values["date"], values["company"], values["text"])
    return Sentence(**values)


def content_id(date: str, company: str, text: str) -> str:
    """An id for a sentence that has none. Two sentences with the same date, company and text are the same one."""
    return hashlib.sha256("\n".join((date, company, text)).encode()).hexdigest()[:32]


def alert_key(company: str, label: str, day: str) -> str:
    """The idempotency key of an alert: the same for the same alert, also if the state was lost and made again."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"alert:{company}\n{label}\n{day}"))


def make_message(key: str, company: str, label: str, stories: Sequence[Story], last_day: str) -> dict[str, Any]:
    """What the webhook sends.

    Args:
        key, company, label: of the alert.
        stories: from the first one since the sum was 0 to the one that raised the alarm.
        last_day: as in `Watch.raise_alerts`.
    """
    hits = [story for story in stories if story.label == label]
    day = stories[-1].day
    quoted = [next((s.text for s in story.sentences if s.label == label), "") for story in hits[-EXAMPLES:]]
    span = f"from {stories[0].day} to {day}"
    return {
        "key": key,
        "company": company,
        "label": label,
        "day": day,
        "since": stories[0].day,
        "stories": len(stories),
        "count": len(hits),
        "late": day < last_day,
        "text": f"{company}: {len(hits)} of the last {len(stories)} stories are {label}, {span}",
        "sentences": quoted,
    }
