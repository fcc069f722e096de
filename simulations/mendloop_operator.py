"""The real controller as the operator of a generated world, with its deaths and its approver."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import lru_cache
from typing import Any

import structlog
import yaml

from agents.catalog import all_tools
from orchestrator import approvals
from orchestrator.controller import Controller, Target
from orchestrator.in_memory import memory_checkpointer
from orchestrator.journal import kinds
from orchestrator.journal.payloads import ApprovalRequested, DiagnosisMade
from orchestrator.policy_files import builtin_texts
from policies.document import GuardrailPolicy
from policies.engine import PolicySet, load_policies
from simulations.crashes import Killed
from simulations.fleet import FleetWorld
from simulations.operator import Claim
from simulations.records import START
from tools.errors import MendloopError

RESTART_S = 60.0
"""How long a dead controller's successor takes to come up."""
LASTING = (kinds.WINDOW_OBSERVED, kinds.MEMORY_SAVED)
"""Events of mere looking: after them, the next look may come late."""


class MendloopOperator:
    """Implements Operator with the controller that production runs."""

    is_announced = True

    def __init__(self) -> None:
        self._controller: Controller | None = None
        self._dead_until_s = 0.0
        self._holders = 0
        self._seen = 0
        self._checkpointer = memory_checkpointer()

    def start(self, world: FleetWorld) -> None:
        """See Operator."""
        self._world = world
        self._policies = _policies(world)
        self._revive()

    def tick(self) -> bool:
        """See Operator."""
        self._answer()
        if self._controller is None and self._world.now_s >= self._dead_until_s:
            self._revive()
        if self._controller is not None:
            with self._mortal(), _defects(self._world.violations):
                self._controller.tick()
        return self._is_moved()

    def stop(self) -> None:
        """See Operator."""
        self._controller = None

    def claims(self) -> list[Claim]:
        """See Operator; incidents and diagnoses, as the journal has them."""
        found = []
        names = {site.target: site.name for site in self._world.sites}
        wanted = (kinds.INCIDENT_OPENED, kinds.DIAGNOSIS_MADE)
        for event in self._world.journal.events(kinds=wanted):
            at_s = (datetime.fromisoformat(event.at).replace(tzinfo=None) - START).total_seconds()
            name = names[event.target]
            if event.kind == kinds.INCIDENT_OPENED:
                found.append(Claim(at_s=at_s, target=name, what="detected"))
            else:
                cause = event.read(DiagnosisMade).cause
                found.append(Claim(at_s=at_s, target=name, what="diagnosed", cause=cause))
        return found

    def _revive(self) -> None:
        with self._mortal(), _defects(self._world.violations):
            self._holders += 1
            controller = Controller(
                [Target(model=s.document, desk=self._world.desk(s)) for s in self._world.sites],
                journal=self._world.watched_journal(),
                checkpointer=self._checkpointer,
                leases=self._world.leases,
                policies=self._policies,
                tools=all_tools(),
                kill_switch=self._world.kill_switch,
                holder=f"controller-{self._holders}",
                new_id=self._world.new_incident,
            )
            controller.start()
            self._controller = controller

    @contextmanager
    def _mortal(self) -> Iterator[None]:
        """A controller that dies here is followed by another one a little later."""
        try:
            yield
        except (Killed, MendloopError):
            self._controller = None
            self._dead_until_s = self._world.now_s + RESTART_S
            self._world.leases.expire(f"controller-{self._holders}")

    def _is_moved(self) -> bool:
        head = self._world.journal.head().seq
        if head == self._seen:
            return False
        fresh = self._world.journal.events(after=self._seen)
        self._seen = head
        return any(event.incident and event.kind not in LASTING for event in fresh)

    def _answer(self) -> None:
        """The person of the scenario answers what was asked long enough ago."""
        said = self._world.scenario.spec.guardrails.approver
        if said.answers == "never":
            return
        journal, clock = self._world.journal, self._world.clock
        for event in journal.events(kinds=[kinds.APPROVAL_REQUESTED]):
            name = event.read(ApprovalRequested).approval
            standing = approvals.find(journal, name)
            asked = datetime.fromisoformat(event.at)
            if standing is None or standing.status != "pending" or clock.now() - asked < said.after:
                continue
            is_yes = said.answers == "approves"
            approvals.answer(
                journal, clock, name, by="approver", approve=is_yes, reason="rehearsed"
            )


def _policies(world: FleetWorld) -> PolicySet:
    inline = world.scenario.spec.guardrails.policies
    return _loaded(tuple(_text(policy) for policy in inline))


def _text(policy: GuardrailPolicy) -> tuple[str, str]:
    body = policy.model_dump(mode="json", by_alias=True)
    return f"scenario/{policy.metadata.name}", yaml.safe_dump(body, sort_keys=False)


@lru_cache(maxsize=16)
def _loaded(inline: tuple[tuple[str, str], ...]) -> PolicySet:
    """Compiled once per process: rules are pure, and most scenarios add none."""
    return load_policies(builtin_texts() | dict(inline))


@contextmanager
def _defects(found: list[str]) -> Iterator[None]:
    """Silence the controller's log, and keep what it caught that is no error of ours."""
    before: dict[str, Any] = structlog.get_config()

    def keep(_: Any, __: str, event: Any) -> Any:
        if event["event"] == "target.broken":
            found.append(f"defect of the controller: {_told()}")
        raise structlog.DropEvent

    structlog.configure(processors=[keep])
    try:
        yield
    finally:
        structlog.configure(**before)


def _told() -> str:
    import sys

    return repr(sys.exc_info()[1])[:300]
