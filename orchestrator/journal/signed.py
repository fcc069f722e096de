"""A journal that signs checkpoints: every so many events, every so often, at an incident's end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from orchestrator.journal import kinds
from orchestrator.journal.address import JournalAddress
from orchestrator.journal.audit import audit, root_text
from orchestrator.journal.checkpoint import Checkpoint, parse_notes
from orchestrator.journal.event import Entry, Event, Head
from orchestrator.journal.journal import Journal, Verification
from orchestrator.journal.keys import (
    finish_rotation,
    follow_keys,
    load_or_make_signer,
    read_verifiers,
    shared_signer,
)
from orchestrator.journal.merkle import TILE_WIDTH
from orchestrator.journal.note import Signer
from orchestrator.journal.payloads import JournalKeyed
from tools.errors import MendloopError, Refused
from tools.values import Value

_CLOSING = {kinds.INCIDENT_RESOLVED, kinds.INCIDENT_ESCALATED, kinds.CONTROLLER_STOPPED}
_log = structlog.get_logger()


class SignedJournal:
    """Implements Journal around the journal of a home folder.

    An append that is durable stays so when its checkpoint cannot be written: that is logged and
    tried again with the next append.
    """

    def __init__(
        self,
        where: Path | JournalAddress,
        *,
        at: datetime,
        every_events: int = 256,
        on_append: Callable[[Sequence[Event]], None] | None = None,
        on_signed: Callable[[], None] | None = None,
    ) -> None:
        """Open or make the journal ``where`` it is: a path is a file, with ``keys/`` and
        ``checkpoints/`` beside it. A key seen for the first time is recorded at ``at``.
        ``on_append`` is shown what was written, ``on_signed`` is told of each checkpoint.

        Only what came after the newest checkpoint is verified; `mendloop audit verify` does it all.
        Raises Refused when the journal contradicts the checkpoint: to sign on would make the
        forgery good; and when a shared journal is signed with another key than this home's.
        """
        self._lock = threading.Lock()
        self._address = where if isinstance(where, JournalAddress) else address_of(where)
        self._keys, self._every_events = self._address.keys, every_events
        self._on_append, self._on_signed = on_append, on_signed
        self._journal = self._address.open()
        try:
            with self._address.signing():
                finish_rotation(self._keys, self._recorded_key())
                self._signer = self._load_signer()
                if self._address.url and not self._recorded_key():
                    # At once, before another home that begins records a key of its own.
                    self._record_key(self._journal, at)
            self._folder = self._address.checkpoints()
            self._origin, self._signed_size = self._take_up()
            self._tree = self._journal.tree().frontier(self._signed_size)
            if self._recorded_key() != str(self._signer.verifier):
                self._record_key(self, at)
        except BaseException:
            self._journal.close()
            raise

    @property
    def address(self) -> JournalAddress:
        """Where the journal and its keys are."""
        return self._address

    @property
    def origin(self) -> str:
        """How the checkpoints name this log."""
        return self._origin

    @property
    def signed_events(self) -> int:
        """How many events the newest checkpoint covers."""
        return self._signed_size

    def close(self) -> None:
        """Sign what is not signed yet, and let go of the file."""
        self.sign()
        self._journal.close()

    def sign(self) -> bool:
        """Sign now if there are events that no checkpoint covers; says whether all are covered."""
        if self._journal.head().seq > self._signed_size:
            self._sign()
        return self._journal.head().seq <= self._signed_size

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
            if self._on_append is not None:
                self._on_append(events)
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

    def _take_up(self) -> tuple[str, int]:
        """Origin and size of the newest checkpoint, once the journal was held against it."""
        newest = self._folder.newest()
        if newest is None:
            self._must_be_whole(self._journal.verify())
            return self._signer.verifier.name, 0
        given = read_verifiers(self._keys)
        ((_, checkpoint),) = parse_notes([newest], follow_keys(given, self._keyed())[0])
        size = checkpoint.size
        if self._is_signed(checkpoint):
            # Together with the last whole tile, whose leaves are under the signed root.
            begin = max(0, size - 1) // TILE_WIDTH * TILE_WIDTH
            self._must_be_whole(self._journal.verify(after=begin))
        else:
            self._must_be_whole(audit(self._journal, [newest], given))
            self._journal.rebuild_tree()  # the events are what was signed: the kept nodes were not
        return checkpoint.origin, size

    def _is_signed(self, checkpoint: Checkpoint) -> bool:
        """Whether the kept nodes and the newest events lead to the root that was signed."""
        if self._journal.head().seq < checkpoint.size:
            return False
        try:
            root = self._journal.tree().root(checkpoint.size)
        except LookupError:
            return False
        return root_text(root) == checkpoint.root

    def _load_signer(self) -> Signer:
        if self._address.url:
            return shared_signer(self._keys, self._recorded_key())
        return load_or_make_signer(self._keys)

    def _must_be_whole(self, found: Verification) -> None:
        if not found.ok:
            raise Refused(
                f"the journal is not what was signed: {found.reason} (event {found.first_bad}); "
                "run `mendloop audit verify` and restore it, or move the home folder away"
            )

    def _keyed(self) -> list[tuple[int, JournalKeyed]]:
        found = self._journal.events(target="", kinds=[kinds.JOURNAL_KEYED])
        return [(event.seq, event.read(JournalKeyed)) for event in found]

    def _recorded_key(self) -> str:
        keyed = self._journal.last(kinds.JOURNAL_KEYED, target="")
        return keyed.read(JournalKeyed).verifier if keyed else ""

    def _record_key(self, journal: Journal, at: datetime) -> None:
        """A new key is an event like any other."""
        payload = JournalKeyed(verifier=str(self._signer.verifier))
        journal.append(kinds.JOURNAL_KEYED, at=at, actor="journal", payload=payload)

    def _sign(self) -> None:
        try:
            with self._lock, self._address.signing():
                signer = self._load_signer()  # it may have been rotated meanwhile
                for linked in self._journal.hashes(after=self._tree.size):
                    self._tree.add(bytes.fromhex(linked))
                checkpoint = Checkpoint(
                    origin=self._origin, size=self._tree.size, root=root_text(self._tree.root())
                )
                self._folder.write(checkpoint, signer)
                self._signed_size = checkpoint.size
        except (MendloopError, OSError) as error:
            _log.warning("checkpoint.failed", signed_events=self._signed_size, error=str(error))
        else:
            if self._on_signed is not None:
                self._on_signed()


def address_of(path: Path) -> JournalAddress:
    """Of a journal in a file."""
    return JournalAddress(path.parent, file=path.name)
