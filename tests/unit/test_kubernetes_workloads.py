"""What a version's server consists of in a cluster, and what its pods say about it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.stand_in.kubelet import Kubelet
from tests.stand_in.kubernetes_api import Cluster, api_server
from tools.errors import Conflict, Invalid, Refused
from tools.istio_subsets import IstioSubsets
from tools.kubernetes_api import DESTINATION_RULE, VIRTUAL_SERVICE, KubernetesApi
from tools.kubernetes_manifests import ServerTemplate, deployment, server_name
from tools.kubernetes_readings import phase_of
from tools.kubernetes_workloads import KubernetesWorkloads
from tools.virtual_service import virtual_service
from tools.workloads import ServerPhase, ServerRequest

TARGET = "default/flights"
TEMPLATE = ServerTemplate(model="flights", image="registry.example/serving@sha256:0")
REQUEST = ServerRequest(target=TARGET, version="1", artifact=Path("artifact"), artifact_digest="aa")
PLACE = ("apps", "deployments", "default", "flights-v1")


class World:
    """A cluster whose servers are routed by Istio."""

    def __init__(self, url: str, cluster: Cluster) -> None:
        self.api, self.cluster, self.kubelet = (
            KubernetesApi.at(url),
            cluster,
            Kubelet(KubernetesApi.at(url), "default"),
        )
        self.subsets = IstioSubsets(self.api)
        self.workloads = KubernetesWorkloads(
            self.api, {TARGET: TEMPLATE}, endpoints=self.subsets, health=self.kubelet.health
        )

    def serve(self, version: str = "1") -> None:
        request = REQUEST.model_copy(update={"version": version})
        self.workloads.start(request, key="k", token=1)
        for _ in range(2):
            self.kubelet.pass_time(2.0)
        assert self.workloads.read(TARGET, version).phase is ServerPhase.READY


@pytest.fixture
def world() -> Iterator[World]:
    with api_server() as (url, cluster):
        yield World(url, cluster)


def test_a_ready_version_becomes_a_subset(world: World) -> None:
    """From then on a route may lead to it; another version is added beside it."""
    world.serve("1")
    world.serve("2")
    rule = world.api.read(DESTINATION_RULE, "default", "flights")

    assert rule["spec"] == {
        "host": "flights",
        "subsets": [
            {"name": "v1", "labels": {"version": "v1"}},
            {"name": "v2", "labels": {"version": "v2"}},
        ],
    }
    assert world.subsets.versions(TARGET) == ("1", "2")


def test_a_rule_of_others_keeps_what_they_wrote(world: World) -> None:
    """Load balancing and their own subsets stay when a version comes and goes."""
    theirs = {"name": "blue", "labels": {"colour": "blue"}}
    spec = {"host": "flights.default.svc.cluster.local", "trafficPolicy": {"tls": {"mode": "M"}}}
    body = {"metadata": {"name": "theirs", "namespace": "default"}}
    world.api.create(DESTINATION_RULE, {**body, "spec": {**spec, "subsets": [theirs]}})
    world.serve("1")
    world.serve("2")
    world.workloads.stop(TARGET, "1", key="s", token=1)
    rule = world.api.read(DESTINATION_RULE, "default", "theirs")

    second = {"name": "v2", "labels": {"version": "v2"}}
    assert rule["spec"] == {**spec, "subsets": [theirs, second]}


def test_a_version_with_a_share_keeps_its_server(world: World) -> None:
    """The route is looked at, not remembered."""
    world.serve("1")
    world.serve("2")
    body = virtual_service("default", "route", host="flights", version="1", hosts=["flights"])
    world.api.create(VIRTUAL_SERVICE, body)

    with pytest.raises(Refused, match="default/route"):
        world.workloads.stop(TARGET, "1", key="s", token=1)
    assert world.workloads.read(TARGET, "1").phase is ServerPhase.READY


def test_an_autoscaler_keeps_its_replicas(world: World) -> None:
    """mendloop writes their number only where nobody else does."""
    scaler = {
        "metadata": {"name": "flights", "namespace": "default"},
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "flights-v2"}},
    }
    world.cluster.put(("autoscaling", "horizontalpodautoscalers", "default", "flights"), scaler)
    world.serve("1")
    world.serve("2")

    assert world.cluster.objects[PLACE]["spec"]["replicas"] == 2
    autoscaled = ("apps", "deployments", "default", "flights-v2")
    assert "replicas" not in world.cluster.objects[autoscaled]["spec"]


def test_an_autoscaler_of_something_else_owns_nothing_of_ours(world: World) -> None:
    """A StatefulSet may have the same name."""
    scaler = {
        "metadata": {"name": "flights", "namespace": "default"},
        "spec": {"scaleTargetRef": {"kind": "StatefulSet", "name": "flights-v1"}},
    }
    world.cluster.put(("autoscaling", "horizontalpodautoscalers", "default", "flights"), scaler)
    world.serve("1")

    assert world.cluster.objects[PLACE]["spec"]["replicas"] == 2


def test_draining_nodes_takes_one_pod_of_a_version_at_a_time(world: World) -> None:
    """Each version has its own budget; it goes with the version."""
    world.serve("1")
    world.serve("2")
    budgets = {
        name: body["spec"]
        for (_, plural, _, name), body in world.cluster.objects.items()
        if plural == "poddisruptionbudgets"
    }
    pod = world.cluster.objects[PLACE]["spec"]["template"]["metadata"]["labels"]
    wanted = budgets["flights-v1"]["selector"]["matchLabels"].items()
    assert budgets["flights-v1"]["maxUnavailable"] == 1
    assert wanted <= pod.items()
    world.workloads.stop(TARGET, "1", key="s", token=1)

    left = [key[3] for key in world.cluster.objects if key[1] == "poddisruptionbudgets"]
    assert left == ["flights-v2"]


def test_what_somebody_else_owns_is_a_conflict(world: World) -> None:
    """A Deployment of that name, made by others, is not taken over."""
    meta = {"name": "flights-v1-config", "namespace": "default"}
    body = {"metadata": {**meta, "name": "flights-v1"}, "data": {"config.json": "{}"}}
    owner = {"manager": "helm", "operation": "Apply", "fields": ["data/config.json"]}
    body["metadata"]["managedFields"] = [owner]
    world.cluster.put(("", "configmaps", "default", "flights-v1"), body)

    with pytest.raises(Conflict, match="helm"):
        world.workloads.start(REQUEST, key="k", token=1)
    assert PLACE not in world.cluster.objects


def test_a_target_without_a_template_is_named(world: World) -> None:
    """Nothing was made."""
    request = REQUEST.model_copy(update={"target": "default/other"})

    with pytest.raises(Invalid, match="default/other"):
        world.workloads.start(request, key="k", token=1)
    assert not [key for key in world.cluster.objects if key[1] == "deployments"]


def test_the_pod_meets_the_restricted_standard() -> None:
    """Nobody's process, on a disk that it cannot write, with no way to more rights."""
    body = deployment(REQUEST, TEMPLATE, key="k", replicas=True)
    pod = body["spec"]["template"]["spec"]

    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


def test_a_server_may_write_its_predictions_into_a_database() -> None:
    """A pod's own folder goes with it, and mendloop cannot read it; the password is no argument."""
    url = "postgresql://writer@db/log"
    template = TEMPLATE.model_copy(update={"log": url, "log_secret": "writer"})
    pod = deployment(REQUEST, template, key="k", replicas=True)["spec"]["template"]["spec"]
    [server], [fetch] = pod["containers"], pod["initContainers"]

    assert server["args"][server["args"].index("--log") + 1] == url
    assert server["envFrom"] == [{"secretRef": {"name": "writer"}}]
    assert "envFrom" not in fetch


def test_names_are_those_that_dns_takes() -> None:
    """Versions may have capitals, names of objects may not."""
    assert server_name(TARGET, "RC1") == "flights-vrc1"


DEPLOYED: dict[str, Any] = {
    "metadata": {"generation": 2},
    "spec": {"template": {"metadata": {}}},
    "status": {"observedGeneration": 2},
}


def pod_with(container: dict[str, Any], **status: Any) -> dict[str, Any]:
    return {
        "metadata": {},
        "status": {"containerStatuses": [{"name": "server", **container}], **status},
    }


@pytest.mark.parametrize(
    ("container", "phase", "reason"),
    [
        (
            {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such tag"}}},
            ServerPhase.FAILED,
            "image cannot be pulled: no such tag",
        ),
        (
            {
                "restartCount": 5,
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}},
            },
            ServerPhase.FAILED,
            "crashed 6 times in a row: server: OOMKilled, exit code 137",
        ),
        (
            {"restartCount": 1, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            ServerPhase.STARTING,
            "crashed, restarts soon",
        ),
        ({"state": {"running": {}}}, ServerPhase.STARTING, "still loading"),
    ],
)
def test_reasons_are_read_from_the_pods(
    container: dict[str, Any], phase: ServerPhase, reason: str
) -> None:
    """Kubernetes's own words, and what they mean."""
    found, told = phase_of(DEPLOYED, [pod_with(container)])

    assert found is phase
    assert reason in told


def test_a_rollout_without_progress_has_failed() -> None:
    """The progress deadline is Kubernetes's own; before it saw the change it says nothing."""
    condition = {"reason": "ProgressDeadlineExceeded", "message": "timed out progressing"}
    stuck = {**DEPLOYED, "status": {"observedGeneration": 2, "conditions": [condition]}}
    unseen = {**DEPLOYED, "status": {"observedGeneration": 1, "conditions": [condition]}}

    assert phase_of(stuck, []) == (
        ServerPhase.FAILED,
        "its rollout made no progress: timed out progressing",
    )
    assert phase_of(unseen, [])[0] is ServerPhase.STARTING


def test_a_pod_that_fits_nowhere_says_so() -> None:
    """The scheduler's message is what helps."""
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes: no gpu"}

    assert phase_of(DEPLOYED, [pod_with({}, conditions=[condition])]) == (
        ServerPhase.STARTING,
        "cannot be scheduled: 0/3 nodes: no gpu",
    )
