"""Every change of the simulated world while a controller is at work, and the promises it breaks.

The world is compared with itself after each write, so an effect counts whoever caused it and
whatever the caller was told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.journal import kinds
from orchestrator.journal.incidents import duplicated_effects, fold_incidents, open_intents
from orchestrator.journal.journal import Journal
from orchestrator.take_over import holder_of
from tools.managed_model import ManagedModel

CANDIDATE_STEPS = ("start_canary", "advance_canary")
STEPS = (kinds.STEP_INTENDED, kinds.STEP_OUTCOME)

LIFE = (kinds.INCIDENT_OPENED, kinds.INCIDENT_RESOLVED, kinds.INCIDENT_ESCALATED)
PROOFS = (kinds.STEP_INTENDED, kinds.EVIDENCE_JUDGED)


@dataclass(frozen=True)
class Standing:
    """What a target consists of at one moment."""

    aliases: Mapping[str, str]
    servers: Mapping[str, str]
    """Version to the key of the call that started its server."""
    masked: Mapping[str, tuple[str, ...]]
    shares: Mapping[str, int]
    """Version to percent, as the document says it."""
    mirror: str = ""
    """Version that copies of requests go to."""
    receipt: str = ""
    """Key of the last write of the route."""
    is_edited: bool = False
    """Whether somebody else wrote the weights last."""
    servable: frozenset[str] = frozenset()
    """Versions whose gates passed and whose server answers."""

    gated: frozenset[str] = frozenset()
    """Versions whose gates passed."""

    @property
    def route(self) -> str:
        """Shares and copies, in words."""
        copies = f", copies to {self.mirror}" if self.mirror else ""
        return f"{dict(self.shares)}{copies}"


@dataclass(frozen=True)
class Effect:
    """One thing that changed, from what to what."""

    what: str
    before: str
    after: str
    key: str = ""
    """Idempotency key that the world bears for it, where it bears one."""


def changes(before: Standing, after: Standing) -> list[Effect]:
    """What differs between two moments."""
    found = []
    for kind in ("aliases", "servers", "masked"):
        old, new = getattr(before, kind), getattr(after, kind)
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name) and not (kind == "masked" and name not in old):
                key = str(new.get(name, "")) if kind == "servers" else ""
                was, is_ = str(old.get(name, "")), str(new.get(name, ""))
                found.append(Effect(what=f"{kind} {name}", before=was, after=is_, key=key))
    if (before.shares, before.mirror) != (after.shares, after.mirror):
        found.append(Effect("route", before.route, after.route, after.receipt))
    return found


@dataclass
class Ledger:
    """The effects of one world in order, and what about them should not have been."""

    document: ManagedModel
    journal: Journal
    effects: list[Effect] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def take(self, found: list[Effect], standing: Standing) -> None:
        """Note effects right after they happened; check that each was announced."""
        intents = {
            event.payload["key"]: event for event in open_intents(self.journal.events(kinds=STEPS))
        }
        for effect in found:
            self.effects.append(effect)
            if not intents:
                self.broken.append(f"{effect}: no intent is on record")
            if effect.key and effect.key not in intents:
                self.broken.append(f"{effect}: its key is not that of an open intent")
        self.check(standing)

    def check(self, standing: Standing) -> None:
        """The promises about traffic that hold at every moment."""
        total = sum(standing.shares.values())
        if total != 100:
            self.broken.append(f"weights add up to {total}")
        for version, share in standing.shares.items():
            if share and version not in standing.servable:
                self.broken.append(f"version {version} is not servable and gets {share} %")
        if standing.mirror and not standing.is_edited and not self._is_a_persons(standing):
            self._check_copies(standing)
        settled = {standing.aliases.get("champion"), standing.aliases.get("former")}
        share = sum(p for v, p in standing.shares.items() if v not in settled)
        if share and not standing.is_edited and not self._is_a_persons(standing):
            self.check_candidate(share)

    def _check_copies(self, standing: Standing) -> None:
        """A version that gets copies is gated, and an open incident looks after them."""
        if standing.mirror not in standing.gated:
            self.broken.append(f"version {standing.mirror} is not gated and gets copies")
        told = self.journal.events(target=self.document.target, kinds=LIFE)
        if not any(i.status in ("open", "waiting") for i in fold_incidents(told)):
            self.broken.append(f"version {standing.mirror} gets copies and no incident is open")

    def _is_a_persons(self, standing: Standing) -> bool:
        """Whether a person has the target in hand, or handed it back with this very split."""
        target = self.document.target
        if holder_of(self.journal, target) != "mendloop":
            return True
        accepted = self.journal.last(kinds.BASELINE_ACCEPTED, target=target)
        return accepted is not None and accepted.payload["found"]["split"] == standing.shares

    def check_candidate(self, share: int) -> None:
        """A candidate's share was announced by an open incident, and the step before proved."""
        told = self.journal.events(target=self.document.target, kinds=LIFE)
        live = [i.id for i in fold_incidents(told) if i.status in ("open", "waiting")]
        if not live:
            self.broken.append(f"a candidate gets {share} % and no incident is open")
            return
        events = self.journal.events(target=self.document.target, kinds=PROOFS)
        announced = {
            event.payload["arguments"]["percent"]
            for event in events
            if event.incident in live
            and event.kind == kinds.STEP_INTENDED
            and event.payload["tool"] in CANDIDATE_STEPS
        }
        if share not in announced:
            self.broken.append(f"a candidate gets {share} %, announced were {sorted(announced)}")
        steps = self.document.spec.rollout.steps_percent
        before = max((step for step in steps if step < share), default=0)
        proved = any(
            event.kind == kinds.EVIDENCE_JUDGED
            and event.incident in live
            and event.payload["question"] == f"judge_canary(percent={before})"
            and event.payload["verdict"] == "healthy"
            for event in events
        )
        if before and not proved:
            self.broken.append(f"a candidate gets {share} %, {before} % was never proved")

    def check_end(self) -> None:
        """The promises about the whole record."""
        twice = duplicated_effects(self.journal.events())
        if twice:
            self.broken.append(f"{twice} keys took effect more than once")
        verified = self.journal.verify()
        if not verified.ok:
            self.broken.append(f"journal: {verified.reason}")
        started = Counter(e.what for e in self.effects if e.what.startswith("servers") and e.after)
        self.broken += [f"{what} was started {n} times" for what, n in started.items() if n > 1]
