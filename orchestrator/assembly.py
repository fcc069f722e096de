"""The composition root of one machine: the only place that knows which adapter stands where."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from agents.catalog import all_tools
from agents.ports import Desk
from infra.embedded.home import Home
from orchestrator.controller import Controller, Target
from orchestrator.durable import open_durable
from orchestrator.journal.address import JournalAddress
from orchestrator.kill_switch import STOP_FILE
from orchestrator.notifications.channels import FILE as CHANNELS_FILE
from orchestrator.notifications.channels import NotificationChannels, read_channels
from orchestrator.notifications.service import Notifier, make_senders
from orchestrator.rule_folder import RuleFolder
from orchestrator.telemetry import telemetry_from
from tools.clock import Clock, SystemClock
from tools.envoy import EnvoyTraffic
from tools.envoy_admin import EnvoyAdmin
from tools.errors import Unavailable
from tools.file_lease import FileLeases
from tools.http_webhook import HttpWebhook
from tools.kubeflow_local import KubeflowLocal
from tools.local_processes import LocalWorkloads
from tools.managed_model import ManagedModel
from tools.mlflow_registry import MlflowRegistry
from tools.parquet_log import ParquetPredictionLog
from tools.scrape import EnvoyMetrics


def embedded_registry(home: Home) -> MlflowRegistry:
    """MLflow on SQLite under the home; no server is needed."""
    return MlflowRegistry(tracking_uri(home), home.mlflow / "artifacts")


def tracking_uri(home: Home) -> str:
    """Where MLflow's clients find the registry of this home."""
    return f"sqlite:///{(home.mlflow / 'mlflow.db').resolve()}"


def embedded_traffic(home: Home) -> EnvoyTraffic:
    """VirtualService documents under the home, followed by its Envoy."""
    return EnvoyTraffic(home.routes, home.envoy)


def embedded_workloads(home: Home, *, acts_on_read: bool = True) -> LocalWorkloads:
    """Model servers as processes of this machine."""
    return LocalWorkloads(
        home.servers,
        home.predictions,
        endpoints=embedded_traffic(home),
        acts_on_read=acts_on_read,
    )


def embedded_runs(home: Home) -> KubeflowLocal:
    """Kubeflow pipelines through ``kfp.local``."""
    from pipelines.catalog import PIPELINES

    return KubeflowLocal(home.runs, PIPELINES)


def embedded_desk(
    home: Home, model: ManagedModel, history: str, clock: Clock, *, acts_on_read: bool = True
) -> Desk:
    """Every port of one model on this machine; ``acts_on_read`` False for those who only look."""
    objective_ms = model.spec.serving.latency_objective.total_seconds() * 1000
    return Desk(
        traffic=embedded_traffic(home),
        workloads=embedded_workloads(home, acts_on_read=acts_on_read),
        runs=embedded_runs(home),
        registry=embedded_registry(home),
        metrics=EnvoyMetrics(
            EnvoyAdmin(home.envoy / "ports.json"),
            {model.target: objective_ms},
            monotonic_s=clock.monotonic_s,
        ),
        log=ParquetPredictionLog(home.predictions, home.labels),
        clock=clock,
        pins=home.pins,
        artifacts=home.artifacts,
        history=history,
        pipeline_arguments={
            "tracking_uri": tracking_uri(home),
            "artifact_root": str((home.mlflow / "artifacts").resolve()),
        },
    )


def embedded_targets(
    home: Home, models: Sequence[tuple[ManagedModel, str]], *, clock: Clock | None = None
) -> list[Target]:
    """The models, each with where its history lies, at their desks."""
    time_source = clock or SystemClock()
    return [
        Target(model=model, desk=embedded_desk(home, model, history, time_source))
        for model, history in models
    ]


def warm_up(targets: Sequence[Target]) -> None:
    """Load what the first look loads: seconds that a standby has and a take-over has not.

    Reads only, and only the registry and the log: reading servers would restart them.
    """
    for target in targets:
        with contextlib.suppress(Unavailable):
            target.desk.registry.versions(target.model.spec.model)
            target.desk.log.extent(target.model.target)


def notified_channels(home: Home, path: Path | None) -> NotificationChannels | None:
    """Who is told; None where nobody wrote it down. Raises Invalid for a broken document."""
    chosen = path or home.root / CHANNELS_FILE
    return read_channels(chosen) if path is not None or chosen.is_file() else None


def embedded_notifier(home: Home, channels: NotificationChannels, *, url: str = "") -> Notifier:
    """Senders beside the controller of ``home``, whose journal must be there."""
    senders = make_senders(
        channels,
        JournalAddress(home.root, url),
        webhook=HttpWebhook(),
        clock=SystemClock(),
        tools=all_tools(),
    )
    return Notifier(senders)


def embedded_controller(
    home: Home, targets: Sequence[Target], *, policies: Sequence[Path] = (), url: str = ""
) -> Controller:
    """A controller over everything under ``home``; its rules are the shipped ones, those in the
    home and those in the folders ``policies``. ``url``: the database that holds its journal."""
    durable = open_durable(
        home.root,
        url,
        at=targets[0].desk.clock.now(),
        tracing=telemetry_from(os.environ),
    )
    return Controller(
        targets,
        journal=durable.journal,
        checkpointer=durable.checkpointer,
        leases=FileLeases(home.leases),
        rules=RuleFolder([home.policies, *policies]),
        tools=all_tools(),
        kill_switch=home.root / STOP_FILE,
    )
