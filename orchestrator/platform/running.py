"""Everything that runs in one process of an installation, put together and taken down again.

with Running(spec, stop) as running:
    running.run()
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Container
from contextlib import ExitStack
from typing import Self

import structlog

from agents.catalog import all_tools
from infra.embedded.home import Home
from orchestrator import metrics_words as words
from orchestrator.controller import Controller
from orchestrator.incident_book import IncidentBook
from orchestrator.journal.incidents import IncidentSummary
from orchestrator.kill_switch import STOP_FILE, AnyOf, KillSwitch, StopFiles, Switchboard
from orchestrator.meter import Meter
from orchestrator.model_changes import Departures
from orchestrator.model_fleet import EVERYTHING, FollowedFleet
from orchestrator.model_source import ModelFiles, ModelSource
from orchestrator.notifications.outbox import Outbox, open_outbox
from orchestrator.platform import stores
from orchestrator.platform.adapters import Adapters
from orchestrator.platform.alerting import Alerting
from orchestrator.platform.document import PlatformSpec
from orchestrator.platform.heartbeat import Heartbeat
from orchestrator.platform.http import Endpoint
from orchestrator.port_watch import watched_port
from orchestrator.resources.reporter import StatusReporter
from orchestrator.resources.source import ManagedModelResources
from orchestrator.resources.standing import Standing
from orchestrator.rule_folder import RuleFolder
from orchestrator.stop_config_map import StopConfigMap
from orchestrator.telemetry import telemetry_from
from orchestrator.vital_signs import vital_signs
from tools.clock import Clock, SystemClock
from tools.errors import Invalid, MendloopError, Unavailable

log = structlog.get_logger()

_OUTBOX_S = 5.0
"""How often the backlog of notifications is counted."""
_CHECK_S = 5.0
"""For how long a probe's answer about journal and leases is good: probes must not be a load."""


class Running:
    """One mendloop, as its Platform document says."""

    def __init__(
        self,
        spec: PlatformSpec,
        stop: threading.Event,
        *,
        adapters: Callable[..., Adapters] = Adapters,
    ) -> None:
        """Nothing is opened yet. ``stop`` ends it after the step in hand."""
        self.spec, self.stop = spec, stop
        self.meter = Meter()
        self._clock: Clock = SystemClock()
        self._home = Home(spec.home)
        self._wake = threading.Event()
        self._heart = Heartbeat(
            every_s=spec.tick.every.total_seconds(), missing=spec.tick.unhealthy_after
        )
        self._alerting = Alerting(spec.alerts, self._clock, self._targets, self._wake.set)
        self._adapters = adapters(
            spec, clock=self._clock, meter=self.meter, alerts=self._alerting.alerts
        )
        self._standings: dict[str, Standing] = {}
        self._names: frozenset[str] = frozenset()
        self._outbox: Outbox | None = None
        self._reporter: StatusReporter | None = None
        self._held = ExitStack()
        self._pending_s = float("-inf")
        self._unsigned_s: float | None = None
        self._checked: tuple[float, str] = (float("-inf"), "")

    def __enter__(self) -> Self:
        self._home.prepare()
        with ExitStack() as opened:
            self._open(opened)
            self._held = opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    @property
    def port(self) -> int:
        """Where probes are answered."""
        return self._endpoint.port

    def run(self, *, ticks: int = 0) -> None:
        """Tick until told to stop, or so many times."""
        self.controller.start()
        reason = "told to stop"
        try:
            with self._leases.renewed(self.controller.holder):
                self._tick_until(ticks)
        except MendloopError as error:
            reason = str(error).partition("\n")[0]
            raise
        finally:
            self._heart.stop()
            if not isinstance(sys.exc_info()[1], SystemExit):  # a second signal waits for nothing
                self.controller.stop(reason)

    def _tick_until(self, ticks: int) -> None:
        every_s, done = self.spec.tick.every.total_seconds(), 0
        while not self.stop.is_set():
            began_s = time.monotonic()
            self._tick()
            done += 1
            if ticks and done >= ticks:
                return
            self._sleep(until_s=began_s + every_s)

    def _tick(self) -> None:
        began_s = time.monotonic()
        self._standings = {}
        self.controller.tick(is_stopping=self.stop.is_set)
        self._names = frozenset(target.model.target for target in self.fleet.targets)
        self._heart.beat()
        self.meter.ticked(time.monotonic() - began_s)
        try:
            self._measure()
        except MendloopError as error:
            log.warning("metrics.incomplete", reason=str(error))
        is_from_files = self.spec.models.custom_resources is None  # the others have a status
        broken = self.fleet.rejected
        if is_from_files and broken and not self.fleet.targets and EVERYTHING not in broken:
            told = "\n".join(broken.values())
            raise Invalid(f"none of the model documents can be kept:\n{told}")

    def _sleep(self, *, until_s: float) -> None:
        """Until the next tick is due, an alert asks for it, or the end."""
        while not self.stop.is_set() and not self._wake.is_set():
            left_s = until_s - time.monotonic()
            if left_s <= 0:
                return
            self.stop.wait(min(left_s, 0.2))
        self._wake.clear()

    def _open(self, held: ExitStack) -> None:
        spec, now = self.spec, self._clock.now()
        self.meter.set(words.TICK_EVERY, spec.tick.every.total_seconds())
        self._endpoint = held.enter_context(
            Endpoint(
                spec.http.host,
                spec.http.port,
                healthy=self._heart.trouble,
                ready=self._unready,
                metrics=self._exposition,
                intake=self._alerting.intake,
            )
        )
        self._leases = stores.leases_of(spec, self._adapters, self._clock)
        tracing = stores.Followers([self.meter, telemetry_from(os.environ)])
        durable = stores.durable_of(spec, self._adapters, at=now, tracing=tracing)
        held.callback(durable.close)
        self._durable = durable
        self._book = IncidentBook(durable.journal)
        channels = stores.channels_of(spec)
        if channels is not None:
            held.enter_context(stores.notifier_of(channels, durable.address))
            self._outbox = open_outbox(durable.address)
            held.callback(self._outbox.close)
        source = self._source(held)
        self.fleet = FollowedFleet(source, self._adapters.seat, home=spec.home)
        self._rules = RuleFolder([self._home.policies, *spec.policies.folders])
        if spec.kubernetes is not None:
            held.callback(self._adapters.cluster.close)
        self.controller = Controller(
            self.fleet,
            journal=durable.journal,
            checkpointer=durable.checkpointer,
            leases=watched_port(self._leases, "leases", self.meter),
            rules=self._rules,
            tools=all_tools(),
            kill_switch=KillSwitch(self._switches()),
            clock=self._clock,
            tell=self._tell,
        )

    def _source(self, held: ExitStack) -> ModelSource:
        place = self.spec.models
        if place.custom_resources is None:
            return ModelFiles(place.files or (), folder=place.folder)
        api = self._adapters.cluster.api
        reporter = StatusReporter(api, instance="mendloop", now=self._clock.now)
        wanted = place.custom_resources.namespaces
        resources = ManagedModelResources.of(api, wanted, take_in=reporter.take_in)
        for part in (reporter, resources):
            held.callback(part.stop)
            part.start()
        self._reporter = reporter
        return resources

    def _switches(self) -> Switchboard:
        boards: list[Switchboard] = [Departures(self.fleet.is_leaving)]
        name = self.spec.kill_switch.config_map
        if name:
            cluster = self._adapters.cluster
            boards.append(StopConfigMap(cluster.api, namespace=cluster.namespace, name=name))
        return AnyOf(StopFiles(self._home.root / STOP_FILE), *boards)

    def _tell(self, standing: Standing) -> None:
        self._standings[standing.target] = standing
        if self._reporter is not None:
            self._reporter.report(standing)

    def _targets(self) -> Container[str]:
        return self._names

    def _unready(self) -> str:
        """Why nobody should count on this process; asked by probes."""
        if self._heart.is_stopping or self.stop.is_set():
            return "it is stopping"
        if not self._heart.has_ticked:
            return "the first tick is not done yet"
        if not self.fleet.is_known:
            return f"the models are not known: {self.fleet.rejected.get(EVERYTHING, '')}"
        at_s, told = self._checked
        if time.monotonic() - at_s > _CHECK_S:
            told = stores.trouble_of(self._durable.journal, self._leases)
            self._checked = (time.monotonic(), told)
        return told

    def _exposition(self) -> bytes:
        self._alerting.count(self.meter)
        return self.meter.exposition()

    def _measure(self) -> None:
        """What a tick came to, for Prometheus."""
        signs = vital_signs(
            list(self._standings.values()),
            self._incidents(),
            targets=len(self.fleet.targets),
            models_rejected=len(self.fleet.rejected),
            rules_rejected=self._rules.is_broken,
        )
        self.meter.take(signs, now=self._clock.now())
        journal = self._durable.journal
        self.meter.set(words.JOURNAL_UP, 0)
        head = journal.head().seq
        self.meter.set(words.JOURNAL_UP, 1)
        unsigned, now_s = max(0, head - journal.signed_events), time.monotonic()
        if not unsigned or self._unsigned_s is None:
            self._unsigned_s = now_s
        self.meter.set(words.JOURNAL_EVENTS, head)
        self.meter.set(words.JOURNAL_UNSIGNED, unsigned)
        self.meter.set(words.JOURNAL_UNSIGNED_AGE, now_s - self._unsigned_s if unsigned else 0)
        if self._outbox is not None and now_s - self._pending_s > _OUTBOX_S:
            self._pending_s = now_s
            waiting = {each.channel: float(each.backlog) for each in self._outbox.status()}
            self.meter.set_all(words.NOTIFICATIONS_PENDING, waiting)

    def _incidents(self) -> list[IncidentSummary]:
        """Those that are known: a journal that does not answer silences no other metric."""
        try:
            return self._book.every()
        except Unavailable:
            return self._book.known()
