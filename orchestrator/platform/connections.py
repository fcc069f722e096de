"""What stands behind each port of a desk: traffic, servers, pipelines, registry, metrics, log."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from orchestrator.platform.choice import HttpUrl, OneOf, PlainUrl
from tools.managed_model import Duration
from tools.schema import DocumentValue
from tools.secret_source import SecretFrom


class Empty(DocumentValue):
    """``{}``: chosen, and nothing to set."""


class Kubernetes(DocumentValue):
    """The cluster. In a pod its own account is used, elsewhere the current kubeconfig."""

    context: str = ""
    """Of the kubeconfig; empty: the pod's own account, else the current context."""
    kubeconfig: str = ""
    """Path; empty: ``KUBECONFIG`` and the usual place."""
    url: HttpUrl | None = None
    """An API server that asks for no credentials, such as ``kubectl proxy``; instead of the two
    above."""
    namespace: str = Field(default="mendloop", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """mendloop's own: leases, kill switch and checkpoints are kept there."""
    connect_timeout: Duration = timedelta(seconds=3)
    """A server that takes longer to accept is away; a tick must not wait for it."""
    read_timeout: Duration = timedelta(seconds=10)
    """For a whole answer; below the time of a lease, or a slow answer would cost it."""

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.url and (self.context or self.kubeconfig):
            raise ValueError("expected either url, or context and kubeconfig")
        return self


class Istio(DocumentValue):
    """VirtualServices and DestinationRules of the cluster."""

    verifies_share: bool = True
    """Whether counted requests must show that the proxies follow a stored weight. False only where
    nothing counts requests: then what is stored has to do."""


class Traffic(OneOf):
    """Who splits the requests between versions."""

    istio: Istio | None = None
    envoy: Empty | None = None
    """An Envoy on this machine that follows the documents under ``home``."""


class ServerSettings(DocumentValue):
    """How the servers of a model are run in the cluster."""

    image: str = Field(min_length=1)
    """The serving image; pinned by digest in production, or two pods of one version may differ."""
    replicas: int = Field(default=2, ge=1)
    """Two, so that draining one node takes no model away; an autoscaler's number stands."""
    service_account: str = "default"
    cpu: str = "500m"
    """Requested cores per pod; no limit is set, throttled cores make slow answers."""
    memory: str = "1Gi"
    """Requested bytes per pod."""
    memory_limit: str = "2Gi"
    environment: dict[str, str] = {}
    """Such as ``MLFLOW_TRACKING_URI``; no secrets."""
    secret: str = ""
    """Name of a Secret in the model's namespace whose keys become environment variables of the
    container that fetches the artifact."""
    log: PlainUrl = "/predictions"
    """Where predictions are written: ``postgresql://writer@host/database`` that ``predictionLog``
    reads, or a folder of the pod, which goes with it."""
    log_secret: str = ""
    """Name of a Secret in the model's namespace whose keys become environment variables of the
    server, such as ``PGPASSWORD``."""
    ready_within: Duration = timedelta(seconds=300)
    """A rollout that makes no progress for so long has failed; pulling a large image takes
    minutes."""
    node_selector: dict[str, str] = {}


class KubernetesServers(DocumentValue):
    """A Deployment per version."""

    template: ServerSettings
    """For every model that has none of its own."""
    targets: dict[str, ServerSettings] = {}
    """``namespace/name`` -> the whole template of that model."""

    def of(self, target: str) -> ServerSettings:
        """The template of a target."""
        return self.targets.get(target, self.template)


class Workloads(OneOf):
    """Who runs the model servers."""

    kubernetes: KubernetesServers | None = None
    processes: Empty | None = None
    """Processes of this machine, below ``home``."""


class KubeflowSettings(DocumentValue):
    """A Kubeflow Pipelines server (v2beta1)."""

    url: HttpUrl
    namespace: str = ""
    """The profile's namespace in a multi-user installation; empty in a single-user one."""
    token_from: SecretFrom | None = None
    """Bearer token, read before every request: a projected service account token is renewed
    hourly."""
    outputs: PlainUrl
    """Folder or fsspec URL (``s3://bucket/runs``) that the pipelines' steps and mendloop reach:
    runs report their results there."""
    experiment: str = "mendloop"
    image: str = ""
    """What the steps run in, pinned by digest in production; empty: what the components name."""


class Pipelines(OneOf):
    """Who runs the training pipelines."""

    kubeflow: KubeflowSettings | None = None
    local: Empty | None = None
    """``kfp.local`` in processes of this machine."""


class MlflowSettings(DocumentValue):
    """An MLflow tracking server, or a SQLite file."""

    tracking_uri: PlainUrl
    """``https://mlflow...``, or ``sqlite:///file`` on one machine."""
    artifacts: PlainUrl = ""
    """Where a new experiment puts its artifacts: folder or URL; empty leaves it to the server."""
    username: str = ""
    password_from: SecretFrom | None = None
    token_from: SecretFrom | None = None
    """Bearer token, instead of name and password."""
    timeout: Duration = timedelta(seconds=10)
    """For one request; mendloop asks again at the next tick."""

    @model_validator(mode="after")
    def _one_identity(self) -> Self:
        if bool(self.username) != (self.password_from is not None):
            raise ValueError("expected both username and passwordFrom, or neither")
        if self.username and self.token_from:
            raise ValueError("expected either username and passwordFrom, or tokenFrom")
        return self


class Registry(OneOf):
    """Where models are registered."""

    mlflow: MlflowSettings | None = None
    local: Empty | None = None
    """MLflow on SQLite below ``home``."""


class PrometheusSettings(DocumentValue):
    """Prometheus, which scrapes Istio's proxies."""

    url: HttpUrl
    token_from: SecretFrom | None = None
    reporter: Literal["source", "destination"] = "source"
    """``source`` counts what callers met, refused connections included; ``destination`` what
    servers saw, for callers without a proxy."""
    stale_after: Duration = timedelta(seconds=90)
    """An older sample is no reading: three scrapes of 30 s were missed."""


class Metrics(OneOf):
    """Who counts what each version answers."""

    prometheus: PrometheusSettings | None = None
    envoy: Empty | None = None
    """The admin port of the Envoy on this machine."""


class ParquetFolders(DocumentValue):
    """Parquet parts below folders that this process reaches."""

    predictions: Path | None = None
    """None: below ``home``, where the servers on this machine write."""
    labels: Path | None = None


class DatabaseLog(DocumentValue):
    """Tables of a database, through Ibis."""

    url: PlainUrl
    """As Ibis takes it, such as ``postgresql://reader@db/predictions``."""
    password_from: SecretFrom | None = None


class PredictionLogPlace(OneOf):
    """Where predictions and labels are read."""

    parquet: ParquetFolders | None = None
    database: DatabaseLog | None = None
