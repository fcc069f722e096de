"""How far each channel has come with the journal, and what still waits to be delivered.

The journal is the truth about what happened; this says only what was delivered. An event leaves
the backlog once its receiver has taken it: whoever dies in between delivers it again, under the
same id. SQLite (synchronous=FULL) or PostgreSQL: what was taken in is not forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from orchestrator.journal.address import JournalAddress
from orchestrator.notifications.outbox_store import DatabaseStore, FileStore, OutboxStore
from tools.postgres import Database
from tools.values import Value

FILE = "notifications.db"


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
    """What waits for each channel, whoever keeps it."""

    def __init__(self, kept: Path | Database) -> None:
        """A file, with a connection of its own, or PostgreSQL, whose tables are there already."""
        self._store: OutboxStore = (
            FileStore(kept) if isinstance(kept, Path) else DatabaseStore(kept)
        )

    def close(self) -> None:
        """Let go of it."""
        self._store.close()

    def turn(self, channel: str) -> AbstractContextManager[Callable[[], None]]:
        """See OutboxStore."""
        return self._store.turn(channel)

    def register(self, channel: str, seq: int) -> None:
        """Begin after event ``seq``, for a channel that is new; others go on where they are."""
        with self._store.transaction() as db:
            db.execute(
                "INSERT INTO channels (name, seq) VALUES (?, ?) ON CONFLICT DO NOTHING",
                (channel, seq),
            )

    def read_until(self, channel: str) -> int:
        """The newest event that the channel has taken in."""
        with self._store.reading() as db:
            row = db.execute("SELECT seq FROM channels WHERE name = ?", (channel,)).fetchone()
        return int(row[0]) if row else 0

    def take_in(self, channel: str, waiting: Sequence[Waiting], *, until: int) -> None:
        """Note what is to be delivered, and that everything until ``until`` was looked at."""
        with self._store.transaction() as db:
            if waiting:
                db.executemany(
                    "INSERT INTO backlog (channel, seq, target, name) VALUES (?, ?, ?, ?)"
                    " ON CONFLICT DO NOTHING",
                    [(channel, w.seq, w.target, w.name) for w in waiting],
                )
            db.execute("UPDATE channels SET seq = ? WHERE name = ?", (until, channel))

    def heads(self, channel: str, *, overtaken_after: int) -> list[Waiting]:
        """The message that each target's others wait for, and those that were overtaken."""
        query = (
            "SELECT seq, target, name, refusals FROM backlog WHERE channel = ? AND ("
            " refusals >= ? OR seq IN (SELECT min(seq) FROM backlog WHERE channel = ?"
            " AND refusals < ? GROUP BY target)) ORDER BY seq"
        )
        with self._store.reading() as db:
            return _waiting(db.execute(query, (channel, overtaken_after) * 2))

    def following(self, channel: str, head: Waiting, *, most: int) -> list[Waiting]:
        """What waits for ``head``, in the journal's order."""
        query = (
            "SELECT seq, target, name, refusals FROM backlog"
            " WHERE channel = ? AND target = ? AND seq > ? ORDER BY seq LIMIT ?"
        )
        with self._store.reading() as db:
            return _waiting(db.execute(query, (channel, head.target, head.seq, most)))

    def delivered(self, channel: str, seq: int, *, at: str) -> None:
        """The receiver has it."""
        with self._store.transaction() as db:
            db.execute("DELETE FROM backlog WHERE channel = ? AND seq = ?", (channel, seq))
            db.execute(
                "UPDATE channels SET delivered = delivered + 1, delivered_at = ?, error = '',"
                " error_at = '' WHERE name = ?",
                (at, channel),
            )

    def failed(self, channel: str, seq: int, *, at: str, error: str, is_refusal: bool) -> None:
        """The receiver has not taken it: it stays."""
        with self._store.transaction() as db:
            db.execute(
                "UPDATE backlog SET refusals = refusals + ? WHERE channel = ? AND seq = ?",
                (int(is_refusal), channel, seq),
            )
            db.execute(
                "UPDATE channels SET error = ?, error_at = ? WHERE name = ?", (error, at, channel)
            )

    def status(self) -> list[ChannelStatus]:
        """Every channel that was ever delivered to or is to be."""
        query = (
            "SELECT c.name, count(b.seq), min(b.seq), c.seq, c.delivered, c.delivered_at, c.error,"
            " c.error_at FROM channels c LEFT JOIN backlog b ON b.channel = c.name"
            " GROUP BY c.name ORDER BY c.name"
        )
        with self._store.reading() as db:
            rows = db.execute(query).fetchall()
        fields = tuple(ChannelStatus.model_fields)
        return [ChannelStatus(**dict(zip(fields, row, strict=True))) for row in rows]


def _waiting(rows: Iterable[tuple[int, str, str, int]]) -> list[Waiting]:
    return [Waiting(seq=s, target=t, name=n, refusals=r) for s, t, n, r in rows]


def open_outbox(address: JournalAddress) -> Outbox:
    """The outbox that belongs to a journal: in its database, or in a file beside it."""
    return Outbox(address.database if address.url else address.home / FILE)
