"""The parts of a desk that stand in a Kubernetes cluster: routes, servers, Istio's counters.

Observing reads copies that watches keep (one set of watches per namespace with models); what a
write is decided on is asked of the API server.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from orchestrator.platform import reach
from orchestrator.platform.connections import (
    Istio,
    Kubernetes,
    KubernetesServers,
    PrometheusSettings,
    ServerSettings,
)
from tools.clock import Clock
from tools.errors import Invalid
from tools.istio import Istio as IstioVersions
from tools.istio import IstioTraffic
from tools.istio_subsets import IstioSubsets
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_cache import WatchedObjects, WatchedReads
from tools.kubernetes_kinds import (
    DEPLOYMENT,
    DESTINATION_RULE,
    POD,
    VIRTUAL_SERVICE,
)
from tools.kubernetes_manifests import TARGET_LABEL, ServerTemplate
from tools.kubernetes_workloads import Health, KubernetesWorkloads, http_health
from tools.managed_model import ManagedModel
from tools.metrics import Metrics
from tools.observed_share import ObservedShare
from tools.prometheus import PrometheusMetrics, Watched
from tools.secret_source import SecretFrom
from tools.virtual_service import target_of

FIRST_COPIES_S = 10.0
"""How long a model that joins waits for the first copies of its namespace; later it is unknown
until they are there."""


def token_of(source: SecretFrom | None, what: str) -> Callable[[], str] | None:
    """Reads the token each time it is asked; None where none is named."""
    if source is None:
        return None
    named = source
    return lambda: named.read(what)


class ClusterDesks:
    """Shares one API server's connection and watches between the desks of all models."""

    health: Health = staticmethod(http_health)
    """How a pod is asked; tests have no pods."""

    def __init__(self, settings: Kubernetes, *, is_everywhere: bool = False) -> None:
        """``is_everywhere``: models may be in any namespace, and the account may look into all:
        one set of watches for the whole cluster."""
        self._settings, self._is_everywhere = settings, is_everywhere
        self._reads: dict[str, WatchedReads] = {}
        self._counted: PrometheusMetrics | None = None
        self._versions: dict[str, Callable[[str], Sequence[str]]] = {}

    @cached_property
    def api(self) -> KubernetesApi:
        """Raises Invalid when no cluster is configured."""
        return reach.kubernetes(self._settings)

    @property
    def namespace(self) -> str:
        """mendloop's own."""
        return self._settings.namespace

    def close(self) -> None:
        """End the watches."""
        for reads in self._reads.values():
            reads.stop()

    def traffic(
        self, model: ManagedModel, settings: Istio, metrics: Metrics, clock: Clock
    ) -> IstioTraffic:
        """The routes of a model. Raises Invalid for a host that is not the model's own Service."""
        serving, namespace = model.spec.serving, model.metadata.namespace
        if target_of(serving.host, namespace) != model.target:
            raise Invalid(
                f"{serving.host!r} is not the Service {model.target}; in a cluster the host has "
                "the model's own name and namespace",
                field="spec.serving.host",
            )
        share = ObservedShare(metrics, clock.monotonic_s) if settings.verifies_share else None
        return IstioTraffic(
            self.api,
            share=share,
            routed={f"{namespace}/{serving.route}": [(model.target, serving.host)]},
            reads=self._copies(namespace),
        )

    def workloads(self, model: ManagedModel, settings: KubernetesServers) -> KubernetesWorkloads:
        """The servers of a model."""
        reads = self._copies(model.metadata.namespace)
        template = _template(model, settings.of(model.target))
        return KubernetesWorkloads(
            self.api,
            {model.target: template},
            endpoints=IstioSubsets(self.api, reads=reads),
            health=self.health,
            reads=reads,
        )

    def metrics(
        self, model: ManagedModel, settings: PrometheusSettings, clock: Clock, has_subsets: bool
    ) -> PrometheusMetrics:
        """What Istio's proxies count of a model."""
        namespace, target = model.metadata.namespace, model.target
        watched = Watched(
            namespace=namespace,
            service=model.spec.serving.host.partition(".")[0],
            objective_ms=model.spec.serving.latency_objective.total_seconds() * 1000,
            has_copies=model.spec.rollout.shadow is not None,
        )
        subsets = IstioSubsets(self.api, reads=self._copies(namespace)) if has_subsets else None
        if subsets is not None:
            self._versions[target] = subsets.versions
        if self._counted is None:  # one for all: a fleet is asked about with one question
            self._counted = PrometheusMetrics(
                settings.url,
                {},
                monotonic_s=clock.monotonic_s,
                versions=lambda name: self._versions[name](name) if name in self._versions else (),
                reporter=settings.reporter,
                token=token_of(settings.token_from, "metrics.prometheus.tokenFrom"),
                stale_after_s=settings.stale_after.total_seconds(),
            )
        self._counted.watch(target, watched)
        return self._counted

    def _copies(self, namespace: str) -> WatchedReads:
        """Of the kinds that are looked at in every tick; of others' pods, none."""
        watched_in = "" if self._is_everywhere else namespace
        if watched_in not in self._reads:
            istio = IstioVersions(self.api)
            watched = [
                *(
                    WatchedObjects(self.api, kind, namespace=watched_in, labels=TARGET_LABEL)
                    for kind in (DEPLOYMENT, POD)
                ),
                *(
                    WatchedObjects(self.api, istio.of(kind), namespace=watched_in)
                    for kind in (VIRTUAL_SERVICE, DESTINATION_RULE)
                ),
            ]
            reads = self._reads[watched_in] = WatchedReads(self.api, watched)
            reads.start()
            reads.await_copies(FIRST_COPIES_S)
        return self._reads[watched_in]


def _template(model: ManagedModel, settings: ServerSettings) -> ServerTemplate:
    return ServerTemplate(
        model=model.spec.model,
        image=settings.image,
        replicas=settings.replicas,
        service_account=settings.service_account,
        cpu=settings.cpu,
        memory=settings.memory,
        memory_limit=settings.memory_limit,
        environment=tuple(settings.environment.items()),
        secret=settings.secret,
        log=settings.log,
        log_secret=settings.log_secret,
        ready_within_s=round(settings.ready_within.total_seconds()),
        node_selector=tuple(settings.node_selector.items()),
    )
