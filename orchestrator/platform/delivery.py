"""The ports that a delivery pipeline needs from a Platform document: runs, registry, and traffic.

A delivery pipeline submits a training run and follows what becomes of its version. Everything that
changes production is done by the controller, with its rules and its journal; its runs and its
registry are made here too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.embedded.home import Home
from orchestrator.assembly import (
    embedded_registry,
    embedded_runs,
    embedded_traffic,
    tracking_uri,
)
from orchestrator.platform import reach
from orchestrator.platform.connections import KubeflowSettings, MlflowSettings
from orchestrator.platform.document import Platform, PlatformSpec
from tools.errors import Invalid
from tools.istio import IstioTraffic
from tools.kubeflow import Kubeflow
from tools.kubeflow_api import KubeflowApi
from tools.mlflow_http import MlflowAccess
from tools.mlflow_registry import MlflowRegistry
from tools.pipeline_runs import PipelineRuns
from tools.pipeline_schedules import PipelineSchedules
from tools.registry import Registry
from tools.traffic import Traffic


def runs_of(platform: Platform) -> PipelineRuns:
    """Who runs training pipelines there."""
    return runs_from(platform.spec)


def runs_from(spec: PlatformSpec) -> PipelineRuns:
    """The same of a document's ``spec``."""
    match spec.pipelines.kubeflow:
        case KubeflowSettings() as kubeflow:
            return _kubeflow(kubeflow)
        case None:
            return embedded_runs(Home(spec.home))


def registry_of(platform: Platform) -> Registry:
    """Where models are registered there."""
    return registry_from(platform.spec)


def registry_from(spec: PlatformSpec) -> Registry:
    """The same of a document's ``spec``."""
    match spec.registry.mlflow:
        case MlflowSettings() as mlflow:
            return MlflowRegistry(mlflow.tracking_uri, mlflow.artifacts, access=_access(mlflow))
        case None:
            return embedded_registry(Home(spec.home))


def traffic_of(platform: Platform) -> Traffic:
    """Who splits the traffic there; for reading."""
    if platform.spec.traffic.istio is None:
        return embedded_traffic(Home(platform.spec.home))
    assert platform.spec.kubernetes is not None  # the document demands it
    return IstioTraffic(reach.kubernetes(platform.spec.kubernetes))


def registry_arguments(platform: Platform) -> Mapping[str, Any]:
    """What a training run is told of the registry."""
    return registry_arguments_from(platform.spec)


def registry_arguments_from(spec: PlatformSpec) -> Mapping[str, Any]:
    """The same of a document's ``spec``."""
    match spec.registry.mlflow:
        case MlflowSettings() as mlflow:
            return {"tracking_uri": mlflow.tracking_uri, "artifact_root": mlflow.artifacts}
        case None:
            home = Home(spec.home)
            root = str((home.mlflow / "artifacts").resolve())
            return {"tracking_uri": tracking_uri(home), "artifact_root": root}


def schedules_of(platform: Platform) -> PipelineSchedules:
    """Who runs pipelines by the clock there. Raises Invalid where nobody does."""
    from pipelines.catalog import SCHEDULED
    from tools.kubeflow_schedules import KubeflowSchedules

    settings = platform.spec.pipelines.kubeflow
    if settings is None:
        raise Invalid(
            "only Kubeflow runs pipelines by the clock; a model's own training schedule is"
            " spec.triggers of its ManagedModel, which needs none",
            field="spec.pipelines.kubeflow",
        )
    return KubeflowSchedules(
        _kubeflow_api(settings), SCHEDULED, experiment=settings.experiment, image=settings.image
    )


def _kubeflow_api(settings: KubeflowSettings) -> KubeflowApi:
    source = settings.token_from
    token = None if source is None else lambda: source.read("pipelines.kubeflow.tokenFrom")
    return KubeflowApi(settings.url, namespace=settings.namespace, token=token)


def _kubeflow(settings: KubeflowSettings) -> Kubeflow:
    from pipelines.catalog import PIPELINES

    return Kubeflow(
        _kubeflow_api(settings),
        PIPELINES,
        outputs_root=settings.outputs,
        experiment=settings.experiment,
        image=settings.image,
    )


def _access(settings: MlflowSettings) -> MlflowAccess:
    return MlflowAccess(
        token_from=settings.token_from,
        username=settings.username,
        password_from=settings.password_from,
        read_s=settings.timeout.total_seconds(),
    )
