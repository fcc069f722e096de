"""Puts every port of a model's desk together, as the Platform document says.

The only place, beside ``orchestrator/assembly.py`` for the one-machine form, that knows which
adapter stands where. What is costly is made once and shared: connections, watches, registries; what
is about one model is made for it when it joins the fleet.
"""

from __future__ import annotations

from functools import cached_property

from agents.ports import Desk
from infra.embedded.home import Home
from orchestrator import assembly
from orchestrator.controller import Target
from orchestrator.meter import Meter
from orchestrator.model_source import ModelDocument
from orchestrator.platform.cluster import ClusterDesks
from orchestrator.platform.delivery import registry_arguments_from, registry_from, runs_from
from orchestrator.platform.document import PlatformSpec
from orchestrator.platform.prediction_logs import log_from
from orchestrator.port_watch import PortWatch
from tools.alerts import Alerts
from tools.clock import Clock
from tools.envoy_admin import EnvoyAdmin
from tools.errors import Invalid
from tools.managed_model import ManagedModel
from tools.metrics import Metrics
from tools.pipeline_runs import PipelineRuns
from tools.prediction_log import PredictionLog
from tools.registry import Registry
from tools.scrape import EnvoyMetrics
from tools.traffic import Traffic
from tools.workloads import Workloads


class Adapters:
    """The adapters of one installation."""

    def __init__(
        self, spec: PlatformSpec, *, clock: Clock, meter: Meter, alerts: Alerts | None = None
    ) -> None:
        """``alerts`` of others, where anybody raises some."""
        self._spec, self._clock, self._alerts = spec, clock, alerts
        self._home = Home(spec.home)
        self._watch = PortWatch(meter)

    def seat(self, document: ModelDocument) -> Target:
        """The model at its desk. Raises Invalid when this platform cannot keep it."""
        desk = self._watch.desk(self.desk(document))
        return Target(model=document.model, desk=desk)

    def desk(self, document: ModelDocument) -> Desk:
        """Every port of a model."""
        model, home = document.model, self._home
        metrics = self._metrics(model)
        return Desk(
            traffic=self._traffic(model, metrics),
            workloads=self._workloads(model),
            runs=self._runs,
            registry=self.registry,
            metrics=metrics,
            log=self.log,
            clock=self._clock,
            pins=home.pins,
            artifacts=home.artifacts,
            history=document.history,
            pipeline_arguments=dict(registry_arguments_from(self._spec)),
            alerts=self._alerts,
        )

    @cached_property
    def cluster(self) -> ClusterDesks:
        """What is in the cluster. Raises Invalid when none is configured."""
        if self._spec.kubernetes is None:
            raise Invalid("expected a section kubernetes in the Platform document")
        resources = self._spec.models.custom_resources
        is_everywhere = resources is not None and not resources.namespaces
        return ClusterDesks(self._spec.kubernetes, is_everywhere=is_everywhere)

    @cached_property
    def registry(self) -> Registry:
        """Where models are registered."""
        return registry_from(self._spec)

    @cached_property
    def log(self) -> PredictionLog:
        """Where predictions and labels are read."""
        return log_from(self._home, self._spec)

    @cached_property
    def _runs(self) -> PipelineRuns:
        return runs_from(self._spec)

    def _metrics(self, model: ManagedModel) -> Metrics:
        objective_ms = model.spec.serving.latency_objective.total_seconds() * 1000
        settings = self._spec.metrics.prometheus
        if settings is None:
            return EnvoyMetrics(
                EnvoyAdmin(self._home.envoy / "ports.json"),
                {model.target: objective_ms},
                monotonic_s=self._clock.monotonic_s,
            )
        return self.cluster.metrics(model, settings, self._clock, self._is_in_cluster)

    def _traffic(self, model: ManagedModel, metrics: Metrics) -> Traffic:
        settings = self._spec.traffic.istio
        if settings is None:
            return assembly.embedded_traffic(self._home)
        return self.cluster.traffic(model, settings, metrics, self._clock)

    def _workloads(self, model: ManagedModel) -> Workloads:
        settings = self._spec.workloads.kubernetes
        if settings is None:
            return assembly.embedded_workloads(self._home)
        return self.cluster.workloads(model, settings)

    @property
    def _is_in_cluster(self) -> bool:
        return self._spec.workloads.kubernetes is not None
