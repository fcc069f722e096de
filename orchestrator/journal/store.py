"""The journal's tables inside one transaction: events, payloads stored apart, and the tree's nodes.

The nodes (roots of 256, 65,536, ... events) follow from the events' hashes and are kept so that a
proof reads a few pages of a long journal. Nobody trusts them: a proof is checked against the signed
root, and `mendloop audit verify` does without them.

The statements are those that SQLite and PostgreSQL both understand, with ``?`` for a value.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Protocol

from orchestrator.journal.event import Entry, Event, Head, Linked, Row, chain
from orchestrator.journal.kinds import EXPLANATIONS, LEASE_ACQUIRED
from orchestrator.journal.merkle import TILE_HEIGHT, TILE_WIDTH, leaf_hash, perfect_root
from tools.errors import Refused, Unavailable

COLUMNS = "seq, id, at, kind, target, incident, actor, payload, prev_hash, hash"
WITH_CONTENT = (
    f"SELECT {COLUMNS}, content, event FROM events"
    " LEFT JOIN payloads ON payloads.name = payload LEFT JOIN pruned ON pruned.name = payload"
)
"""Rows with what is stored apart, or the event that had it pruned."""


class Rows(Protocol):
    """What a statement found."""

    def __iter__(self) -> Iterator[Any]:
        """Row by row."""

    def fetchone(self) -> Any:
        """The next row; None when there is none."""

    def fetchall(self) -> list[Any]:
        """All of them."""


class Connection(Protocol):
    """A connection to either database."""

    def execute(self, query: str, parameters: Sequence[Any] = (), /) -> Rows:
        """Run one statement."""

    def executemany(self, query: str, parameters: Iterable[Sequence[Any]], /) -> object:
        """Run one statement for each."""


_HEAD = "SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1"
_PUT_EVENT = f"INSERT INTO events ({COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?)"
_PUT_PAYLOAD = "INSERT INTO payloads (name, content) VALUES (?,?) ON CONFLICT DO NOTHING"
_PUT_NODE = (
    "INSERT INTO nodes (level, place, root) VALUES (?,?,?)"
    " ON CONFLICT (level, place) DO UPDATE SET root = excluded.root"
)
_LEASE = "SELECT payload FROM events WHERE target = ? AND kind = ? ORDER BY seq DESC LIMIT 1"
_NODES = "SELECT root FROM nodes WHERE level = ? AND place >= ? AND place < ? ORDER BY place"
_LEAVES = "SELECT hash FROM events WHERE seq > ? AND seq <= ? ORDER BY seq"


def head_of(connection: Connection) -> Head:
    """The newest event's place in the chain."""
    newest = connection.execute(_HEAD).fetchone()
    return Head(seq=newest[0], hash=newest[1]) if newest else Head()


def put(connection: Connection, entries: Sequence[Entry]) -> list[Linked]:
    """Append; the caller holds the transaction.

    Raises Unavailable for an entry under a lease that a newer one has replaced.
    """
    for target, token in sorted({(e.target, e.token) for e in entries if e.token}):
        _check_owner(connection, target, token)
    head = before = head_of(connection)
    written = []
    for entry in entries:
        linked = chain(head, entry)
        written.append(linked)
        head = Head(seq=linked.row.seq, hash=linked.row.hash)
    apart = [(found.row.payload, found.content) for found in written if found.row.is_apart]
    if apart:
        connection.executemany(_PUT_PAYLOAD, apart)
    connection.executemany(_PUT_EVENT, [found.row for found in written])
    if head.seq // TILE_WIDTH > before.seq // TILE_WIDTH:
        grow_tree(connection, before.seq, head.seq)
    return written


def _check_owner(connection: Connection, target: str, token: int) -> None:
    """Inside the transaction: whoever was held up between its last look at the lease and this
    write must not overwrite what the next owner remembers."""
    newest = connection.execute(_LEASE, (target, LEASE_ACQUIRED)).fetchone()
    owner = int(json.loads(newest[0])["token"]) if newest else 0
    if token < owner:
        raise Unavailable(
            f"the record of {target} belongs to the owner with fencing token {owner}; a record"
            f" with token {token} came too late, nothing was written. If no newer owner is alive,"
            " the leases were lost: give this target a lease with a higher token"
        )


def grow_tree(connection: Connection, before: int, size: int) -> None:
    """Keep the root of every tile that became full while the journal grew."""
    level = 0
    while size >= TILE_WIDTH:
        for tile in range(before // TILE_WIDTH, size // TILE_WIDTH):
            nodes = nodes_of(connection, level, tile * TILE_WIDTH, (tile + 1) * TILE_WIDTH)
            connection.execute(_PUT_NODE, (level + TILE_HEIGHT, tile, perfect_root(nodes)))
        level, before, size = level + TILE_HEIGHT, before // TILE_WIDTH, size // TILE_WIDTH


def nodes_of(connection: Connection, level: int, begin: int, end: int) -> list[bytes]:
    """The nodes of one level that exist; those of level 0 are made from the events' hashes."""
    if level:
        return [root for (root,) in connection.execute(_NODES, (level, begin, end))]
    return [leaf_hash(bytes.fromhex(h)) for (h,) in connection.execute(_LEAVES, (begin, end))]


def selection(
    *,
    incident: str | None,
    target: str | None,
    kinds: Collection[str] | None,
    after: int,
    until: int | None,
) -> tuple[str, list[Any]]:
    """The statement for what ``Journal.events`` is asked, and its values."""
    conditions, values = ["seq > ?"], [after]  # type: tuple[list[str], list[Any]]
    for column, value in (("incident", incident), ("target", target)):
        if value is not None:
            conditions.append(f"{column} = ?")
            values.append(value)
    if incident:
        conditions.append("incident != ''")  # Lets the partial index be used.
    if until is not None:
        conditions.append("seq <= ?")
        values.append(until)
    if kinds is not None:
        marks = ", ".join("?" * len(kinds))
        conditions.append(f"kind IN ({marks})" if kinds else "1 = 0")
        values += sorted(kinds)
    return f"{WITH_CONTENT} WHERE {' AND '.join(conditions)} ORDER BY seq", values


def events_of(found: Iterable[tuple[Any, ...]]) -> list[Event]:
    """Events from rows as ``WITH_CONTENT`` selects them.

    Raises Refused where a payload is gone that no retention takes: the journal is damaged.
    """
    return [_event(Row(*row[:10]), row[10], row[11]) for row in found]


def _event(row: Row, content: str | None, pruned_by: int | None) -> Event:
    if not row.is_apart or content is not None:
        return row.event(content)
    if pruned_by is not None:
        return row.event(missing=f"was pruned by retention (event {pruned_by})")
    if row.kind in EXPLANATIONS:
        return row.event(missing="was deleted; `mendloop audit verify` tells more")
    raise Refused(
        f"the payload of event {row.seq} ({row.kind}) was deleted: the journal is damaged; stop"
        " mendloop, restore the file, then run `mendloop audit verify`"
    )
