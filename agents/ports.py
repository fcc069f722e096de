"""The desk: every port a specialist may reach through, handed in by the composition root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.alerts import Alerts
from tools.clock import Clock
from tools.metrics import Metrics
from tools.pipeline_runs import PipelineRuns
from tools.prediction_log import PredictionLog
from tools.registry import Registry
from tools.traffic import Traffic
from tools.workloads import Workloads


@dataclass(frozen=True)
class Desk:
    """Ports and folders of one platform; the same agents sit at an embedded, a production and a
    simulated one."""

    traffic: Traffic
    workloads: Workloads
    runs: PipelineRuns
    registry: Registry
    metrics: Metrics
    log: PredictionLog
    clock: Clock
    pins: Path
    """Folder of training data pinned by digest."""
    artifacts: Path
    """Folder of artifacts fetched by digest."""
    history: str
    """Path or URL of the data from before the prediction log."""
    pipeline_arguments: Mapping[str, Any]
    """What every pipeline run on this platform is told, for example where MLflow is."""
    alerts: Alerts | None = None
    """None: nobody raises alerts here."""
