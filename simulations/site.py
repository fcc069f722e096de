"""One target of a world: its parcels, its servers, its users, and what was done to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from agents.served import FORMER
from simulations.behaviour import Behaviour
from simulations.effects import Effect, Standing, changes
from simulations.faults.document import FaultDocument, RowFault, ServingFault
from simulations.faults.serving import TrafficSurge
from simulations.law import excess_loss
from simulations.records import Records, rhythm
from simulations.served_log import Answered
from simulations.site_ledger import SiteLedger
from simulations.workshop import Workshop
from tools.managed_model import ManagedModel
from tools.registry import CHALLENGER, CHAMPION
from tools.routing import read_state

if TYPE_CHECKING:
    from simulations.fleet import FleetWorld
    from simulations.law import Floats

NEARBY = (50, 100)
"""Rows before and after a moment over which the expected loss of that moment is taken."""
RESTARTS_S = (1.0, 5.0)
"""When a server that went down is looked at: its crash is noticed, then it comes up again."""
ROLES = {"champion": CHAMPION, "challenger": CHALLENGER, "former": FORMER}
_CROWDED = 0.8
"""Share of the capacity beyond which answers get slow, and beyond all of it fail."""


@dataclass(frozen=True)
class Moment:
    """What users met between two moments."""

    from_s: float
    until_s: float
    requests: int
    errors: float
    """Expected share of its requests that failed."""
    slow: float
    """Expected share of its requests that were answered late."""
    excess: float
    """Mean log loss per request beyond perfect knowledge."""
    split: dict[str, int]


@dataclass
class Deed:
    """Something that an operator did."""

    at_s: float
    act: str
    what: str


@dataclass
class Site:
    """One target."""

    world: FleetWorld
    document: ManagedModel
    records: Records
    workshop: Workshop
    ledger: SiteLedger
    number: int
    answered: Answered
    requests_per_s: float
    capacity: float
    faults: list[tuple[FaultDocument, float]] = field(default_factory=list)
    """Those of its servers that have been triggered, and when."""
    moments: list[Moment] = field(default_factory=list)
    deeds: list[Deed] = field(default_factory=list)
    known: Standing | None = None
    usual_excess: float = 0.0
    """Mean log loss beyond perfect knowledge of the first champion, on its history."""

    @property
    def name(self) -> str:
        """The model's name."""
        return self.document.metadata.name

    @property
    def target(self) -> str:
        """``namespace/name``."""
        return self.document.target

    @property
    def route(self) -> tuple[str, str]:
        """Namespace and name of its VirtualService."""
        return self.document.metadata.namespace, self.document.spec.serving.route

    def trigger(self, fault: FaultDocument, at_s: float) -> None:
        """A fault's clock begins to run."""
        if isinstance(fault, RowFault):
            strength = fault.strength(self.records.table.at_s - at_s)
            self.records.change(fault.order, lambda table: fault.change(table, strength))
        elif isinstance(fault, ServingFault):
            self.faults.append((fault, at_s))

    def behaviour(self, version: str, at_s: float, load: float = 0.0) -> Behaviour:
        """How a version's server behaves at a moment, under so much of its capacity."""
        found = self.workshop.made[version].behaviour
        for fault, since_s in self.faults:
            strength = float(fault.strength(np.array([at_s - since_s]))[0])
            if isinstance(fault, ServingFault):
                found = fault.serve(found, strength, self, version)
        if load > _CROWDED:
            slow = min(0.9, (load - _CROWDED) * 0.8)
            found = found.worse(slow=slow, errors=max(0.0, 1.0 - 1.0 / load) if load > 1 else 0.0)
        return found

    def rate(self, at_s: float) -> float:
        """Requests per second at a moment."""
        rate = self.requests_per_s * float(rhythm(np.array([at_s]), self.records.crowd)[0])
        for fault, since_s in self.faults:
            if isinstance(fault, TrafficSurge):
                rate *= fault.load(float(fault.strength(np.array([at_s - since_s]))[0]))
        return rate

    def split_in_force(self) -> dict[str, int]:
        """Version to percent, by the data plane."""
        found = self.world.traffic.in_force(*self.route)
        state = read_state(found, self.document.spec.serving.host) if found else None
        return dict(state.split.shares) if state else {}

    def serve(self, from_s: float, until_s: float, rng: np.random.Generator) -> None:
        """Users ask for a while: rows are answered and logged, requests are counted."""
        split = {v: p for v, p in self.split_in_force().items() if p}
        middle = (from_s + until_s) / 2
        rate = self.rate(middle)
        requests = int(rng.poisson(rate * (until_s - from_s)))
        shares = np.array(list(split.values())) / 100
        counts = rng.multinomial(requests, shares)
        errors = slow = loss = 0.0
        rows = slice(self.answered.until, self.records.index(until_s))
        chosen = rng.choice(len(split), size=rows.stop - rows.start, p=shares)
        for index, (version, count) in enumerate(zip(split, counts.tolist(), strict=True)):
            load = rate * float(shares[index]) / self.capacity
            behaviour = self.behaviour(version, middle, load)
            share = float(shares[index])
            failed, late = self._count(version, count, behaviour, rng)
            errors, slow = errors + share * failed, slow + share * late
            loss += share * self.excess(version, behaviour, (rows.start + rows.stop) // 2)
            self._log(version, behaviour, rows, chosen == index)
        self._copy(requests, middle, rng)
        self.answered.until = rows.stop
        self.moments.append(Moment(from_s, until_s, requests, errors, slow, loss, split))

    def _count(
        self, version: str, count: int, behaviour: Behaviour, rng: np.random.Generator
    ) -> tuple[float, float]:
        """Count what the version answered; the shares that were to be expected."""
        if not self.world.workloads.answers(self.target, version):
            self.world.metrics.count(self.target, version, count, errors=count)
            return 1.0, 0.0
        errors = int(rng.binomial(count, behaviour.errors))
        slow = int(rng.binomial(count - errors, behaviour.slow))
        self.world.metrics.count(self.target, version, count, errors=errors, slow=slow)
        return behaviour.errors, (1 - behaviour.errors) * behaviour.slow

    def _copy(self, requests: int, at_s: float, rng: np.random.Generator) -> None:
        """Count what a shadow made of copies; no user meets any of it."""
        found = self.world.traffic.in_force(*self.route)
        host = self.document.spec.serving.host
        mirror = read_state(found, host).split.mirror if found else None
        if mirror is None:
            return
        copies, behaviour = round(requests * mirror.percent / 100), Behaviour(errors=1.0)
        if self.world.workloads.answers(self.target, mirror.version):
            behaviour = self.behaviour(mirror.version, at_s)
        errors = int(rng.binomial(copies, behaviour.errors))
        slow = int(rng.binomial(copies - errors, behaviour.slow))
        self.world.metrics.count(
            self.target, mirror.version, copies, errors=errors, slow=slow, mirrored=True
        )

    def _masked(self, version: str) -> tuple[str, ...]:
        return self.world.workloads.read(self.target, version).config.masked

    def excess(self, version: str, behaviour: Behaviour, index: int) -> float:
        """Expected log loss beyond perfect knowledge, by the true law, around the row."""
        table = self.records.table
        near = slice(max(index - NEARBY[0], 0), min(index + NEARBY[1], len(table.at_s)))
        rows = {name: values[near] for name, values in table.arrived.items()}
        believed = behaviour.answer(self.workshop.made[version].model, rows, self._masked(version))
        return float(excess_loss(believed, table.chance[near]).mean())

    def _log(self, version: str, behaviour: Behaviour, rows: slice, mine: Floats) -> None:
        if not mine.any():
            return
        table, masked = self.records.table, self._masked(version)
        told = {name: values[rows][mine] for name, values in table.arrived.items()}
        believed = behaviour.answer(self.workshop.made[version].model, told, masked)
        self.answered.answer(rows, version, mine, believed, masked)

    def standing(self) -> Standing:
        """What the target consists of now."""
        world, name = self.world, self.document.spec.model
        with world.own():
            found = {a: world.registry.by_alias(name, a) for a in (CHAMPION, CHALLENGER, FORMER)}
            servers = {s.version: s for s in world.workloads.servers(self.target)}
            document = world.traffic.read(*self.route)
            route = read_state(document, self.document.spec.serving.host)
            gated = {v.version for v in world.registry.versions(name) if v.gates_passed}
            up = {v for v in servers if world.workloads.answers(self.target, v)}
            return Standing(
                aliases={alias: v.version for alias, v in found.items() if v is not None},
                servers={version: server.key for version, server in servers.items()},
                masked={version: server.config.masked for version, server in servers.items()},
                shares=dict(route.split.shares),
                mirror=route.split.mirror.version if route.split.mirror else "",
                receipt=route.receipt,
                is_edited=bool(route.edited),
                servable=frozenset(gated & up),
                gated=frozenset(gated),
            )

    def notice(self) -> list[Effect]:
        """What an operator's call has changed, since the standing before it."""
        before, after = self.known, self.standing()
        found = changes(before, after) if before else []
        self.known = after
        return found

    def do(self, act: str, what: str) -> None:
        """Write an operator's act down and let it set off what waits for it."""
        self.deeds.append(Deed(self.world.now_s, act, what))

    def edit_weights(self, percent: int) -> None:
        """Somebody else writes the weights past everyone."""
        standing = self.standing()
        champion = standing.aliases.get(CHAMPION, "")
        others = sorted((v for v in standing.servers if v != champion), key=int)
        other = standing.aliases.get(CHALLENGER) or (others[-1] if others else "")
        shares = {champion: 100 - percent, other: percent} if other else {champion: 100}
        host = self.document.spec.serving.host
        routes = [
            {"destination": {"host": host, "subset": f"v{version}"}, "weight": share}
            for version, share in shares.items()
        ]
        patch = [{"op": "replace", "path": "/spec/http/0/route", "value": routes}]
        self.world.traffic.edit(*self.route, patch)
        self.ledger.is_disturbed = True

    def move_alias(self, alias: str, to: str) -> None:
        """Somebody else moves an alias; the route stays."""
        registry, name = self.world.registry, self.document.spec.model
        versions = registry.versions(name)
        if to == "nothing":
            registry.delete_alias(name, alias, key="by-hand")
        else:
            version = versions[-1 if to == "newest" else 0].version
            registry.set_alias(name, alias, version, key="by-hand")
        self.ledger.is_disturbed = True

    def crash(self, role: str, *, for_good: bool) -> None:
        """The server of a role goes down."""
        version = self.standing().aliases.get(ROLES[role], "")
        if version in self.standing().servers:
            self.world.workloads.crash(self.target, version)
            for after_s in RESTARTS_S:  # as a kubelet would, whoever looks
                self.world.later(self.world.now_s + after_s, lambda: self._restart(version))
            if for_good:
                self.world.workloads.broken.add(self._digest(version))

    def _restart(self, version: str) -> None:
        self.world.workloads.read(self.target, version)

    def mend(self, role: str) -> None:
        """What kept the server of a role from starting is gone."""
        version = self.standing().aliases.get(ROLES[role], "")
        if version:
            self.world.workloads.broken.discard(self._digest(version))

    def _digest(self, version: str) -> str:
        return self.world.registry.get(self.document.spec.model, version).artifact_digest
