"""Port: the append-only log that is the truth about what mendloop did.

Adapters: ``orchestrator/journal/sqlite.py`` and ``postgres.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from orchestrator.journal.event import Entry, Event, Head
from tools.values import Value


class Verification(Value):
    """Whether the chain is whole, and if not, the first event that shows it."""

    ok: bool
    events: int
    """How many events were read and found good, from the first."""
    first_bad: int | None = None
    reason: str = ""
    checkpoints: int = 0
    """How many signed checkpoints were compared with it."""
    signed_events: int = 0
    """How many events the newest of them covers; the end after it may be cut off unseen."""
    pruned: int = 0
    """How many payloads are gone by recorded retention."""


class Journal(Protocol):
    """Takes events for good; nothing is ever changed or removed."""

    def append(
        self,
        kind: str,
        *,
        at: datetime,
        actor: str,
        payload: Value | Mapping[str, Any],
        target: str = "",
        incident: str = "",
    ) -> Event:
        """Add one event; it survives a crash once this returns.

        Raises Invalid for a payload that ``kind`` does not take, Unavailable when it cannot be
        written (disk full, locked, read-only): then nothing was written, and nothing may be done
        that was to be recorded.
        """

    def append_many(self, entries: Sequence[Entry]) -> list[Event]:
        """Add several events, all or none."""

    def events(
        self,
        *,
        incident: str | None = None,
        target: str | None = None,
        kinds: Collection[str] | None = None,
        after: int = 0,
        until: int | None = None,
    ) -> list[Event]:
        """The events that match, in order, after sequence number ``after``, through ``until``."""

    def last(self, kind: str, *, target: str) -> Event | None:
        """The newest event of a kind about a target, without reading the ones before."""

    def close(self) -> None:
        """Let go of the file; nothing acknowledged is lost when this is never called."""

    def head(self) -> Head:
        """The newest event's place in the chain."""

    def hashes(self, *, after: int = 0) -> Iterator[str]:
        """The events' hashes in order: the leaves of the Merkle tree."""

    def verify(self) -> Verification:
        """Recompute the whole chain. Cannot see that the newest events were cut off: a chain
        that ends early is whole. Signed checkpoints kept elsewhere show that."""
