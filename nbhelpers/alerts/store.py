"""What a watch must not forget: sentences and alerts in an SQLite file that survives a kill at any moment."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .errors import AlertError

TABLES = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sentences (
    id TEXT PRIMARY KEY, date TEXT NOT NULL, company TEXT NOT NULL, topic TEXT NOT NULL, label TEXT NOT NULL,
    text TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS sentences_of_company ON sentences (company, date);
CREATE TABLE IF NOT EXISTS alerts (
    key TEXT PRIMARY KEY, company TEXT NOT NULL, label TEXT NOT NULL, day TEXT NOT NULL, message TEXT NOT NULL,
    status TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, next_try REAL NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '');
"""


class Sentence(NamedTuple):
    """A classified sentence."""

    id: str  # the same sentence that arrives twice has the same id
    date: str  # 2041-03-05
    company: str
    topic: str  # "" if unknown
    label: str
    text: str


class Alert(NamedTuple):
    """An alert and how far its delivery is."""

    key: str
    company: str
    label: str
    day: str
    message: dict[str, Any]  # what the webhook sends
    status: str  # "waiting", "sent", "refused", or "not sent" if nobody was to be told
    attempts: int
    next_try: float  # seconds since 1970
    reason: str  # why the last attempt failed


class Store:
    """Sentences and alerts in an SQLite file.

    Each `with store.change():` is one transaction: all of it is stored, or nothing. A kill or a power failure in the
    middle leaves the state before it. Each call opens the file for itself, so threads and processes can share it.

    Args:
        path: of the file; it is made if it does not exist.

    Raises:
        AlertError: the file cannot be opened, or is no SQLite file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = Store(Path(folder, "state.db"))
    ...     sentence = Sentence("1", "2041-03-05", "Aeroquena", "", "neutral", "The timetable is unchanged.")
    ...     with store.change() as change:
    ...         change.add(sentence)
    ...     store.sentences("Aeroquena") == [sentence]
    True
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with closing(self.connect()) as connection:
                # Readers, such as a page, then see the last state while a change is being written.
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(TABLES)
        except sqlite3.Error as error:
            raise AlertError(f"{path} cannot be opened as an SQLite file ({error}); choose another file") from error

    def connect(self) -> sqlite3.Connection:
        """A new connection. Another process that writes is waited for, up to a minute."""
        return sqlite3.connect(self.path, timeout=60, isolation_level=None)

    @contextmanager
    def change(self) -> Iterator[Change]:
        """A transaction, in which one process at a time reads and writes."""
        with closing(self.connect()) as connection:
            connection.execute("BEGIN IMMEDIATE")  # before the first read, so that nobody changes what was read
            try:
                yield Change(connection)
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise

    def read(self, query: str, *values: Any) -> list[Any]:
        """The rows of a query."""
        with closing(self.connect()) as connection:
            return connection.execute(query, values).fetchall()

    def sentences(self, company: str | None = None) -> list[Sentence]:
        """All sentences, or those of a company, in order of date and id."""
        query = f"SELECT {', '.join(Sentence._fields)} FROM sentences WHERE ? IN (company, '') ORDER BY date, id"
        return [Sentence(*row) for row in self.read(query, company or "")]

    def alerts(self) -> list[Alert]:
        """All alerts, the latest first."""
        rows = self.read(f"SELECT {', '.join(Alert._fields)} FROM alerts ORDER BY day DESC, company, label")
        return [Alert(*row)._replace(message=json.loads(row[4])) for row in rows]

    def known(self, ids: list[str]) -> set[str]:
        """Which of these sentences, at most some thousand, are stored already."""
        places = ", ".join("?" * len(ids))
        return {row[0] for row in self.read(f"SELECT id FROM sentences WHERE id IN ({places})", *ids)}

    def version(self) -> str:
        """A text that differs after each change, for a page that asks whether something is new."""
        [(sentences,)] = self.read("SELECT count(*) FROM sentences")
        [(alerts, attempts, open_ones)] = self.read(
            "SELECT count(*), coalesce(sum(attempts), 0), coalesce(sum(status = 'waiting'), 0) FROM alerts"
        )
        return f"{sentences}.{alerts}.{attempts}.{open_ones}"

    def retry_refused(self) -> None:
        """Let alerts that the webhook refused wait again, for instance because its address was corrected."""
        with self.change() as change:
            change.connection.execute("UPDATE alerts SET status = 'waiting', next_try = 0 WHERE status = 'refused'")

    def setting(self, name: str) -> Any:
        """A setting, None if it was not stored."""
        rows = self.read("SELECT value FROM settings WHERE name = ?", name)
        return json.loads(rows[0][0]) if rows else None

    def update_delivery(self, key: str, status: str, next_try: float = 0.0, reason: str = "") -> None:
        """Note the result of an attempt to deliver an alert."""
        with self.change() as change:
            change.connection.execute(
                "UPDATE alerts SET status = ?, attempts = attempts + 1, next_try = ?, reason = ? WHERE key = ?",
                (status, next_try, reason, key),
            )


class Change:
    """What can be done in a transaction of `Store.change`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def find(self, sentence_id: str) -> Sentence | None:
        """The stored sentence with this id."""
        query = f"SELECT {', '.join(Sentence._fields)} FROM sentences WHERE id = ?"
        row = self.connection.execute(query, (sentence_id,)).fetchone()
        return Sentence(*row) if row else None

    def add(self, sentence: Sentence) -> None:
        """Store a sentence with a new id."""
        self.connection.execute("INSERT INTO sentences VALUES (?, ?, ?, ?, ?, ?)", sentence)

    def of_company(self, company: str) -> list[Sentence]:
        """All sentences of a company, in order of date and id."""
        query = f"SELECT {', '.join(Sentence._fields)} FROM sentences WHERE company = ? ORDER BY date, id"
        return [Sentence(*row) for row in self.connection.execute(query, (company,))]

    def alert_days(self, company: str, label: str) -> list[str]:
        """The days on which there was an alert."""
        query = "SELECT day FROM alerts WHERE company = ? AND label = ?"
        return [day for (day,) in self.connection.execute(query, (company, label))]

    def last_day(self) -> str:
        """The latest day of any sentence, "" without one."""
        return str(self.connection.execute("SELECT coalesce(max(date), '') FROM sentences").fetchone()[0])

    def add_alert(self, key: str, company: str, label: str, day: str, message: Mapping[str, Any], status: str) -> None:
        """Store a new alert."""
        self.connection.execute(
            "INSERT INTO alerts (key, company, label, day, message, status) VALUES (?, ?, ?, ?, ?, ?)",
            (key, company, label, day, json.dumps(message), status),
        )

    def setting(self, name: str, value: Any) -> Any:
        """The stored value of a setting; if there is none, this one is stored."""
        self.connection.execute("INSERT OR IGNORE INTO settings VALUES (?, ?)", (name, json.dumps(value)))
        [text] = self.connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return json.loads(text)
