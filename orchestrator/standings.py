"""Where each target stands on the ladder of autonomy, read from the journal alone."""

from __future__ import annotations

from orchestrator.journal import kinds
from orchestrator.journal.journal import Journal
from orchestrator.journal.payloads import AutonomyChanged, ModelManaged
from orchestrator.ladder import LadderBook, clean_within, rung_of
from tools.managed_model import ManagedModel, Rung
from tools.values import Value


class TargetStanding(Value):
    """One target's autonomy, and what it has earned."""

    target: str
    rung: Rung
    ceiling: Rung
    has_ladder: bool
    """False: autonomy is what the document says."""
    clean: int = 0
    """Incidents closed well on this rung."""
    needed: int = 0
    """How many earn the next one."""
    reason: str = ""
    """Why it was moved last."""


def standings_of(journal: Journal) -> list[TargetStanding]:
    """Every target of the journal, by name, under the document that it was kept by last."""
    book, models, reasons = LadderBook(), {}, {}
    times: dict[str, str] = {}
    for event in journal.events(kinds=[*LadderBook.KINDS, kinds.MODEL_MANAGED]):
        book.take(event)
        times[event.target] = event.payload.get("event_time") or times.get(event.target, "")
        if event.kind == kinds.MODEL_MANAGED:
            document = event.read(ModelManaged).document
            models[event.target] = ManagedModel.model_validate(document)
        elif event.kind == kinds.AUTONOMY_CHANGED:
            reasons[event.target] = event.read(AutonomyChanged).reason
    found = []
    for target, model in sorted(models.items()):
        rules, standing = model.spec.guardrails, book.standing(target)
        found.append(
            TargetStanding(
                target=target,
                rung=rung_of(rules, standing),
                ceiling=rules.autonomy,
                has_ladder=rules.ladder is not None,
                clean=len(clean_within(rules, standing, times.get(target, ""))),
                needed=rules.ladder.incidents if rules.ladder else 0,
                reason=reasons.get(target, ""),
            )
        )
    return found
