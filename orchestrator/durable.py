"""What a controller remembers, opened by one call: in the home folder, or in a PostgreSQL database.

    with open_durable(Path("/var/lib/mendloop"), "postgresql://...", at=clock.now()) as durable:
        Controller(targets, journal=durable.journal, checkpointer=durable.checkpointer, ...)
        make_senders(channels, durable.address, ...)

Several controllers may open one database. Each has a home folder of its own; ``HOME/keys`` must
hold the same ``journal.key`` in all of them (in a cluster: one Secret, made once by
``mendloop audit make-key``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from orchestrator.journal.address import JournalAddress
from orchestrator.journal.attended import AttendedJournal, Tracing
from orchestrator.journal.places import Place
from orchestrator.journal.settings import JournalSettings, settings_of

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

THREADS = "checkpoints.db"


@dataclass(frozen=True)
class Durable:
    """The journal and the threads; ``address`` opens readers, senders and the outbox."""

    address: JournalAddress
    journal: AttendedJournal
    checkpointer: BaseCheckpointSaver[Any]

    def close(self) -> None:
        """Sign what is not signed yet and let go; nothing acknowledged is lost without it."""
        self.journal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def open_durable(
    home: Path,
    url: str = "",
    *,
    at: datetime,
    settings: JournalSettings | None = None,
    places: Sequence[Place] = (),
    tracing: Tracing | None = None,
) -> Durable:
    """Open or make all of it; ``url`` is ``postgresql://...``, empty for files in ``home``.

    ``at``: when a key that is seen for the first time is recorded. ``places``: where copies of
    checkpoints go besides those of the settings (default: ``HOME/journal.yaml``). Makes or upgrades
    the database's tables.

    Raises Invalid for a malformed URL, Unavailable when there is no connection or it cannot be
    written, Refused for a newer database, a journal that is not what was signed, or another key.
    """
    from orchestrator.checkpointer import file_checkpointer, postgres_checkpointer

    address = JournalAddress(home, url)
    journal = AttendedJournal(
        address,
        at=at,
        settings=settings if settings is not None else settings_of(home),
        places=places,
        tracing=tracing,
    )
    try:
        threads = (
            postgres_checkpointer(address.database) if url else file_checkpointer(home / THREADS)
        )
    except BaseException:
        journal.close()
        raise
    return Durable(address=address, journal=journal, checkpointer=threads)
