"""Judges past decisions again under other rules: which would differ, and because of which rule.

What the rules could read then stands in the journal with every ruling, so nothing is guessed. Only
what was asked can be asked again: had a step been forbidden, what came after it would be different.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from pydantic import ValidationError

from orchestrator.change_calendar import calendar_at
from orchestrator.journal.event import Event
from orchestrator.journal.payloads import GuardJudged
from orchestrator.rules import Rules
from policies.context import GuardContext
from policies.engine import judge
from policies.ruling import Decision, RuleVerdict, Ruling
from tools.values import Value


class Difference(Value):
    """One past decision that the changed rules would not make, or would make for other reasons."""

    event: int
    """Its sequence number in the journal."""
    at: str
    incident: str
    target: str
    tool: str
    stage: str
    was: Decision
    now: Decision
    gained: tuple[str, ...] = ()
    """Rules that object now and did not then, with what they say."""
    lost: tuple[str, ...] = ()
    """Rules that objected then and do not now."""


class Replay(Value):
    """What came of it."""

    judged: int
    """Decisions that were judged again."""
    unreadable: int = 0
    """Those that were recorded without the values they were made from."""
    differences: tuple[Difference, ...] = ()


def replay(events: Iterable[Event], rules: Rules, *, replaced: frozenset[str]) -> Replay:
    """Every ``guard.judged`` of ``events`` under ``rules``.

    ``replaced``: kinds of documents that are part of the change; calendars and fleet limits that
    are not count as they did then.
    """
    judged, unreadable, differences = 0, 0, []
    for event in events:
        past = event.read(GuardJudged)
        context = _context(past.context, rules, replaced)
        if context is None:
            unreadable += 1
            continue
        judged += 1
        found = _difference(event, past, _judge(rules, context))
        if found is not None:
            differences.append(found)
    return Replay(judged=judged, unreadable=unreadable, differences=tuple(differences))


def kinds_in(texts: Mapping[str, str]) -> frozenset[str]:
    """Kinds of the documents in ``texts``."""
    return frozenset(str(document.get("kind")) for document in _documents(texts))


def names_in(texts: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """(kind, name) of the documents in ``texts``."""
    return frozenset(_name(document) for document in _documents(texts))


def without_those_in(base: Mapping[str, str], changed: Mapping[str, str]) -> dict[str, str]:
    """``base`` less the documents that ``changed`` brings in another version."""
    names = names_in(changed)
    kept = [document for document in _documents(base) if _name(document) not in names]
    return {"in force": yaml.safe_dump_all(kept, sort_keys=False)} if kept else {}


def _documents(texts: Mapping[str, str]) -> list[dict[str, Any]]:
    found = [document for text in texts.values() for document in yaml.safe_load_all(text)]
    return [document for document in found if isinstance(document, dict)]


def _name(document: Mapping[str, Any]) -> tuple[str, str]:
    kind = str(document.get("kind"))
    if kind == "FleetLimits":
        return kind, ""  # there is one of them
    return kind, str((document.get("metadata") or {}).get("name"))


def _context(
    recorded: dict[str, Any], rules: Rules, replaced: frozenset[str]
) -> GuardContext | None:
    if not recorded:
        return None
    try:
        context = GuardContext.model_validate(recorded)
    except ValidationError:
        return None
    changes: dict[str, Any] = {}
    if "ChangeCalendar" in replaced:
        zone = context.calendar.time_zone or "UTC"
        changes["calendar"] = calendar_at(rules.calendars, context.target, zone, context.now)
    if "FleetLimits" in replaced:
        changes["fleet"] = context.fleet.model_copy(update={"limits": rules.fleet.limits()})
    return context.model_copy(update=changes)


def _judge(rules: Rules, context: GuardContext) -> Ruling:
    """As acting, and denied as well if no plan could contain it."""
    ruling = judge(rules.policies, context)
    if context.stage == "planning":
        return ruling
    planned = judge(rules.policies, context.model_copy(update={"stage": "planning"}))
    seen = {(v.policy, v.rule) for v in ruling.verdicts}
    forbidding = set(planned.forbidding)
    added = tuple(
        v
        for v in planned.verdicts
        if v.policy in forbidding and v.result == "violated" and (v.policy, v.rule) not in seen
    )
    decision = Decision.DENY if added else ruling.decision
    return Ruling(decision=decision, verdicts=ruling.verdicts + added)


def _difference(event: Event, past: GuardJudged, now: Ruling) -> Difference | None:
    before, after = _objections(past.ruling), _objections(now)
    if past.ruling.decision is now.decision and set(before) == set(after):
        return None
    return Difference(
        event=event.seq,
        at=event.at,
        incident=event.incident,
        target=event.target,
        tool=past.tool,
        stage=past.stage,
        was=past.ruling.decision,
        now=now.decision,
        gained=tuple(f"{name}: {said}" for name, said in after.items() if name not in before),
        lost=tuple(f"{name}: {said}" for name, said in before.items() if name not in after),
    )


def _objections(ruling: Ruling) -> dict[str, str]:
    """Rule -> what it says, for every rule that objects."""
    return {_rule(v): v.message for v in ruling.verdicts if v.result != "passed"}


def _rule(verdict: RuleVerdict) -> str:
    return f"{verdict.policy}[{verdict.rule}]"
