"""What a journal that is stored somewhere can do besides: prove, prune, and be read row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from orchestrator.journal.event import Row
from orchestrator.journal.journal import Journal, Verification
from orchestrator.journal.merkle import TiledTree
from orchestrator.journal.retention import Pruning
from orchestrator.journal.verification import Stored


class StoredJournal(Journal, Protocol):
    """A Journal with its own storage, be it SQLite's or PostgreSQL's."""

    def rows(self, *, after: int = 0, until: int | None = None) -> Iterator[tuple[Row, str | None]]:
        """Every event as it is stored, with what is stored apart of it (None: gone)."""

    def tree(self) -> TiledTree:
        """The Merkle tree over the events, as they are now."""

    def rebuild_tree(self) -> None:
        """Make the kept nodes anew from the events."""

    def verify(
        self, *, after: int = 0, watch: Callable[[Stored], None] | None = None
    ) -> Verification:
        """See Journal; ``after`` leaves out the events through that one, known to be good."""

    def prunable(self, before: datetime, open_incidents: Sequence[str]) -> Pruning:
        """What retention would take now."""

    def prune(self, taken: Pruning, *, at: datetime, actor: str, reason: str) -> None:
        """Take it for good, recorded in the chain, all or nothing."""
