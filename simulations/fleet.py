"""A generated world: several targets on one platform, in one virtual time, behind the real ports.

Nothing happens by itself: ``advance`` lets time pass, parcels come, requests be answered, runs end
and faults happen. The same scenario, seed and moves of the operator give the same world.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from agents.ports import Desk
from orchestrator.journal.sqlite import SqliteJournal
from simulations.clock import VirtualClock
from simulations.construction import build_sites, put_into_service
from simulations.crashes import Killed
from simulations.deeds import acts_between, is_first_share
from simulations.faults import Fault, no_fault
from simulations.faults.document import Trigger
from simulations.lease import MemoryLeases
from simulations.metrics import MemoryMetrics
from simulations.pipeline_runs import MemoryPipelineRuns
from simulations.records import START
from simulations.registry import MemoryRegistry
from simulations.scenario import Scenario
from simulations.schedule import Schedule
from simulations.served_log import ServedLog
from simulations.site import Site
from simulations.traffic import MemoryTraffic
from simulations.watched import WatchedJournal, WatchedLog
from simulations.workloads import MemoryWorkloads
from tools.errors import Unavailable
from tools.pipeline_runs import RunRequest

CHANGING = frozenset(
    f"{call}:after"
    for call in (
        "traffic.patch",
        "workloads.start",
        "workloads.configure",
        "workloads.restart",
        "workloads.stop",
        "registry.set_alias",
        "registry.delete_alias",
        "pipelines.submit",
    )
)
_FOREVER_S = 1e9


class FleetWorld:
    """The platform and the targets of one scenario."""

    def __init__(
        self, scenario: Scenario, folder: Path, *, seed: int, fault: Fault = no_fault
    ) -> None:
        """``fault`` meets every call of an operator, before and after its effect."""
        self.scenario, self.folder, self.seed, self.fault = scenario, folder, seed, fault
        self.kill_switch = folder / "STOP"
        self.crash_at = ""
        self.outages: set[str] = set()
        self.wakings = 1
        self.now_s = 0.0
        """Seconds of event time since the start."""
        self.violations: list[str] = []
        self.is_moved = False
        """Whether an operator changed something since this was last set back."""
        self._is_own = False
        self._rng = np.random.default_rng([seed, 5])
        self._unread = np.random.default_rng([seed, 6])
        self.schedule = Schedule(scenario, lambda: self.now_s)
        self._runs_known: set[str] = set()
        self._troubles: dict[str, str] = {}
        self._incidents = 0
        self._build()

    @property
    def began_s(self) -> float | None:
        """When what is to be found began; None before that."""
        return self.schedule.began_s

    @property
    def now(self) -> datetime:
        """Event time; the wall clock shows the same."""
        return START + timedelta(seconds=self.now_s)

    def site(self, target: str) -> Site:
        """By ``namespace/name``."""
        return next(site for site in self.sites if site.target == target)

    def desk(self, site: Site) -> Desk:
        """Every port of this world as an operator of the target gets it."""
        return Desk(
            traffic=self.traffic,
            workloads=self.workloads,
            runs=self.runs,
            registry=self.registry,
            metrics=self.metrics,
            log=WatchedLog(self.log, self._call),
            clock=self.clock,
            pins=self.folder / "pins",
            artifacts=self.folder / "fetched",
            history=site.document.spec.data.history,
            pipeline_arguments={},
        )

    def watched_journal(self) -> WatchedJournal:
        """The journal as a controller gets it."""
        return WatchedJournal(self.journal, self._call)

    def new_incident(self) -> str:
        """A name that no controller of this world has used yet."""
        self._incidents += 1
        return f"inc-{self._incidents}"

    def advance(self, by_s: float) -> None:
        """Let time pass, stopping at every moment at which something is due."""
        until_s = self.now_s + by_s
        with self.own():
            for due_s, happen in self.schedule.until(until_s):
                self._pass(max(due_s, self.now_s))
                happen()
            self._pass(until_s)
            for site in self.sites:
                site.known = site.standing()
                site.ledger.watch(site.known)

    def later(self, at_s: float, happen: Callable[[], None]) -> None:
        """Let the world do something at a moment."""
        self.schedule.later(at_s, happen)

    @contextmanager
    def own(self) -> Iterator[None]:
        """What the world does itself: no fault meets it, no promise is asked of it."""
        before, self._is_own = self._is_own, True
        try:
            yield
        finally:
            self._is_own = before

    def happened(self, event: Trigger, site: Site) -> None:
        """An operator did something that faults may wait for."""
        self.schedule.happened(event, site)

    def _build(self) -> None:
        spec = self.scenario.spec
        self.folder.mkdir(parents=True, exist_ok=True)
        self.clock = VirtualClock(START.replace(tzinfo=UTC))
        self.traffic = MemoryTraffic(self.clock, follow_s=2.0, fault=self._call)
        self.workloads = MemoryWorkloads(self.clock, endpoints=self.traffic, fault=self._call)
        self.registry = MemoryRegistry(self.clock, fault=self._call)
        self.metrics = MemoryMetrics(self.clock, fault=self._call)
        ttl_s = 2 * spec.world.tick.longest.total_seconds()
        self.leases = MemoryLeases(self.clock, ttl_s=ttl_s)
        self.log = ServedLog()
        self.journal = SqliteJournal(":memory:")
        self.runs = MemoryPipelineRuns(
            self.clock,
            {"retrain": self._train},
            duration_s=spec.world.training_takes.total_seconds(),
            fault=self._call,
        )
        with self.own():
            self.sites = build_sites(self)
            put_into_service(self)
            for site in self.sites:
                site.known = site.standing()
        self.schedule.begin(self.sites)

    def _pass(self, until_s: float) -> None:
        if until_s <= self.now_s:
            return
        for site in self.sites:
            site.serve(self.now_s, until_s, self._rng)
        self.clock.advance(timedelta(seconds=until_s - self.now_s))
        self.now_s = until_s
        self.runs.settle()

    def _train(self, request: RunRequest, key: str) -> dict[str, Any]:
        """A pipeline runs by itself: the death of an operator does not touch it."""
        with self.own():
            site = self._site_of(request)
            try:
                return site.workshop.execute(request, key, self._troubles.get(key, ""))
            finally:
                self.happened("run_finished", site)

    def _site_of(self, request: RunRequest) -> Site:
        model = request.arguments["spec"]["model"]
        return next(site for site in self.sites if site.document.spec.model == model)

    def _call(self, call: str) -> None:
        """Every watched call of an operator, before and after its effect."""
        if self._is_own:
            return
        if call in CHANGING:
            self._notice(call)
        self._obstruct(call)
        self.fault(call)

    def _notice(self, call: str) -> None:
        if call == "pipelines.submit:after":
            self._notice_run()
        for site in self.sites:
            before = site.known
            found = site.notice()
            if found and site.known is not None:
                site.ledger.take(found, site.known)
            if before is None or site.known is None:
                continue
            for act, what in acts_between(before, site.known):
                self._did(site, act, what)
                if act == "shift":
                    is_first = is_first_share(before, site.known)
                    self.happened("canary_started" if is_first else "canary_advanced", site)

    def _notice_run(self) -> None:
        for key in self.runs.keys:
            if key in self._runs_known:
                continue
            self._runs_known.add(key)
            site = self._site_of(self.runs.request(key))
            self._did(site, "retrain", key)
            trouble = site.workshop.troubles.pop(0) if site.workshop.troubles else ""
            self._troubles[key] = trouble
            if trouble == "hangs":
                self.runs.delay(key, _FOREVER_S)
            elif trouble == "preempted":
                half_s = self.scenario.spec.world.training_takes.total_seconds() / 2
                self.later(self.now_s + half_s, lambda lost=key: self.runs.lose(lost))  # type: ignore[misc]
            self.happened("run_submitted", site)

    def _did(self, site: Site, act: str, what: str) -> None:
        self.is_moved = True
        if self.kill_switch.exists():
            self.violations.append(f"{site.name}: {act} ({what}) while changes were stopped")
        site.do(act, what)
        if act == "promote":
            self.happened("promoted", site)

    def _obstruct(self, call: str) -> None:
        if call == self.crash_at:
            self.crash_at = ""
            raise Killed(call)
        port, _, verb = call.partition(".")
        if verb.endswith(":before") and port in self.outages and call != "journal.events:before":
            raise Unavailable(f"{port} does not answer")
        unread = self.scenario.spec.noise.unread
        if unread and call == "metrics.read:before" and self._unread.uniform() < unread:
            raise Unavailable("the metrics store timed out")
