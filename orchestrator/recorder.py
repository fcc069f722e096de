"""Writes a target's events: fills in who, when and which incident, so that callers say only what.

Evidence and the memory that it changed go into the journal together or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

from agents.memory import TargetMemory
from orchestrator.journal import kinds
from orchestrator.journal.event import Entry
from orchestrator.journal.journal import Journal
from orchestrator.journal.payloads import MemorySaved, ModelManaged
from tools.clock import Clock
from tools.errors import Invalid
from tools.managed_model import ManagedModel
from tools.values import Value, digest

Line = tuple[str, str, Value]
"""(kind, actor, payload)."""


class Recorder:
    """A journal, seen from one target."""

    def __init__(self, journal: Journal, clock: Clock, target: str, *, token: int = 0) -> None:
        """``token``: of the lease that is written under; the journal refuses it once it is old."""
        self.journal = journal
        self._token = token
        self._clock = clock
        self._target = target

    def under(self, token: int) -> Recorder:
        """The same for the owner with this token."""
        return Recorder(self.journal, self._clock, self._target, token=token)

    def of(self, target: str) -> Recorder:
        """The same journal, seen from another target."""
        return Recorder(self.journal, self._clock, target)

    def write(
        self,
        kind: str,
        payload: Value,
        *,
        actor: str = "orchestrator",
        incident: str = "",
        memory: TargetMemory | None = None,
    ) -> None:
        """One event, with the memory that changed with it. Raises Unavailable when not durable."""
        self.write_all([(kind, actor, payload)], incident=incident, memory=memory)

    def write_all(
        self, lines: Sequence[Line], *, incident: str = "", memory: TargetMemory | None = None
    ) -> None:
        """Several events, all or none."""
        now = self._clock.now()
        entries = [
            Entry(
                kind=kind,
                at=now,
                target=self._target,
                incident=incident,
                actor=actor,
                payload=payload,
                token=self._token,
            )
            for kind, actor, payload in lines
        ]
        if memory is not None:
            entries.append(
                Entry(
                    kind=kinds.MEMORY_SAVED,
                    at=now,
                    target=self._target,
                    incident=incident,
                    actor="orchestrator",
                    payload=MemorySaved(memory=memory.model_dump(mode="json")),
                    token=self._token,
                )
            )
        if entries:
            self.journal.append_many(entries)

    def name_model(self, model: ManagedModel) -> None:
        """Write the document down when it is another one than the last: decisions rest on it."""
        name = document_digest(model)
        known = self.journal.last(kinds.MODEL_MANAGED, target=self._target)
        if known is None or known.read(ModelManaged).digest != name:
            document = model.model_dump(mode="json")
            self.write(kinds.MODEL_MANAGED, ModelManaged(digest=name, document=document))

    def last_memory(self) -> TargetMemory:
        """What was remembered last; a target never seen before has an empty memory."""
        saved = self.journal.last(kinds.MEMORY_SAVED, target=self._target)
        if saved is None:
            return TargetMemory()
        try:
            return TargetMemory.model_validate(saved.payload["memory"])
        except ValidationError as error:
            raise Invalid(
                f"what is remembered of {self._target} (event {saved.seq}) was written by another"
                " version of mendloop; go on with that version, or with a new home"
            ) from error


def document_digest(model: ManagedModel) -> str:
    """The name under which the journal knows the document."""
    return digest(model.model_dump(mode="json"))
