"""The rules in force together: policies, calendars and fleet limits, from one set of documents.

Operators' documents join those that mendloop ships. A shipped policy is replaced only by one of
its name that says so; those that keep a promise of mendloop are never replaced.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml

from orchestrator.change_calendar import ChangeCalendar
from orchestrator.fleet_limits import FleetLimits, FleetLimitsSpec
from orchestrator.policy_files import builtin_texts
from policies.engine import PolicySet, load_policies
from tools.documents import parse_document
from tools.errors import Invalid
from tools.values import digest

KEPT = ("kill-switch", "gated-versions-only")
"""Stop means stop, and unvalidated models take no traffic: promises, not preferences."""
_OTHERS = ("ChangeCalendar", "FleetLimits")


@dataclass(frozen=True)
class Rules:
    """What decides whether a step may be taken."""

    policies: PolicySet
    calendars: tuple[ChangeCalendar, ...] = ()
    fleet: FleetLimitsSpec = field(default_factory=FleetLimitsSpec)

    @property
    def names(self) -> tuple[str, ...]:
        """Every document by name."""
        policies = [p.name for p in self.policies.policies]
        return (*policies, *(f"calendar {c.metadata.name}" for c in self.calendars))

    @property
    def digest(self) -> str:
        """SHA-256 over all of it: under which rules a decision was made."""
        others = [c.model_dump(mode="json") for c in self.calendars]
        return digest([self.policies.digest, others, self.fleet.model_dump(mode="json")])


def load_rules(own: Mapping[str, str]) -> Rules:
    """The shipped documents with the operators' ``own`` (YAML by name of its source).

    Raises Invalid with source, line and column where one is wrong; then none of it is in force.
    """
    calendars: dict[str, ChangeCalendar] = {}
    limits: list[FleetLimits] = []
    for source, document in _documents(own):
        match document.get("kind"):
            case "ChangeCalendar":
                found = parse_document(document, ChangeCalendar, source=source)
                if found.metadata.name in calendars:
                    raise Invalid(f"{source}: there is another calendar {found.metadata.name}")
                calendars[found.metadata.name] = found
            case "FleetLimits":
                limits.append(parse_document(document, FleetLimits, source=source))
    if len(limits) > 1:
        names = " and ".join(limit.metadata.name for limit in limits)
        raise Invalid(f"one FleetLimits document is taken, found {names}")
    return Rules(
        policies=load_policies(own, shipped=builtin_texts(), kept=KEPT, other_kinds=_OTHERS),
        calendars=tuple(calendars[name] for name in sorted(calendars)),
        fleet=limits[0].spec if limits else FleetLimitsSpec(),
    )


def _documents(texts: Mapping[str, str]) -> Iterator[tuple[str, dict[str, object]]]:
    for source in sorted(texts):
        try:
            found = list(yaml.safe_load_all(texts[source]))
        except yaml.YAMLError as error:
            raise Invalid(f"{source} is not valid YAML: {error}") from error
        yield from ((source, document) for document in found if isinstance(document, dict))
