"""How far each channel has come with the journal, and what still waits to be delivered.

The journal is the truth about what happened; this file says only what was delivered. An event
leaves the backlog once its receiver has taken it: whoever dies in between delivers it again, under
the same id. SQLite, synchronous=FULL: what was taken in is not forgotten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator.journal.sqlite_file import BUSY_TIMEOUT_S, translated
from tools.values import Value

FILE = "notifications.db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS channels (
  name TEXT PRIMARY KEY, seq INTEGER NOT NULL, delivered INTEGER NOT NULL DEFAULT 0,
  delivered_at TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '',
  error_at TEXT NOT NULL DEFAULT '') STRICT;
CREATE TABLE IF NOT EXISTS backlog (
  channel TEXT NOT NULL, seq INTEGER NOT NULL, target TEXT NOT NULL, name TEXT NOT NULL,
  refusals INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (channel, seq)) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS backlog_by_target ON backlog (channel, target, seq);
"""


class Waiting(Value):
    """One event that a channel is still to be told of."""

    seq: int
    target: str
    name: str
    refusals: int = 0
    """How often the receiver answered and did not take it."""


class ChannelStatus(Value):
    """How a channel stands."""

    channel: str
    backlog: int
    """Messages that wait."""
    oldest_seq: int | None = None
    """Number of the oldest event among them."""
    read_seq: int
    """Events up to this one are delivered, wait, or are none of its business."""
    delivered: int
    delivered_at: str = ""
    error: str = ""
    """The newest failure; empty once a delivery succeeded after it."""
    error_at: str = ""


class Outbox:
    """One connection to the file; every thread and process has its own."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        with translated(self._path):
            self._db = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def register(self, channel: str, seq: int) -> None:
        """Begin after event ``seq``, for a channel that is new; others go on where they are."""
        with translated(self._path):
            self._db.execute(
                "INSERT OR IGNORE INTO channels (name, seq) VALUES (?, ?)", (channel, seq)
            )

    def read_until(self, channel: str) -> int:
        """The newest event that the channel has taken in."""
        with translated(self._path):
            row = self._db.execute("SELECT seq FROM channels WHERE name = ?", (channel,)).fetchone()
        return int(row[0]) if row else 0

    def take_in(self, channel: str, waiting: Sequence[Waiting], *, until: int) -> None:
        """Note what is to be delivered, and that everything until ``until`` was looked at."""
        with translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._db.executemany(
                    "INSERT OR IGNORE INTO backlog (channel, seq, target, name)"
                    " VALUES (?, ?, ?, ?)",
                    [(channel, w.seq, w.target, w.name) for w in waiting],
                )
                self._db.execute("UPDATE channels SET seq = ? WHERE name = ?", (until, channel))
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def heads(self, channel: str, *, overtaken_after: int) -> list[Waiting]:
        """The message that each target's others wait for, and those that were overtaken."""
        query = (
            "SELECT seq, target, name, refusals FROM backlog WHERE channel = ?1 AND ("
            " refusals >= ?2 OR seq IN (SELECT min(seq) FROM backlog WHERE channel = ?1"
            " AND refusals < ?2 GROUP BY target)) ORDER BY seq"
        )
        with translated(self._path):
            return _waiting(self._db.execute(query, (channel, overtaken_after)))

    def following(self, channel: str, head: Waiting, *, most: int) -> list[Waiting]:
        """What waits for ``head``, in the journal's order."""
        query = (
            "SELECT seq, target, name, refusals FROM backlog"
            " WHERE channel = ? AND target = ? AND seq > ? ORDER BY seq LIMIT ?"
        )
        with translated(self._path):
            return _waiting(self._db.execute(query, (channel, head.target, head.seq, most)))

    def delivered(self, channel: str, seq: int, *, at: str) -> None:
        """The receiver has it."""
        with translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM backlog WHERE channel = ? AND seq = ?", (channel, seq))
            self._db.execute(
                "UPDATE channels SET delivered = delivered + 1, delivered_at = ?, error = '',"
                " error_at = '' WHERE name = ?",
                (at, channel),
            )
            self._db.execute("COMMIT")

    def failed(self, channel: str, seq: int, *, at: str, error: str, is_refusal: bool) -> None:
        """The receiver has not taken it: it stays."""
        with translated(self._path):
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "UPDATE backlog SET refusals = refusals + ? WHERE channel = ? AND seq = ?",
                (int(is_refusal), channel, seq),
            )
            self._db.execute(
                "UPDATE channels SET error = ?, error_at = ? WHERE name = ?", (error, at, channel)
            )
            self._db.execute("COMMIT")

    def status(self) -> list[ChannelStatus]:
        """Every channel that was ever delivered to or is to be."""
        query = (
            "SELECT c.name, count(b.seq), min(b.seq), c.seq, c.delivered, c.delivered_at, c.error,"
            " c.error_at FROM channels c LEFT JOIN backlog b ON b.channel = c.name"
            " GROUP BY c.name ORDER BY c.name"
        )
        with translated(self._path):
            rows = self._db.execute(query).fetchall()
        fields = tuple(ChannelStatus.model_fields)
        return [ChannelStatus(**dict(zip(fields, row, strict=True))) for row in rows]


def _waiting(rows: Iterable[tuple[int, str, str, int]]) -> list[Waiting]:
    return [Waiting(seq=s, target=t, name=n, refusals=r) for s, t, n, r in rows]
