"""Deliver alerts to a web address, again and again until it has them, and without doubles."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx

from .errors import AlertError
from .store import Store

TIMEOUT = 10.0  # seconds for one attempt
TEMPORARY = (408, 425, 429)  # of the codes 4xx, which else say that the request itself is wrong


class Outcome(NamedTuple):
    """What became of an attempt."""

    status: str  # "sent", "waiting" (try again) or "refused" (the same request would fail again)
    reason: str = ""
    retry_after: float = 0.0  # the seconds that the receiver asks for


def check_url(url: str) -> str:
    """Return the address; AlertError unless it is one that can be sent to.

    >>> check_url("https://example.org/hook?token=1")
    'https://example.org/hook?token=1'
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        # The address is not repeated: such addresses often contain a secret.
        raise AlertError("the webhook is no web address; write it as https://host/path")
    return url


def post(url: str, key: str, message: Mapping[str, Any]) -> Outcome:
    """Send a message once, as JSON.

    The header Idempotency-Key has the same value in each attempt for the same alert. An attempt can arrive although its
    answer gets lost, so a receiver should ignore a key that it has seen.

    Args:
        url: where to.
        key: of the alert.
        message: anything that JSON can express.
    """
    try:
        answer = httpx.post(url, json=message, headers={"Idempotency-Key": key}, timeout=TIMEOUT)
    except httpx.HTTPError as error:
        return Outcome("waiting", f"no answer ({type(error).__name__})")
    if answer.is_success:
        return Outcome("sent")
    reason = f"answered {answer.status_code}"
    if answer.status_code < 500 and answer.status_code not in TEMPORARY:
        return Outcome("refused", reason)  # also a redirect: an alert should not follow one to a place nobody chose
    return Outcome("waiting", reason, seconds_asked_for(answer.headers.get("Retry-After", ""), time.time()))


def seconds_asked_for(header: str, now: float) -> float:
    """The seconds of a Retry-After header, which is a number or a date; 0 if it cannot be read.

    >>> seconds_asked_for("120", 0.0), seconds_asked_for("Thu, 01 Jan 1970 00:01:00 GMT", 0.0), seconds_asked_for("", 0)
    (120.0, 60.0, 0.0)
    """
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - now)
    except (ValueError, TypeError):
        return 0.0


def wait_seconds(attempts: int, chance: float = 1.0, first: float = 1.0, longest: float = 3600.0) -> float:
    """Compute how long to wait after so many failed attempts: 1, 2, 4, 8 seconds and so on, up to an hour.

    Args:
        attempts: how many have failed.
        chance: a random number from 0 to 1. It shortens the time by up to a half, so that many senders that failed
            together do not come back together.
        first, longest: in seconds.

    >>> [wait_seconds(attempts) for attempts in (1, 2, 3, 13)]
    [1.0, 2.0, 4.0, 3600.0]
    """
    return min(longest, first * 2.0 ** min(attempts - 1, 60)) * (0.5 + 0.5 * chance)


def deliver(
    store: Store,
    url: str,
    *,
    now: Callable[[], float] = time.time,
    send: Callable[[str, str, Mapping[str, Any]], Outcome] = post,
    chance: Callable[[], float] = random.random,
) -> list[tuple[str, Outcome]]:
    """Try each waiting alert whose time has come, the oldest first.

    Call it after each new alert and from time to time. How often an alert was tried, and when it is due, is in the
    store, so a restart neither forgets an alert nor hurries.

    Args:
        store: with the alerts.
        url: where to.
        now, send, chance: the clock, `post` and the random numbers, which a test can replace.

    Returns:
        The key and the outcome of each attempt.
    """
    done = []
    for alert in reversed(store.alerts()):
        if alert.status != "waiting" or alert.next_try > now():
            continue
        outcome = send(url, alert.key, alert.message)
        # A kill between the two lines repeats the attempt, with the same key.
        pause = max(outcome.retry_after, wait_seconds(alert.attempts + 1, chance()))
        store.update_delivery(alert.key, outcome.status, now() + pause, outcome.reason)
        done.append((alert.key, outcome))
    return done
