"""A platform in virtual time behind the ports of the real one: traffic, parcels, labels, servers.

Nothing happens by itself: ``step`` lets event time and wall time pass together. The same seed and
the same moves of the controller give the same world, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agents.ports import Desk
from agents.served import FORMER
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.journal.stored import StoredJournal
from simulations.clock import VirtualClock
from simulations.effects import Ledger, Standing, changes
from simulations.faults import Fault, no_fault
from simulations.lease import MemoryLeases
from simulations.metrics import MemoryMetrics
from simulations.pipeline_runs import MemoryPipelineRuns
from simulations.population import START, Logistic, Population, parcels_model
from simulations.prediction_log import InMemoryPredictionLog
from simulations.registry import MemoryRegistry
from simulations.releases import Foundry, Release
from simulations.traffic import MemoryTraffic
from simulations.users import Users
from simulations.watched import WatchedJournal, WatchedLog
from simulations.workloads import MemoryWorkloads
from tools.alerts import Alerts
from tools.managed_model import ManagedModel
from tools.registry import CHALLENGER, CHAMPION
from tools.routing import Mirror, read_state
from tools.traffic import RouteDocument
from tools.virtual_service import virtual_service
from tools.workloads import ServerRequest

WRITES = tuple(
    f"{call}:after"
    for call in (
        "traffic.patch",
        "workloads.start",
        "workloads.configure",
        "workloads.restart",
        "workloads.stop",
        "registry.set_alias",
        "registry.delete_alias",
    )
)
LEASE_S = 15.0


class World:
    """One target, its platform and its users. ``fault`` meets every call of a controller."""

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 0,
        champion: Release | None = None,
        rows_per_hour: int = 40,
        requests_per_s: int = 1500,
        journal: StoredJournal | None = None,
        **spec: dict[str, Any],
    ) -> None:
        """``journal``: where it is kept; None: in memory."""
        self.folder = folder
        self.journal: StoredJournal = journal or SqliteJournal(":memory:")
        self.fault: Fault = no_fault
        self.alerts: Alerts | None = None
        """Somebody's alerting; None: there is none."""
        self.event_time = START
        self.frozen_at: datetime | None = None
        self._seed, self._steps, self._incidents = seed, 0, 0
        self._requests_per_s = requests_per_s
        self._is_own = False
        self.population = Population(seed=seed, rows_per_hour=rows_per_hour)
        self.document = parcels_model(self._history(folder), **spec)
        self._build_platform(folder)
        self._put_into_service(champion or Release())

    @property
    def target(self) -> str:
        """``namespace/name``."""
        return self.document.target

    @property
    def kill_switch(self) -> Path:
        """The file that stops every change."""
        return self.folder / "STOP"

    @property
    def truth(self) -> Logistic:
        """What makes parcels late now."""
        return self.foundry.truth

    def become(self, truth: Logistic) -> None:
        """The world changes: concept drift."""
        self.foundry.truth = truth

    def desk(self) -> Desk:
        """Every port of this world, watched by ``fault``."""
        return Desk(
            traffic=self.traffic,
            workloads=self.workloads,
            runs=self.runs,
            registry=self.registry,
            metrics=self.metrics,
            log=WatchedLog(self._log, self._call),
            clock=self.clock,
            pins=self.folder / "pins",
            artifacts=self.folder / "fetched",
            history=self.document.spec.data.history,
            pipeline_arguments={},
            alerts=self.alerts,
        )

    def watched_journal(self) -> WatchedJournal:
        """The journal as a controller gets it."""
        return WatchedJournal(self.journal, self._call)

    def new_incident(self) -> str:
        """A name that no controller of this world has used yet."""
        self._incidents += 1
        return f"inc-{self._incidents}"

    def step(self, *, hours: int = 6, seconds: float = 10.0) -> None:
        """Let time pass: parcels are predicted, labels come in, requests are answered."""
        with self.own():
            self._steps += 1
            split = self.split_in_force()
            if hours:
                parcels = self.population.rows(self.event_time, hours, frozen_at=self.frozen_at)
                self.users.ask(parcels, split, self.truth, seed=[self._seed, 3, self._steps])
                self.event_time += timedelta(hours=hours)
            requests = round(self._requests_per_s * seconds)
            mirror = self._mirror_in_force()
            strain = self.foundry.made[mirror.version].strain if mirror else 0.0
            self.users.load(requests, split, seed=[self._seed, 4, self._steps], strain=strain)
            if mirror is not None:
                if hours:
                    self.users.copy(parcels, mirror, seed=[self._seed, 5, self._steps])
                copies = round(requests * mirror.percent / 100)
                self.users.load_copies(copies, mirror, seed=[self._seed, 6, self._steps])
            self.clock.advance(timedelta(seconds=seconds))
            self.runs.settle()
            self._standing = self.standing()
            self.ledger.check(self._standing)

    def split_in_force(self) -> dict[str, int]:
        """Version to percent, by the data plane."""
        found = self.traffic.in_force(*self._route)
        return _shares(found, self.document) if found else {}

    def _mirror_in_force(self) -> Mirror | None:
        found = self.traffic.in_force(*self._route)
        host = self.document.spec.serving.host
        return read_state(found, host).split.mirror if found else None

    def standing(self) -> Standing:
        """What the target consists of now."""
        with self.own():
            name = self.document.spec.model
            found = {a: self.registry.by_alias(name, a) for a in (CHAMPION, CHALLENGER, FORMER)}
            aliases = {alias: v.version for alias, v in found.items() if v is not None}
            servers = {s.version: s for s in self.workloads.servers(self.target)}
            document = self.traffic.read(*self._route)
            route = read_state(document, self.document.spec.serving.host)
            gated = {v.version for v in self.registry.versions(name) if v.gates_passed}
            up = {v for v in servers if self.workloads.answers(self.target, v)}
            return Standing(
                aliases=aliases,
                servers={version: server.key for version, server in servers.items()},
                masked={version: server.config.masked for version, server in servers.items()},
                shares=dict(route.split.shares),
                mirror=route.split.mirror.version if route.split.mirror else "",
                receipt=route.receipt,
                is_edited=bool(route.edited),
                servable=frozenset(gated & up),
                gated=frozenset(gated),
            )

    def edit_route(self, shares: dict[str, int]) -> None:
        """Somebody else writes the weights."""
        host = self.document.spec.serving.host
        routes = [
            {"destination": {"host": host, "subset": f"v{version}"}, "weight": percent}
            for version, percent in shares.items()
        ]
        patch = [{"op": "replace", "path": "/spec/http/0/route", "value": routes}]
        self.traffic.edit(*self._route, patch)

    @contextmanager
    def own(self) -> Iterator[None]:
        """What the world does itself: no fault meets it, no promise is asked of it."""
        before, self._is_own = self._is_own, True
        try:
            yield
        finally:
            self._is_own = before

    def _call(self, call: str) -> None:
        """Every watched call of a controller, before and after its effect."""
        if self._is_own:
            return
        if call in WRITES:
            after = self.standing()
            self.ledger.take(changes(self._standing, after), after)
            self._standing = after
        self.fault(call)

    def _history(self, folder: Path) -> str:
        path = folder / "history.parquet"
        folder.mkdir(parents=True, exist_ok=True)
        self.population.history(Logistic()).to_parquet(path)
        return str(path)

    def _build_platform(self, folder: Path) -> None:
        self.clock = VirtualClock()
        self.traffic = MemoryTraffic(self.clock, follow_s=2.0, fault=self._call)
        self.workloads = MemoryWorkloads(self.clock, endpoints=self.traffic, fault=self._call)
        self.registry = MemoryRegistry(self.clock, fault=self._call)
        self.metrics = MemoryMetrics(self.clock, fault=self._call)
        self.leases = MemoryLeases(self.clock, ttl_s=LEASE_S)
        self._log = InMemoryPredictionLog()
        self.foundry = Foundry(self.registry, self.document, self.population, folder)
        self.users = Users(self.target, self.workloads, self.metrics, self._log, self.foundry.made)
        pipelines = {"retrain": self._train}
        self.runs = MemoryPipelineRuns(self.clock, pipelines, fault=self._call)
        self.ledger = Ledger(self.document, self.journal)

    def _train(self, request: Any, key: str) -> dict[str, Any]:
        """A pipeline runs by itself: the death of a controller does not touch it."""
        with self.own():
            made = self.foundry.execute(request, key)
            self._mark_broken()
            self._standing = self.standing()
            return made

    def _put_into_service(self, release: Release) -> None:
        with self.own():
            first = self.foundry.register(release, key="first")
            self.registry.set_alias(first.model, CHAMPION, first.version, key="first")
            request = ServerRequest(
                target=self.target,
                version=first.version,
                artifact=self.folder / "artifact-1",
                artifact_digest=first.artifact_digest,
            )
            self.workloads.start(request, key="first", token=0)
            self.clock.advance(timedelta(seconds=60))
            self.workloads.read(self.target, first.version)
            serving = self.document.spec.serving
            self._route = (self.document.metadata.namespace, serving.route)
            body = virtual_service(
                *self._route, host=serving.host, version=first.version, hosts=[serving.host]
            )
            self.traffic.create(body)
            self.clock.advance(timedelta(seconds=60))
            self._standing = self.standing()

    def submit_challenger(self, release: Release, *, key: str = "somebody-else") -> str:
        """Somebody registers a challenger that mendloop did not ask for; its version."""
        with self.own():
            version = self.foundry.submit_challenger(release, key=key).version
            self._mark_broken()
            self._standing = self.standing()
            return version

    def _mark_broken(self) -> None:
        name = self.document.spec.model
        for version, release in self.foundry.made.items():
            if not release.starts:
                self.workloads.broken.add(self.registry.get(name, version).artifact_digest)

    def thaw(self) -> None:
        """The frozen feed delivers again."""
        self.frozen_at = None

    def settle(self) -> None:
        """Take what is now for granted: it is not a controller's doing."""
        self._standing = self.standing()

    def freeze(self) -> None:
        """The feed repeats its last values from now on."""
        self.frozen_at = self.event_time


def _shares(document: RouteDocument, model: ManagedModel) -> dict[str, int]:
    state = read_state(document, model.spec.serving.host)
    return dict(state.split.shares)
