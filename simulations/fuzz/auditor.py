"""Judges every effect of a fuzz case against the promises, at the moment at which it happens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from agents.catalog import all_tools
from agents.contract import Undo
from orchestrator.approvals import APPROVAL_KINDS, fold_approvals
from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.incidents import open_intents
from orchestrator.kill_switch import KillSwitch
from orchestrator.take_over import holder_of
from simulations.effects import STEPS, Effect, Ledger, Standing, changes
from tools.registry import CHALLENGER
from tools.routing import PREVIOUS, RECEIPT, SPLIT, TOKEN, WRITTEN

if TYPE_CHECKING:
    from simulations.fuzz.world import FuzzWorld

OURS = (TOKEN, RECEIPT, WRITTEN, SPLIT, PREVIOUS)
FORWARD = ("start_canary", "advance_canary")


class Auditor:
    """The effects of controllers in one world, and the promises that they broke."""

    def __init__(self, world: FuzzWorld) -> None:
        self.effects: list[Effect] = []
        self.broken: list[str] = []
        self.in_flight: tuple[str, str] = ("", "")
        """(holder, call) of a call that had left its controller when the world changed under it."""
        self._world = world
        self._ledger = Ledger(world.document, world.journal, broken=self.broken)
        self._tools = {name: tool.contract for name, tool in all_tools().items()}
        self._foreign = _foreign(world.body(), world.document.spec.serving.host)

    def accept(self, body: Mapping[str, Any]) -> None:
        """What stands in the document now is somebody else's doing."""
        self._foreign = _foreign(body, self._world.document.spec.serving.host)

    def judge(self, call: str, before: Standing, after: Standing) -> None:
        """One write of the controller at work, right after it took effect."""
        if call.startswith("traffic."):
            found = _foreign(self._world.body(), self._world.document.spec.serving.host)
            if found != self._foreign:
                self._say(5, f"a foreign field of the route changed: {self._foreign} -> {found}")
        effects = changes(before, after)
        self.effects += effects
        had_left = self.in_flight == (self._world.acting, call.partition(":")[0])
        if had_left:
            self.in_flight = ("", "")
        intents = open_intents(self._world.journal.events(kinds=STEPS))
        for effect in effects:
            if not had_left:
                self._check_owner(effect)
                self._check_hands(effect)
                self._check_pause(effect, intents)
            if not had_left or effect.what == "route":
                self._check_intent(effect, intents)
            if effect.what == "route":
                self._check_route(before, after, intents)
            if effect.what.startswith("servers") and not effect.after:
                self._check_stop(effect.what.removeprefix("servers "), before, after)

    def check_record(self) -> None:
        """The promises about the whole journal."""
        self._ledger.check_end()
        events = self._world.journal.events()
        allowed: dict[str, str] = {}
        approved: set[str] = set()
        token = 0
        self._check_approvals(events)
        for event in events:
            match event.kind:
                case kinds.GUARD_JUDGED:
                    allowed[event.payload["key"]] = event.payload["ruling"]["decision"]
                case kinds.APPROVAL_USED:
                    approved.add(event.payload["key"])
                case kinds.LEASE_ACQUIRED:
                    if event.payload["token"] < token:
                        self._say(1, f"token {event.payload['token']} came after token {token}")
                    token = max(token, event.payload["token"])
                case kinds.STEP_INTENDED:
                    decision = allowed.get(event.payload["key"], "")
                    if event.payload["key"] in approved and decision == "require_approval":
                        decision = "allow"
                    self._check_announcement(event, decision, token)

    def _check_approvals(self, events: list[Event]) -> None:
        """Whatever was used had been given, and was used once."""
        asked = [e for e in events if e.kind in APPROVAL_KINDS]
        used = Counter(e.payload["approval"] for e in asked if e.kind == kinds.APPROVAL_USED)
        for standing in fold_approvals(asked):
            times = used[standing.approval]
            if times > 1 or (times and standing.status != "used"):
                self._say(7, f"an approval was used {times} times and is {standing.status}")

    def _check_announcement(self, event: Event, decision: str, token: int) -> None:
        payload = event.payload
        if decision != "allow":
            said = f"{payload['tool']} was intended, the guardrails said {decision or 'nothing'}"
            self._say(7, said)
        if payload["token"] != token:
            self._say(
                1, f"{payload['tool']} was intended under token {payload['token']} of {token}"
            )
        known = (*self._tools, *Undo)
        if payload["undo"] not in known:
            self._say(4, f"{payload['tool']} names no undo: {payload['undo']!r}")

    def _check_owner(self, effect: Effect) -> None:
        newest = self._world.leases.newest(self._world.target)
        if newest is not None and newest.holder != self._world.acting:
            said = f"{self._world.acting} changed {effect} although {newest.holder} took over"
            self._say(1, said)

    def _check_hands(self, effect: Effect) -> None:
        if holder_of(self._world.journal, self._world.target) == "person":
            self._say(5, f"{effect} although a person has the target in hand")

    def _check_pause(self, effect: Effect, intents: list[Event]) -> None:
        pause = KillSwitch(self._world.kill_switch).read(self._world.target)
        returning = [i for i in intents if self._tools[i.payload["tool"]].is_safe_return]
        if pause.active and not (pause.allows_safe_return and returning):
            self._say(8, f"{effect} while the target is paused")

    def _check_intent(self, effect: Effect, intents: list[Event]) -> None:
        if not intents:
            self._say(2, f"{effect}: no intent is on record")
        elif effect.key and effect.key not in {i.payload["key"] for i in intents}:
            self._say(2, f"{effect}: its key is not that of an open intent")

    def _check_route(self, before: Standing, after: Standing, intents: list[Event]) -> None:
        if before.is_edited:
            self._say(5, f"the route was written over somebody else's edit: {after.shares}")
        if sum(after.shares.values()) != 100:
            self._say(5, f"weights add up to {sum(after.shares.values())}")
        gained = {v for v, p in after.shares.items() if p > before.shares.get(v, 0)}
        tools = {i.payload["tool"] for i in intents}
        for version in sorted(gained):
            if version not in after.servable and tools & set(FORWARD):
                self._say(3, f"version {version} is not servable and gets traffic: {after.shares}")
        healthy = {v for v, p in before.shares.items() if p and v in before.servable}
        if healthy and not any(v in after.servable for v, p in after.shares.items() if p):
            said = f"no version that answers is left on the route: {before.shares}"
            self._say(4, f"{said} -> {after.shares}, answering are {sorted(after.servable)}")
        share = sum(after.shares.get(v, 0) for v in gained - _settled(after))
        if share:
            self._ledger.check_candidate(share)

    def _check_stop(self, version: str, before: Standing, after: Standing) -> None:
        if before.shares.get(version, 0):
            self._say(4, f"the server of version {version} was stopped with traffic on it")
        if version in before.servable and not after.servable:
            self._say(4, f"version {version} was stopped, the only one that answered")

    def _say(self, promise: int, what: str) -> None:
        self.broken.append(f"promise {promise}: {what}")


def _settled(standing: Standing) -> set[str]:
    return {v for alias, v in standing.aliases.items() if alias != CHALLENGER}


def _foreign(body: Mapping[str, Any], host: str) -> dict[str, Any]:
    """What in the document is not mendloop's: all but destinations, weights, copies to a version of
    the target, and its own stamps."""
    metadata = {k: v for k, v in body["metadata"].items() if k != "resourceVersion"}
    stamps = metadata.get("annotations") or {}
    metadata["annotations"] = {k: v for k, v in stamps.items() if k not in OURS}
    routes = []
    for route in body["spec"]["http"]:
        copies = {"mirror", "mirrorPercentage"} if _copies_to(route) == host else set()
        routes.append({k: v for k, v in route.items() if k not in {"route", *copies}})
    return {"metadata": metadata, "spec": {**body["spec"], "http": routes}}


def _copies_to(route: Mapping[str, Any]) -> str:
    return str((route.get("mirror") or {}).get("host", ""))
