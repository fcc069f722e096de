"""The rules in force, and what was done so far that they count: one for a whole controller."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from orchestrator.change_calendar import calendar_at
from orchestrator.journal.journal import Journal
from orchestrator.policy_files import builtin_policies
from orchestrator.rule_folder import RuleFolder
from orchestrator.rules import Rules
from orchestrator.track_record import TrackRecord
from policies.context import CalendarContext, FleetContext
from policies.engine import PolicySet
from tools.managed_model import ManagedModel


@dataclass
class Rulebook:
    """Shared by the sessions of a controller; ``rules`` is replaced as a whole between ticks."""

    rules: Rules
    record: TrackRecord
    weights: dict[str, float] = field(default_factory=dict)
    """Traffic of each target beside the others'."""
    source: RuleFolder | None = None
    """Where changed rules come from."""

    @classmethod
    def of(
        cls,
        models: Iterable[ManagedModel],
        record: TrackRecord,
        *,
        policies: PolicySet | None = None,
        source: RuleFolder | None = None,
    ) -> Rulebook:
        """For the fleet of these models; without ``source``, ``policies`` or the shipped ones."""
        rules = source.in_force if source else Rules(policies or builtin_policies())
        found = cls(rules, record, source=source)
        found.weigh(models)
        return found

    def weigh(self, models: Iterable[ManagedModel]) -> None:
        """These are the fleet from now on."""
        self.weights = {m.target: m.spec.guardrails.traffic_weight for m in models}

    def refresh(self, journal: Journal, *, at: datetime, actor: str) -> None:
        """Changed rules are in force from now on; broken ones leave those before.

        Raises Unavailable when the journal does not take it: then nothing has changed.
        """
        if self.source is not None:
            self.rules = self.source.refresh(journal, at=at, actor=actor)

    def at(self, target: str, now: datetime) -> FleetContext:
        """What rules may read about it when ``target`` asks."""
        changing = self.record.changing(besides=target)
        total = sum(self.weights.values())
        under_change = sum(self.weights.get(name, 1.0) for name in {*changing, target})
        limits = self.rules.fleet
        return FleetContext(
            targets=len(self.weights),
            changing=tuple(changing),
            traffic_percent=100.0 * min(1.0, under_change / total) if total else 100.0,
            spent=self.record.fleet.since(now - limits.period),
            limits=limits.limits(),
        )

    def calendar(self, model: ManagedModel, now: datetime) -> CalendarContext:
        """What day it is for the model, and which freezes are in force."""
        zone = model.spec.guardrails.time_zone
        return calendar_at(self.rules.calendars, model.target, zone, now)
