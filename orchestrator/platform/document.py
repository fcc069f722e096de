"""``kind: Platform``: where one mendloop runs and what stands behind each of its ports.

Read once, when mendloop starts. It holds no secret: it names the environment variable or the file
in which one stands. Every port is chosen by itself, and none is chosen by being left out.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from orchestrator.platform.connections import (
    Kubernetes,
    Metrics,
    Pipelines,
    PredictionLogPlace,
    Registry,
    Traffic,
    Workloads,
)
from orchestrator.platform.keeping import (
    Alerts,
    CheckpointPlaces,
    JournalPlace,
    KillSwitchPlaces,
    LeasePlace,
    ModelPlace,
    NotificationFile,
    RuleFolders,
)
from tools.documents import load_document
from tools.managed_model import Duration
from tools.schema import DocumentValue


class Http(DocumentValue):
    """``/healthz``, ``/readyz``, ``/metrics``, and what others add."""

    host: str = "0.0.0.0"
    """Address to listen on; probes and Prometheus come from other pods."""
    port: int = Field(default=8080, ge=0, le=65535)
    """0: any free one, said in the log."""


class Tick(DocumentValue):
    """How often the fleet is looked at."""

    every: Duration = timedelta(seconds=10)
    """From the beginning of one look to that of the next. A canary step is judged at each, and 10 s
    is the time that the fleet of a thousand models may take."""
    unhealthy_after: int = Field(default=6, ge=2)
    """Ticks that may be missing before ``/healthz`` says so and the pod is restarted: a minute,
    more than the slowest answers of all ports together."""


class Log(DocumentValue):
    """mendloop's own log, on standard error."""

    format: Literal["auto", "json", "text"] = "auto"
    """``auto``: text where somebody looks at a terminal, JSON lines elsewhere."""
    level: Literal["debug", "info", "warning", "error"] = "info"


class PlatformMetadata(DocumentValue):
    """Names the installation."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")


class PlatformSpec(DocumentValue):
    """The ``spec`` of a Platform."""

    home: Path
    """Folder for what is made anew at need (pinned data, fetched artifacts) and for everything
    that is chosen to stand on this machine. A volume, if the signing keys are kept there."""
    kubernetes: Kubernetes | None = None
    """Needed by everything that says Kubernetes or Istio below."""
    models: ModelPlace
    traffic: Traffic
    workloads: Workloads
    pipelines: Pipelines
    registry: Registry
    metrics: Metrics
    prediction_log: PredictionLogPlace
    journal: JournalPlace
    leases: LeasePlace
    kill_switch: KillSwitchPlaces = KillSwitchPlaces()
    checkpoints: CheckpointPlaces = CheckpointPlaces()
    policies: RuleFolders = RuleFolders()
    notifications: NotificationFile = NotificationFile()
    alerts: Alerts = Alerts()
    http: Http = Http()
    log: Log = Log()
    tick: Tick = Tick()
    grace: Duration = timedelta(seconds=25)
    """How long the step in hand may take to end after SIGTERM; below the pod's
    ``terminationGracePeriodSeconds`` (30 s unless changed), after which it is killed."""

    @model_validator(mode="after")
    def _cluster_is_named(self) -> Self:
        wanting = [
            name
            for name, is_needed in (
                ("models.customResources", self.models.custom_resources),
                ("traffic.istio", self.traffic.istio),
                ("workloads.kubernetes", self.workloads.kubernetes),
                ("leases.kubernetes", self.leases.kubernetes),
                ("killSwitch.configMap", self.kill_switch.config_map),
                ("checkpoints.configMap", self.checkpoints.config_map),
            )
            if is_needed
        ]
        if wanting and self.kubernetes is None:
            raise ValueError(f"{', '.join(wanting)}: expected a section kubernetes beside them")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        is_split = (self.traffic.envoy is None) != (self.workloads.processes is None)
        if is_split:
            raise ValueError(
                "traffic and workloads: expected both in the cluster (istio, kubernetes) or both on"
                " this machine (envoy, processes); neither reaches the other's servers"
            )
        return self


class Platform(DocumentValue):
    """One installation of mendloop."""

    api_version: Literal["mendloop.dev/v1alpha1"]
    kind: Literal["Platform"]
    metadata: PlatformMetadata
    spec: PlatformSpec


def read_platform(path: Path) -> Platform:
    """The document at ``path``, its relative paths taken from the document's own folder.

    Raises Invalid, naming the wrong fields.
    """
    document = load_document(path, Platform)
    spec: PlatformSpec = _from(document.spec, path.resolve().parent)
    return document.model_copy(update={"spec": spec})


def _from(value: Any, base: Path) -> Any:
    """``value`` with every path in it taken from ``base``."""
    match value:
        case Path():
            return base / value
        case tuple():
            return tuple(_from(each, base) for each in value)
        case DocumentValue():
            found = {name: _from(getattr(value, name), base) for name in type(value).model_fields}
            return value.model_copy(update=found)
        case _:
            return value
