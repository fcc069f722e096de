"""A journal that signs a checkpoint at the end of every incident and every so many events."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from orchestrator.journal import kinds
from orchestrator.journal.audit import root_text, verify_against
from orchestrator.journal.checkpoint import (
    Checkpoint,
    CheckpointFolder,
    load_or_make_signer,
    read_verifiers,
)
from orchestrator.journal.event import Entry, Event, Head
from orchestrator.journal.journal import Verification
from orchestrator.journal.merkle import Frontier
from orchestrator.journal.note import Verifier
from orchestrator.journal.payloads import JournalKeyed
from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Refused, Unavailable
from tools.values import Value

_CLOSING = {kinds.INCIDENT_RESOLVED, kinds.INCIDENT_ESCALATED, kinds.CONTROLLER_STOPPED}
_log = structlog.get_logger()


class SignedJournal:
    """Implements Journal around the journal in a home folder.

    An append that is durable stays so when its checkpoint cannot be written: that is logged and
    tried again with the next append.
    """

    def __init__(self, path: Path, *, at: datetime, every_events: int = 256) -> None:
        """Open or make the journal at ``path``; keys and checkpoints lie in ``keys/`` and
        ``checkpoints/`` beside it. A key seen for the first time is recorded at ``at``.

        Raises Refused when the journal contradicts a checkpoint signed before: to sign on would
        make the forgery good.
        """
        self._lock = threading.Lock()
        self._journal = SqliteJournal(path)
        try:
            self._signer = load_or_make_signer(path.parent / "keys")
            self._folder = CheckpointFolder(path.parent / "checkpoints")
            self._every_events = every_events
            self._tree = Frontier()
            self._origin, self._signed_size = self._take_up(read_verifiers(path.parent / "keys"))
            self._record_key(at)
        except BaseException:
            self._journal.close()
            raise

    def close(self) -> None:
        """Sign what is not signed yet, and let go of the file."""
        if self._journal.head().seq > self._signed_size:
            self._sign()
        self._journal.close()

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
        """See Journal."""
        entry = Entry(
            kind=kind, at=at, target=target, incident=incident, actor=actor, payload=payload
        )
        return self.append_many([entry])[0]

    def append_many(self, entries: Sequence[Entry]) -> list[Event]:
        """See Journal."""
        events = self._journal.append_many(entries)
        if events:
            unsigned = events[-1].seq - self._signed_size
            closes = any(event.kind in _CLOSING for event in events)
            if closes or unsigned >= self._every_events:
                self._sign()
        return events

    def events(
        self,
        *,
        incident: str | None = None,
        target: str | None = None,
        kinds: Collection[str] | None = None,
        after: int = 0,
        until: int | None = None,
    ) -> list[Event]:
        """See Journal."""
        return self._journal.events(
            incident=incident, target=target, kinds=kinds, after=after, until=until
        )

    def last(self, kind: str, *, target: str) -> Event | None:
        """See Journal."""
        return self._journal.last(kind, target=target)

    def head(self) -> Head:
        """See Journal."""
        return self._journal.head()

    def hashes(self, *, after: int = 0) -> Iterator[str]:
        """See Journal."""
        return self._journal.hashes(after=after)

    def verify(self) -> Verification:
        """See Journal."""
        return self._journal.verify()

    def _take_up(self, verifiers: list[Verifier]) -> tuple[str, int]:
        """Origin and size of the newest checkpoint, after the journal was held against all."""
        known = self._folder.read(verifiers)
        found = verify_against(self._journal, known)
        if not found.ok:
            raise Refused(
                f"the journal is not what was signed: {found.reason} (event {found.first_bad}); "
                "run `mendloop audit verify` and restore it, or move the home folder away"
            )
        origin = known[-1][1].origin if known else self._signer.verifier.name
        return origin, found.signed_events

    def _record_key(self, at: datetime) -> None:
        """A new key is an event like any other."""
        verifier = str(self._signer.verifier)
        keyed = self._journal.last(kinds.JOURNAL_KEYED, target="")
        if keyed is None or keyed.read(JournalKeyed).verifier != verifier:
            payload = JournalKeyed(verifier=verifier)
            self.append(kinds.JOURNAL_KEYED, at=at, actor="journal", payload=payload)

    def _sign(self) -> None:
        with self._lock:
            for linked in self._journal.hashes(after=self._tree.size):
                self._tree.add(bytes.fromhex(linked))
            checkpoint = Checkpoint(
                origin=self._origin, size=self._tree.size, root=root_text(self._tree.root())
            )
        try:
            self._folder.write(checkpoint, self._signer)
        except Unavailable as error:
            _log.warning("checkpoint.failed", size=checkpoint.size, error=str(error))
        else:
            self._signed_size = checkpoint.size
