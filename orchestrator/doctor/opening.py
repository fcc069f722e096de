"""Opens what a Platform document names, to look at it: nothing is made, nothing is written."""

from __future__ import annotations

import time

from orchestrator.platform.connections import (
    KubeflowSettings,
    MlflowSettings,
    PrometheusSettings,
)
from tools.kubeflow_api import KubeflowApi
from tools.managed_model import ManagedModel
from tools.mlflow_http import MlflowAccess
from tools.mlflow_registry import MlflowRegistry
from tools.prometheus import PrometheusMetrics, Watched


def mlflow(settings: MlflowSettings) -> MlflowRegistry:
    """The registry."""
    read_s = settings.timeout.total_seconds()
    access = MlflowAccess(
        token_from=settings.token_from,
        username=settings.username,
        password_from=settings.password_from,
        read_s=read_s,
    )
    return MlflowRegistry(settings.tracking_uri, settings.artifacts, access=access)


def kubeflow(settings: KubeflowSettings) -> KubeflowApi:
    """The pipelines' API."""
    source = settings.token_from
    token = None if source is None else lambda: source.read("pipelines.kubeflow.tokenFrom")
    return KubeflowApi(settings.url, namespace=settings.namespace, token=token)


def prometheus(settings: PrometheusSettings, models: list[ManagedModel]) -> PrometheusMetrics:
    """The counters. Raises Invalid for an objective at which Istio does not count."""
    watched = {
        model.target: Watched(
            namespace=model.metadata.namespace,
            service=model.spec.serving.host.partition(".")[0],
            objective_ms=model.spec.serving.latency_objective.total_seconds() * 1000,
        )
        for model in models
    }
    source = settings.token_from
    return PrometheusMetrics(
        settings.url,
        watched,
        monotonic_s=time.monotonic,
        reporter=settings.reporter,
        token=None if source is None else lambda: source.read("metrics.prometheus.tokenFrom"),
        stale_after_s=settings.stale_after.total_seconds(),
    )
