"""What the chart grants is what the adapters call: no verb less, and no verb more.

The adapters do everything they can do, against an API server where each request is first compared
with the rules that Helm rendered, as RBAC would: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.journal.place_config_map import ConfigMapOfCheckpoints
from orchestrator.journal.settings import ConfigMapPlace
from orchestrator.platform.cluster import ClusterDesks
from orchestrator.platform.connections import Istio, Kubernetes, KubernetesServers, ServerSettings
from orchestrator.resources.source import ManagedModelResources
from orchestrator.stop_config_map import StopConfigMap
from simulations.clock import VirtualClock
from simulations.metrics import MemoryMetrics
from tests.infra.programs import ROOT, helm
from tests.infra.standards import of_kind
from tests.stand_in.api_servers import open_stand_in
from tests.stand_in.kubelet import Kubelet
from tools import kubernetes_rights as rights
from tools.documents import load_document
from tools.errors import Invalid, Refused
from tools.istio_subsets import IstioSubsets
from tools.kubernetes_api import KubernetesApi, NotFound
from tools.kubernetes_events import Regarding, Told, tell
from tools.kubernetes_kinds import MANAGED_MODEL, SERVICE, VIRTUAL_SERVICE, Kind
from tools.kubernetes_lease import KubernetesLeases
from tools.managed_model import ManagedModel
from tools.virtual_service import virtual_service
from tools.workloads import ServerPhase, ServerRequest, ServingConfig

OWN, MODELS = "mendloop", "default"
DOCUMENT = ROOT / "examples" / "flights" / "model.yaml"
MODEL = load_document(DOCUMENT, ManagedModel)
Grant = tuple[str, str, str, str]
"""Namespace, API group, resource, verb."""


class GrantedApi(KubernetesApi):
    """Asks the rules before the API server, and remembers what it needed."""

    def __init__(self, client: Any, granted: frozenset[Grant]) -> None:
        super().__init__(client)
        self.granted, self.used = granted, set[Grant]()

    def _call(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        if method == "PATCH" and "apply" in options.get("content", "") and self._is_absent(path):
            self._ask(path, "create")
        self._ask(path, _verb(method, path))
        return super()._call(method, path, **options)

    def watch(self, kind: Kind, namespace: str, **options: Any) -> Any:
        self._ask(kind.path(namespace), "watch")
        return super().watch(kind, namespace, **options)

    def _is_absent(self, path: str) -> bool:
        try:
            super()._call("GET", path, what=path)
        except NotFound:
            return True
        return False

    def _ask(self, path: str, verb: str) -> None:
        """Discovery is open to every account; everything else is granted, or 403."""
        if "/namespaces/" not in path:
            return
        before, _, after = path.partition("/namespaces/")
        group = before.split("/")[2] if before.startswith("/apis/") else ""
        namespace, plural, *rest = after.split("/")
        resource = f"{plural}/{rest[1]}" if len(rest) > 1 else plural
        self.used.add((namespace, group, resource, verb))
        if (namespace, group, resource, verb) not in self.granted:
            raise Refused(f"forbidden: {verb} {resource} of {group or 'core'} in {namespace}")


def _verb(method: str, path: str) -> str:
    has_name = len(path.partition("/namespaces/")[2].split("/")) > 2
    if method == "GET":
        return "get" if has_name else "list"
    return {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}[method]


def grants(level: str) -> frozenset[Grant]:
    """What the chart's Roles come to, with the models in a namespace of their own."""
    objects = helm({"access": {"level": level, "namespaces": [MODELS]}}, namespace=OWN)
    return frozenset(
        (role["metadata"]["namespace"], group, resource, verb)
        for role in of_kind(objects, "Role")
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    )


class Installation:
    """A cluster with one model, its route, and a kubelet; and the adapters of one account."""

    def __init__(
        self,
        admin: KubernetesApi,
        account: Callable[[str], KubernetesApi],
        *,
        own: str = OWN,
        models: str = MODELS,
    ) -> None:
        """``account``: the connection of whom the chart gives a level."""
        self.admin, self.account, self.own, self.models = admin, account, own, models
        self.model = load_document(DOCUMENT, ManagedModel).model_copy(
            update={"metadata": MODEL.metadata.model_copy(update={"namespace": models})}
        )
        self.target = self.model.target
        self.kubelet = Kubelet(admin, models)
        meta = {"namespace": models, "name": "flights"}
        spec = {"selector": {"app": "flights"}, "ports": [{"name": "http", "port": 80}]}
        admin.create(
            SERVICE, {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
        )
        body = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
        body["spec"]["data"]["history"] = "s3://history/flights.parquet"
        admin.create(MANAGED_MODEL, {**body, "metadata": meta})

    @contextmanager
    def under(self, level: str) -> Iterator[None]:
        """With the adapters of an account that the chart gives this level."""
        self.api = self.account(level)
        desks = ClusterDesks(Kubernetes(namespace=self.own))
        desks.api, desks.health = self.api, self.kubelet.health
        self.resources = ManagedModelResources.of(self.api, [self.models])
        try:
            assert self.resources.start(), "the custom resources may not be read"
            settings = KubernetesServers(template=ServerSettings(image="serving:1"))
            clock = VirtualClock()
            metrics = MemoryMetrics(clock)
            self.traffic = desks.traffic(self.model, Istio(), metrics, clock)
            self.workloads = desks.workloads(self.model, settings)
            yield
        finally:
            self.resources.stop()
            desks.close()

    def start(self, version: str) -> None:
        """A server for the version, until it is ready."""
        request = ServerRequest(
            target=self.target, version=version, artifact=Path("artifact"), artifact_digest="aa"
        )
        self.workloads.start(request, key=f"start-{version}", token=1)
        self.load(version)

    def load(self, version: str) -> None:
        """The pod is made, then its model is loaded."""
        for _ in range(2):
            self.kubelet.pass_time(5.0)
        _await(lambda: self.workloads.read(self.target, version).phase is ServerPhase.READY)

    def act(self) -> None:
        """A release from beginning to end."""
        self.start("1")
        host = "flights"
        route = virtual_service(self.models, host, host=host, version="1", hosts=[host])
        self.admin.create(VIRTUAL_SERVICE, {**route, "apiVersion": VIRTUAL_SERVICE.api_version})
        self.start("2")
        masked = ServingConfig(masked=("temp",))
        self.workloads.configure(self.target, "2", masked, key="mask", token=2)
        self.workloads.restart(self.target, "2", key="restart", token=2)
        self.load("2")
        self.shift("v2")
        self.workloads.stop(self.target, "1", key="stop", token=2)

    def shift(self, subset: str) -> None:
        """All requests to another version."""
        standing = self.admin.read(VIRTUAL_SERVICE, self.models, "flights")
        stored = standing["metadata"]["resourceVersion"]
        _await(lambda: self._revision() == stored)
        path = "/spec/http/0/route/0/destination/subset"
        change = {"op": "replace", "path": path, "value": subset}
        self.traffic.patch(self.models, "flights", [change], resource_version=stored)

    def _revision(self) -> str:
        """Of the route, as the copies have it."""
        try:
            return self.traffic.read(self.models, "flights").resource_version
        except Invalid:
            return ""

    def observe(self) -> None:
        """Everything that is only looked at."""
        self.workloads.servers(self.target)
        self.traffic.read(self.models, "flights")
        IstioSubsets(self.api).versions(self.target)
        self.api.patch_status(MANAGED_MODEL, self.models, "flights", {"phase": "Healthy"})
        self.resources.read()
        about = Regarding(kind=MANAGED_MODEL, namespace=self.models, name="flights", uid="1")
        told = Told(key="1", type="Normal", reason="Resolved", action="Resolving", note="")
        tell(self.api, about, told, instance="a", now=datetime.now(UTC))

    def keep(self) -> None:
        """Leases, kill switch, checkpoints: what mendloop keeps of its own."""
        clock = VirtualClock()
        leases = KubernetesLeases(self.api, clock, namespace=self.own)
        assert leases.replicas("a") == {"a"}
        lease = leases.acquire_many([self.target], "a")[self.target]
        leases.release(lease)
        leases.leave("a")
        switch = StopConfigMap(self.api, namespace=self.own)
        switch.on([None, self.target])
        switch.turn_on(self.target, "a person in the pod")
        switch.turn_off(self.target)
        place = ConfigMapPlace(config_map=f"{self.own}/mendloop-checkpoints")
        checkpoints = ConfigMapOfCheckpoints(place, connect=lambda: self.api)
        checkpoints.put([("1.checkpoint", "note")])
        checkpoints.put([("2.checkpoint", "note")])


def _await(holds: Callable[[], bool]) -> None:
    """What is watched is heard of a moment later."""
    deadline = time.monotonic() + 10.0
    while not holds():
        assert time.monotonic() < deadline
        threading.Event().wait(0.02)


@pytest.fixture
def place() -> Iterator[Installation]:
    with open_stand_in() as admin:
        yield Installation(admin, lambda level: GrantedApi(admin._client, grants(level)))


def test_everything_that_the_adapters_do_is_granted(place: Installation) -> None:
    """With `access.level: act` nothing is forbidden; and what nobody needs is not granted."""
    with place.under("act"):
        place.keep()
        place.act()
        place.observe()

    assert isinstance(place.api, GrantedApi)
    assert unneeded(place.api) == set()
    assert place.api.used - asked_by_the_doctor() == set()
    assert asked_by_the_doctor() - place.api.granted == set()


def unneeded(api: GrantedApi) -> set[Grant]:
    """What is granted and not used, apart from reading one of what may be listed: whoever may list
    gains nothing by it, and other commands are spared a refusal."""
    listed = {(*grant[:3], "get") for grant in api.granted if grant[3] == "list"}
    return set(api.granted - api.used - listed)


def asked_by_the_doctor(own: str = OWN, models: str = MODELS) -> set[Grant]:
    """What `mendloop doctor` looks for, where mendloop acts."""
    of_models = (
        *rights.TO_FOLLOW_RESOURCES,
        *rights.TO_OBSERVE_TRAFFIC,
        *rights.TO_OBSERVE_SERVERS,
        *rights.TO_MOVE_TRAFFIC,
        *rights.TO_RUN_SERVERS,
    )
    of_its_own = (*rights.TO_HOLD_LEASES, *rights.TO_KEEP_CONFIG_MAPS)
    return {
        (namespace, right.group, right.resource, right.verb)
        for namespace, found in ((models, of_models), (own, of_its_own))
        for right in found
    }


def test_an_observer_looks_at_everything_and_changes_nothing(place: Installation) -> None:
    """With `access.level: observe` reading works; every change of a model is refused by RBAC."""
    with place.under("act"):
        place.act()

    with place.under("observe"):
        place.keep()
        place.observe()
        with pytest.raises(Refused, match="forbidden: get configmaps"):
            place.start("3")
        with pytest.raises(Refused, match="forbidden: patch virtualservices"):
            place.shift("v2")

    assert isinstance(place.api, GrantedApi)
    assert unneeded(place.api) == set()
