"""Opens what a Platform document names, to look at it: nothing is made, nothing is written."""

from __future__ import annotations

import time
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from orchestrator.journal.address import VARIABLE, JournalAddress
from orchestrator.platform.connections import (
    KubeflowSettings,
    Kubernetes,
    MlflowSettings,
    PrometheusSettings,
)
from orchestrator.platform.document import PlatformSpec
from tools.kubeflow_api import KubeflowApi
from tools.kubernetes_api import KubernetesApi
from tools.managed_model import ManagedModel
from tools.mlflow_http import MlflowAccess
from tools.mlflow_registry import MlflowRegistry
from tools.postgres import Database
from tools.prometheus import PrometheusMetrics, Watched
from tools.secret_source import SecretFrom

_SQLITE = "sqlite:///"


def kubernetes(settings: Kubernetes) -> KubernetesApi:
    """The cluster. Raises Invalid where none is configured."""
    if settings.url:
        return KubernetesApi.at(settings.url)
    return KubernetesApi.connect(
        kubeconfig=settings.kubeconfig or None, context=settings.context or None
    )


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
    headers = {}
    if settings.token_from is not None:
        token = settings.token_from.read("metrics.prometheus.tokenFrom")
        headers["Authorization"] = f"Bearer {token}"
    return PrometheusMetrics(
        settings.url,
        watched,
        monotonic_s=time.monotonic,
        reporter=settings.reporter,
        headers=headers,
        stale_after_s=settings.stale_after.total_seconds(),
    )


def keys(spec: PlatformSpec) -> Path:
    """The folder with the key that signs the journal."""
    url = spec.journal.url
    is_file = url.startswith(_SQLITE)
    return (Path(url.removeprefix(_SQLITE)).parent if is_file else spec.home) / "keys"


def journal(spec: PlatformSpec) -> JournalAddress:
    """Where the journal is."""
    url = spec.journal.url
    if url.startswith(_SQLITE):
        path = Path(url.removeprefix(_SQLITE))
        return JournalAddress(path.parent, file=path.name)
    return JournalAddress(spec.home, with_password(url, spec.journal.password_from, VARIABLE))


def database(url: str, password: SecretFrom | None, what: str) -> Database:
    """A database, to read."""
    return Database(with_password(url, password, what), read_only=True, connections=1)


def with_password(url: str, source: SecretFrom | None, what: str) -> str:
    """The URL with its password. Raises Invalid when that cannot be had."""
    if source is None or not url:
        return url
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    secret = quote(source.read(what), safe="")
    return urlunsplit(parts._replace(netloc=f"{user}:{secret}@{host}"))
