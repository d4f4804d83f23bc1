"""Follow a stream of sentences: classify what is new, watch it, and deliver the alerts."""

from __future__ import annotations

import datetime
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from nbhelpers import alerts
from nbhelpers.course.errors import CourseError

BATCH = 32  # sentences that are classified at once
POLL = 0.5  # seconds after which alerts that wait are looked at, although nothing new came
END = object()


def follow(
    rows: Iterable[Mapping[str, str]],
    classify: Callable[[list[str]], Sequence[str]],
    watch: alerts.Watch,
    url: str | None = None,
    *,
    log: Callable[[str], None] = print,
    patience: float = 60.0,
) -> dict[str, int]:
    """Watch sentences until there are no more.

    A sentence that the state has already is not classified again, so the same call can be repeated after a stop.

    Args:
        rows: dicts with text, date and company, perhaps topic and id, as from `read_rows`. They may come slowly.
        classify: from texts to labels.
        watch: takes them.
        url: of the webhook. Without one, alerts are only logged, and wait in the state.
        log: called with a sentence for each alert, each failed delivery and each row that is left out.
        patience: the seconds for which alerts that could not be delivered are tried again after the last row.

    Returns:
        How many sentences were "new", "doubled", "conflicting" and "left out", and how many "alerts" were raised.
    """
    watch.store.retry_refused()  # perhaps the address was wrong, and is right now
    totals = {"new": 0, "doubled": 0, "conflicting": 0, "left out": 0, "alerts": 0}
    for batch in batches(rows):
        add_batch(batch, classify, watch, totals, log)
        if url:
            send_waiting(watch.store, url, log)
    end = time.monotonic() + patience
    while url and num_waiting(watch.store) and time.monotonic() < end:
        time.sleep(POLL)
        send_waiting(watch.store, url, log)
    if url and (waiting := num_waiting(watch.store)):
        log(f"{waiting} alert{'s are' if waiting > 1 else ' is'} not delivered yet; the same command tries again")
    return totals


def batches(rows: Iterable[Mapping[str, str]]) -> Iterator[list[Mapping[str, str]]]:
    """Yield what has come, at most 32 rows at a time, without waiting for a batch to be full; [] if nothing came."""
    incoming: queue.Queue[Any] = queue.Queue(maxsize=10 * BATCH)

    def read() -> None:
        try:
            for row in rows:
                incoming.put(row)
            incoming.put(END)
        except BaseException as error:
            incoming.put(error)

    # A daemon: a program that ends must not wait for a line that never comes.
    threading.Thread(target=read, daemon=True).start()
    while True:
        batch: list[Any] = []
        try:
            batch.append(incoming.get(timeout=POLL))
            while len(batch) < BATCH and batch[-1] is not END and not isinstance(batch[-1], BaseException):
                batch.append(incoming.get_nowait())
        except queue.Empty:
            pass
        last = batch[-1] if batch else None
        if isinstance(last, BaseException):
            yield batch[:-1]
            raise last
        if last is END:
            yield batch[:-1]
            return
        yield batch


def add_batch(
    batch: Sequence[Mapping[str, str]],
    classify: Callable[[list[str]], Sequence[str]],
    watch: alerts.Watch,
    totals: dict[str, int],
    log: Callable[[str], None],
) -> None:
    """Classify and add the rows that are not known yet, and count them in `totals`. The rest as in `follow`."""
    rows = []
    for row in batch:
        try:
            date = datetime.date.fromisoformat(row["date"][:10]).isoformat()
        except ValueError:
            log(f"left out: {row['date']!r} is no date; write it as 2041-03-05")
            totals["left out"] += 1
            continue
        rows.append({**row, "date": date, "id": row.get("id") or alerts.content_id(date, row["company"], row["text"])})
    stored = watch.store.known([row["id"] for row in rows])
    new = [row for row in rows if row["id"] not in stored]
    totals["doubled"] += len(rows) - len(new)
    labels = classify([row["text"] for row in new]) if new else []
    added = watch.add([{**row, "label": label} for row, label in zip(new, labels, strict=True)])
    for name in ("new", "doubled", "conflicting"):
        totals[name] += getattr(added, name)
    totals["alerts"] += len(added.alerts)
    for message in added.alerts:
        log(message["text"])


def send_waiting(store: alerts.Store, url: str, log: Callable[[str], None]) -> None:
    """Deliver what is due, and say what failed."""
    for _, outcome in alerts.deliver(store, url):
        if outcome.status != "sent":
            then = "it is tried again" if outcome.status == "waiting" else "correct --webhook, and start again"
            log(f"an alert was not delivered: {outcome.reason}; {then}")


def keep_sending(store: alerts.Store, url: str | None, log: Callable[[str], None]) -> None:
    """Deliver what still waits, until the program is stopped."""
    while True:
        if url:
            send_waiting(store, url, log)
        time.sleep(POLL)


def num_waiting(store: alerts.Store) -> int:
    """How many alerts wait to be delivered."""
    return sum(alert.status == "waiting" for alert in store.alerts())


def usual_share(sentences: Sequence[Mapping[str, Any]], label: str, order: Sequence[str]) -> float:
    """The share of a label among the stories of a history, as the classifier predicts it.

    Args:
        sentences: dicts with text, date, company, label and perhaps topic.
        label: the watched one.
        order: the labels, the watched ones first; it decides between equally frequent labels of a story.

    Raises:
        CourseError: there are fewer than 50 stories, which tell too little.
    """
    stories = alerts.find_stories(
        [row["date"] for row in sentences],
        [(row["company"], row.get("topic", "")) for row in sentences],
        [alerts.shingles(row["text"]) for row in sentences],
        min_similarity=0.04,
    )
    labels: dict[int, list[str]] = {}
    for story, row in zip(stories, sentences, strict=True):
        labels.setdefault(story, []).append(row["label"])
    if len(labels) < 50:
        raise CourseError(f"the history tells {len(labels)} stories; a usual share needs at least 50, so give --watch")
    return sum(alerts.story_label(found, order) == label for found in labels.values()) / len(labels)
