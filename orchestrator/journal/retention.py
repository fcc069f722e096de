"""Takes old explanations out of the journal, leaves their digests, and writes down that it did.

Only payloads stored apart, of kinds in ``EXPLANATIONS``, of events older than the cut; never the
newest memory of a target (a controller goes on from it), nor anything of an incident that is open.
The chain, the tree and every proof stay as they are: they cover digests.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from orchestrator.journal import kinds
from orchestrator.journal.event import Entry
from orchestrator.journal.payloads import JournalPruned
from orchestrator.journal.store import Connection, put
from tools.values import Value

_NAMES_PER_EVENT = 5_000
"""A list of more digests would not fit an event."""

_KINDS = ",".join(f"'{kind}'" for kind in sorted(kinds.EXPLANATIONS))
_OLD = f"""
SELECT DISTINCT name, {{size}} FROM payloads
JOIN events ON payload = name
WHERE at < ? AND kind IN ({_KINDS}) AND NOT {{is_open}}
  AND name NOT IN (
    SELECT payload FROM events WHERE substr(payload, 1, 1) = '"'
      AND (at >= ? OR kind NOT IN ({_KINDS}) OR {{is_open}})
    UNION SELECT payload FROM events AS newest WHERE kind = '{kinds.MEMORY_SAVED}' AND seq = (
      SELECT max(seq) FROM events WHERE target = newest.target AND kind = newest.kind))
ORDER BY name
"""
"""Payloads that only old events carry."""


class Pruning(Value):
    """What a pruning takes, or took."""

    before: str
    payloads: tuple[str, ...]
    bytes: int


def prunable(
    connection: Connection, before: datetime, open_incidents: Sequence[str], *, size: str
) -> Pruning:
    """What may go, looked up and left in place; ``size`` is the database's way to say how many
    bytes ``content`` has."""
    text = before.astimezone(UTC).isoformat(timespec="microseconds")
    marks = ", ".join("?" * len(open_incidents))
    is_open = f"(incident IN ({marks}))" if open_incidents else "(1 = 0)"
    values = [text, *open_incidents, text, *open_incidents]
    found = connection.execute(_OLD.format(size=size, is_open=is_open), values).fetchall()
    return Pruning(
        before=text,
        payloads=tuple(name[1:-1] for name, _ in found),
        bytes=sum(size for _, size in found),
    )


def prune(
    connection: Connection,
    taken: Pruning,
    *,
    at: datetime,
    actor: str,
    reason: str,
    size: str,
) -> None:
    """Record and take them; the caller holds the transaction."""
    for names in _batches(taken.payloads):
        held = [(f'"{name}"',) for name in names]
        total = sum(
            connection.execute(f"SELECT {size} FROM payloads WHERE name = ?", name).fetchone()[0]
            for name in held
        )
        payload = JournalPruned(before=taken.before, payloads=names, bytes=total, reason=reason)
        entry = Entry(kind=kinds.JOURNAL_PRUNED, at=at, actor=actor, payload=payload)
        (linked,) = put(connection, [entry])
        connection.executemany(
            "INSERT INTO pruned (name, event) VALUES (?, ?)"
            " ON CONFLICT (name) DO UPDATE SET event = excluded.event",
            [(name, linked.row.seq) for (name,) in held],
        )
        connection.executemany("DELETE FROM payloads WHERE name = ?", held)


def _batches(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for begin in range(0, len(names), _NAMES_PER_EVENT):
        yield tuple(names[begin : begin + _NAMES_PER_EVENT])
