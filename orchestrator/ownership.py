"""Which targets this controller looks after: its fair share of the fleet, under a lease for each.

Replicas need no word with each other: each computes the same shares from the names of those that
live, lets go of what is another's, and takes what is its own as soon as it is free. A replica that
joins is given its share gently: a few targets a tick, quiet ones first, none amid an act.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from orchestrator.fair_share import shares
from orchestrator.incident_book import IncidentBook
from orchestrator.journal import kinds
from orchestrator.journal.incidents import open_intents
from orchestrator.journal.payloads import LeaseLost
from orchestrator.model_fleet import Target
from orchestrator.session import Session
from tools.errors import MendloopError
from tools.lease import Lease, SharedLeases
from tools.managed_model import ManagedModel

log = structlog.get_logger()

GENTLY = 20
"""One of so many targets may be handed over in one tick: the others go on undisturbed."""
BEGINNING_S = 10.0
"""Targets are begun for so long in a tick, the last one to its end; after a restart with a large
fleet those that are begun must not wait for all the others."""
_STEPS = (kinds.STEP_INTENDED, kinds.STEP_OUTCOME)


class Ownership:
    """The sessions of this controller's share."""

    def __init__(
        self,
        leases: SharedLeases,
        holder: str,
        *,
        incidents: IncidentBook,
        begin: Callable[[Target, Lease], Session | None],
        monotonic_s: Callable[[], float],
    ) -> None:
        """``begin`` makes a session under a lease that was just taken."""
        self._monotonic_s, self._begin_until_s = monotonic_s, float("inf")
        self._leases = leases
        self._holder = holder
        self._incidents = incidents
        self._begin = begin
        self._sessions: dict[str, Session] = {}
        self._taken: dict[str, Lease] = {}
        self._basis: tuple[tuple[str, ...], frozenset[str]] | None = None
        self._share: frozenset[str] = frozenset()
        self._said = ""

    def share_out(self, targets: Sequence[Target]) -> None:
        """Let go of what is another replica's, and take what is free and this one's.

        While nobody can tell which replicas live, all stays as it is.
        """
        self._begin_until_s = self._monotonic_s() + BEGINNING_S
        try:
            self._recompute(tuple(target.model.target for target in targets))
            self._hand_over()
            wanted = self._share - self._sessions.keys()
            self._taken = self._leases.acquire_many(sorted(wanted), self._holder)
            self._said = ""
        except MendloopError as error:
            if self._said != str(error):
                log.warning("leases.unknown", holder=self._holder, reason=str(error))
            self._said = str(error)

    def session(self, target: Target) -> Session | None:
        """The target's session under a lease that is in force; None while it is another's, and
        where its turn to be begun comes with the next tick."""
        name = target.model.target
        session, lease = self._sessions.get(name), self._taken.pop(name, None)
        if session is not None:
            lease = self._leases.acquire(name, self._holder)  # renews the one that is held
            if session.lease == lease:
                return session
            del self._sessions[name]
            self._note_lost(session)
        if lease is None or self._monotonic_s() >= self._begin_until_s:
            return None
        begun = self._begin(target, lease)
        if begun is not None:
            self._sessions[name] = begun
        return begun

    def follow(self, models: tuple[ManagedModel, ...]) -> None:
        """The fleet is another one: let go of those that are not of it any more."""
        kept = {model.target for model in models}
        for name, session in list(self._sessions.items()):
            session.fleet = models
            if name not in kept:
                self._leases.release(self._sessions.pop(name).lease)

    def __len__(self) -> int:
        """How many targets it has."""
        return len(self._sessions)

    def has(self, target: str) -> bool:
        """Whether it is looked at in this tick."""
        return target in self._sessions or target in self._taken

    def standing(self, target: str) -> Session | None:
        """The target's session as it was left last; whether its lease stands is not asked."""
        return self._sessions.get(target)

    def leave(self) -> None:
        """Give everything back: others take it at once."""
        self._leases.leave(self._holder)
        self._sessions.clear()
        self._taken.clear()

    def _recompute(self, names: tuple[str, ...]) -> None:
        basis = (names, self._leases.replicas(self._holder))
        if basis == self._basis:
            return
        found = shares(names, basis[1])
        self._share = frozenset(name for name, holder in found.items() if holder == self._holder)
        self._basis = basis
        log.info("fleet.shared", replicas=len(basis[1]), targets=len(names), mine=len(self._share))

    def _hand_over(self) -> None:
        surplus = sorted(self._sessions.keys() - self._share, key=self._is_troubled)
        for name in surplus[: max(1, len(self._sessions) // GENTLY)]:
            session = self._sessions[name]
            if self._is_amid_an_act(name):
                continue
            self._note_lost(session, "it is another replica's share now")
            del self._sessions[name]
            self._leases.release(session.lease)

    def _note_lost(self, session: Session, reason: str = "") -> None:
        token = session.lease.token
        lost = LeaseLost(holder=self._holder, token=token, reason=reason)
        session.recorder.under(0).write(kinds.LEASE_LOST, lost, actor=self._holder)

    def _is_troubled(self, target: str) -> bool:
        return any(i.status in ("open", "waiting") for i in self._incidents.of(target))

    def _is_amid_an_act(self, target: str) -> bool:
        """Whether an intent is unanswered: who began it had better find out what came of it."""
        journal = self._incidents.journal
        return any(
            open_intents(journal.events(incident=i.id, kinds=_STEPS))
            for i in self._incidents.of(target)
            if i.status in ("open", "waiting")
        )
