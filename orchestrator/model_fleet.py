"""The fleet of a controller: which models it keeps, and what becomes of them while it runs.

What changes is journalled before it is in force. A document that is broken leaves the one before in
force, after a restart too: the journal has it. A model that is removed amid an incident *leaves*:
what is half-way is taken back first, then its incidents end, and only then is it let go. Which ones
leave is read off the journal, so a controller that was killed meanwhile goes on with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import structlog
from pydantic import ValidationError

from agents.ports import Desk
from orchestrator.incident_book import IncidentBook
from orchestrator.journal import kinds
from orchestrator.journal.journal import Journal
from orchestrator.journal.payloads import ModelManaged, ModelsFollowed, ModelsRejected
from orchestrator.model_source import Broken, Documents, ModelDocument, ModelSource
from tools.errors import Invalid, MendloopError, Refused
from tools.managed_model import ManagedModel

log = structlog.get_logger()


@dataclass(frozen=True)
class Target:
    """One managed model and the desk from which it is kept healthy."""

    model: ManagedModel
    desk: Desk


Seat = Callable[[ModelDocument], Target]
"""Puts a model at its desk. Raises Invalid when the platform cannot keep it."""
EVERYTHING = "(all)"
"""The place of an error that is about the source itself."""


class Fleet(Protocol):
    """The models of one controller; may change between ticks."""

    @property
    def targets(self) -> Sequence[Target]:
        """Those that are kept now, and those that leave."""

    def refresh(self, journal: Journal, *, at: datetime, actor: str) -> None:
        """Take in what has changed. Raises Unavailable when the journal does not take it: then
        nothing has changed."""

    def is_leaving(self, target: str) -> bool:
        """Whether nobody wants the model kept any more."""


class FixedFleet:
    """Implements Fleet with models that stay."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.targets = targets

    def refresh(self, journal: Journal, *, at: datetime, actor: str) -> None:
        """Nothing changes."""

    def is_leaving(self, target: str) -> bool:
        """Nobody does."""
        return False


class FollowedFleet:
    """Implements Fleet with the documents of a source."""

    def __init__(self, source: ModelSource, seat: Seat, *, home: Path) -> None:
        """``home``: what the relative paths of a document without a place of its own are taken
        from."""
        self._source, self._seat, self._home = source, seat, home
        self._read: Documents | None = None
        self._errors: dict[str, str] = {}
        self._places: dict[str, str] = {}
        """Target -> the place of its document."""
        self._documents: dict[str, ModelDocument] = {}
        self._seats: dict[str, Target] = {}
        self._leaving: dict[str, Target] = {}
        self._abandoned: set[str] = set()
        """Would leave, and cannot be put at a desk; said once."""
        self._book: IncidentBook | None = None
        self._said: dict[str, str] = {}

    @property
    def targets(self) -> Sequence[Target]:
        """See Fleet."""
        return (*self._seats.values(), *self._leaving.values())

    @property
    def rejected(self) -> dict[str, str]:
        """Place -> what is wrong there."""
        return dict(self._errors)

    @property
    def is_known(self) -> bool:
        """Whether the source was ever read."""
        return self._read is not None

    def is_leaving(self, target: str) -> bool:
        """See Fleet."""
        return target in self._leaving

    def refresh(self, journal: Journal, *, at: datetime, actor: str) -> None:
        """See Fleet."""
        if self._book is None:
            self._book = IncidentBook(journal)
        try:
            found = self._source.read()
        except MendloopError as error:
            self._reject({**self._errors, EVERYTHING: str(error)}, journal, at, actor)
            return
        if not found and not self._source.may_be_empty and (self._seats or self._open()):
            told = "no model document is left; taken for a lost mount. To stop mendloop, stop it"
            self._reject({EVERYTHING: told}, journal, at, actor)
            return
        if found is not self._read:
            self._take(found, journal, at, actor)
        self._let_go(journal)

    def _take(self, found: Documents, journal: Journal, at: datetime, actor: str) -> None:
        errors: dict[str, str] = {}
        documents: dict[str, ModelDocument] = {}
        places: dict[str, str] = {}
        for place, document in self._claims(found, errors, journal):
            target = document.model.target
            if target not in places:
                documents[target], places[target] = document, place
            elif place not in errors:
                errors[place] = f"{target} is described in {places[target]} too; remove one"
        seats = self._seated(documents, places, errors)
        self._reject(errors, journal, at, actor)
        self._say(seats, journal, at, actor)
        self._read, self._errors, self._places = found, errors, places
        self._documents = {name: documents[name] for name in seats}
        self._seats = seats

    def _claims(
        self, found: Documents, errors: dict[str, str], journal: Journal
    ) -> Iterator[tuple[str, ModelDocument]]:
        """Place and document, those first that have the better right to their target."""
        good = {place: each for place, each in found.items() if isinstance(each, ModelDocument)}
        standing = [p for p, each in good.items() if self._places.get(each.model.target) == p]
        for place in [*standing, *(p for p in good if p not in standing)]:
            yield place, good[place]
        for place, each in found.items():
            if isinstance(each, Broken):
                errors[place] = each.error
                before = self._before(place, each, journal)
                if before is not None:
                    yield place, before

    def _before(self, place: str, each: Broken, journal: Journal) -> ModelDocument | None:
        """What was in force where a broken document stands."""
        known = next((t for t, known in self._places.items() if known == place), each.target)
        if known in self._documents:
            return self._documents[known]
        return _journalled(known, each.folder, journal) if known else None

    def _seated(
        self, documents: dict[str, ModelDocument], places: dict[str, str], errors: dict[str, str]
    ) -> dict[str, Target]:
        seats: dict[str, Target] = {}
        for target, document in documents.items():
            if self._documents.get(target) == document:
                seats[target] = self._seats[target]
                continue
            try:
                seats[target] = self._seat(document)
            except (Invalid, Refused) as error:
                errors[places[target]] = str(error)
                if target in self._seats:
                    seats[target], documents[target] = self._seats[target], self._documents[target]
        return seats

    def _say(self, seats: dict[str, Target], journal: Journal, at: datetime, actor: str) -> None:
        """Which models are kept from now on."""
        before = self._seats
        changed = tuple(sorted(t for t in seats.keys() & before.keys() if seats[t] != before[t]))
        added = tuple(sorted(seats.keys() - before.keys()))
        removed = tuple(sorted(before.keys() - seats.keys()))
        if self._read is not None and not (changed or added or removed):
            return
        told = ModelsFollowed(
            models=len(seats),
            added=added if self._read is not None else (),
            changed=changed,
            removed=removed,
        )
        journal.append(kinds.MODELS_FOLLOWED, at=at, actor=actor, payload=told)
        log.info("models.followed", **told.model_dump())

    def _reject(self, errors: dict[str, str], journal: Journal, at: datetime, actor: str) -> None:
        """Say loudly what is broken, once."""
        if errors and errors != self._said:
            told = ModelsRejected(errors=errors)
            journal.append(kinds.MODELS_REJECTED, at=at, actor=actor, payload=told)
            for place, error in sorted(errors.items()):
                log.error("models.rejected", place=place, error=error)
        self._said, self._errors = errors, errors

    def _let_go(self, journal: Journal) -> None:
        """Models with an open incident that no document speaks of."""
        wanted = self._open() - self._seats.keys()
        for target in self._leaving.keys() - wanted:
            del self._leaving[target]
            if target not in self._seats:
                log.info("model.released", target=target)
        for target in sorted(wanted - self._leaving.keys()):
            document = _journalled(target, self._home, journal)
            if document is None:
                continue
            try:
                self._leaving[target] = self._seat(document)
            except (Invalid, Refused) as error:
                if target not in self._abandoned:
                    log.error("model.abandoned", target=target, reason=str(error))
                self._abandoned.add(target)
            else:
                log.warning("model.leaving", target=target)

    def _open(self) -> set[str]:
        incidents = self._book.every() if self._book is not None else []
        return {i.target for i in incidents if i.status in ("open", "waiting")}


def _journalled(target: str, folder: Path, journal: Journal) -> ModelDocument | None:
    """The document by which the target was kept last."""
    managed = journal.last(kinds.MODEL_MANAGED, target=target)
    if managed is None:
        return None
    try:
        model = ManagedModel.model_validate(managed.read(ModelManaged).document)
    except ValidationError:
        return None  # of another version of mendloop
    return ModelDocument(model, folder)
