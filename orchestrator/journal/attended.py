"""The journal as a running mendloop keeps it: signed in time, copied elsewhere, told to tracing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from orchestrator.journal.address import JournalAddress
from orchestrator.journal.courier import Courier
from orchestrator.journal.event import Event
from orchestrator.journal.journal import Journal
from orchestrator.journal.places import Place, make_place
from orchestrator.journal.settings import JournalSettings
from orchestrator.journal.signed import SignedJournal, address_of


class Tracing(Protocol):
    """Makes a trace of what is appended; see ``orchestrator.telemetry``."""

    def follow(self, journal: Journal, events: Sequence[Event]) -> None:
        """These events were just appended. Must be quick and must not raise."""

    def close(self) -> None:
        """The journal is about to be closed."""


class AttendedJournal(SignedJournal):
    """A SignedJournal with the settings of its home in force."""

    def __init__(
        self,
        where: Path | JournalAddress,
        *,
        at: datetime,
        settings: JournalSettings,
        places: Sequence[Place] = (),
        tracing: Tracing | None = None,
    ) -> None:
        """See SignedJournal; ``tracing`` is shown what was appended. ``places`` get copies of
        checkpoints, as those of the settings do."""
        self._tracing = tracing
        address = where if isinstance(where, JournalAddress) else address_of(where)
        wanted = settings.spec.checkpoints
        self._courier = Courier(
            address.checkpoints(),
            [*(make_place(place) for place in wanted.places), *places],
            sign=self.sign,
            every_s=wanted.every.total_seconds(),
        )
        super().__init__(
            address,
            at=at,
            every_events=wanted.every_events,
            on_append=partial(tracing.follow, self) if tracing else None,
            on_signed=self._courier.wake,
        )
        self._courier.start()
        self._courier.wake()  # an earlier process may have left something undelivered

    def close(self) -> None:
        """Sign what is not signed yet, deliver it if that is quick, and let go of the file."""
        self.sign()
        self._courier.close()
        if self._tracing is not None:
            self._tracing.close()
        super().close()
