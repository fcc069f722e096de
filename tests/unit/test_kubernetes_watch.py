"""Watches meet what API servers do to them: time-outs, forgotten revisions, cuts, refusals."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.platform.cluster import ClusterDesks
from orchestrator.platform.connections import Kubernetes
from tests.promises.test_reads import until
from tests.stand_in.kubelet import Kubelet
from tests.stand_in.kubernetes_api import Cluster, Failure, api_server
from tools.errors import Unavailable
from tools.istio import IstioTraffic
from tools.istio_subsets import IstioSubsets
from tools.kubernetes_api import (
    CONFIG_MAP,
    DEPLOYMENT,
    DESTINATION_RULE,
    POD,
    VIRTUAL_SERVICE,
    Gone,
    KubernetesApi,
)
from tools.kubernetes_cache import WatchedObjects, WatchedReads
from tools.kubernetes_manifests import TARGET_LABEL, ServerTemplate
from tools.kubernetes_watch import Watch
from tools.kubernetes_workloads import KubernetesWorkloads
from tools.virtual_service import virtual_service
from tools.workloads import ServerPhase, ServerRequest

Served = tuple[KubernetesApi, Cluster]


class Hours:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def served() -> Iterator[Served]:
    with api_server() as (url, cluster):
        yield KubernetesApi.at(url), cluster


def make(api: KubernetesApi, name: str, value: str = "1") -> dict[str, Any]:
    meta = {"namespace": "default", "name": name}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": value}}
    return api.create(CONFIG_MAP, body)


def lists(cluster: Cluster) -> int:
    """How often everything was read anew."""
    return sum("/configmaps?limit" in path for _, path in cluster.requests)


def watched(api: KubernetesApi, **options: Any) -> WatchedObjects:
    objects = WatchedObjects(api, CONFIG_MAP, jitter=lambda: 0.0, **options)
    objects.start()
    return objects


def test_a_watch_tells_what_came_after_its_revision(served: Served) -> None:
    """In order, each with a revision from which another goes on; bookmarks are told apart."""
    api, _ = served
    make(api, "before")
    start = api.listing(CONFIG_MAP, "default").revision
    make(api, "one")
    api.delete(CONFIG_MAP, "default", "one")
    changes = list(api.watch(CONFIG_MAP, "default", revision=start, timeout_s=1))

    assert [c.type for c in changes] == ["ADDED", "DELETED", "BOOKMARK"]
    assert changes[0].body["metadata"]["name"] == "one"
    later = list(api.watch(CONFIG_MAP, "", revision=changes[0].revision, timeout_s=1))
    assert [c.type for c in later][:1] == ["DELETED"]


def test_a_forgotten_revision_is_said(served: Served) -> None:
    """In the midst of an answer that began with 200, as API servers do it, and as a 410."""
    api, cluster = served
    make(api, "one")
    old = api.listing(CONFIG_MAP, "default").revision
    make(api, "two")
    cluster.compact()

    with pytest.raises(Gone, match="too old"):
        list(api.watch(CONFIG_MAP, "default", revision=old, timeout_s=1))
    cluster.fault = lambda method, path: Failure(410, "Expired", "too old")
    with pytest.raises(Gone):
        api.watch(CONFIG_MAP, "default", revision=old, timeout_s=1)


def test_a_long_list_is_read_in_pages(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """All as of one revision, whatever is written meanwhile; a forgotten page is said."""
    api, cluster = served
    monkeypatch.setattr("tools.kubernetes_api._PAGE", 2)
    for name in ("a", "b", "c", "d", "e"):
        make(api, name)
    revision = str(cluster.revision)
    names = [body["metadata"]["name"] for body in api.list(CONFIG_MAP, "default")]
    assert names == ["a", "b", "c", "d", "e"]
    assert api.listing(CONFIG_MAP, "default").revision == revision

    def forget(method: str, path: str) -> None:
        if "continue=" in path:
            cluster.compact()

    cluster.fault = forget
    with pytest.raises(Gone):
        api.list(CONFIG_MAP, "default")


def test_copies_follow_over_the_ends_of_watches(served: Served) -> None:
    """The server ends a watch after its time; the next goes on where it ended, without a list."""
    api, cluster = served
    objects = watched(api, turn_s=1)
    assert objects.await_copies(5)
    for name in ("one", "two", "three"):
        make(api, name)
        assert until(lambda name=name: objects.find("default", name) is not None)  # type: ignore[misc]
        assert until(lambda: sum("watch=true" in p for _, p in cluster.requests) >= 2)
    objects.stop()

    assert lists(cluster) == 1


def test_a_cut_watch_goes_on_without_a_list(served: Served) -> None:
    """What happened meanwhile is told by the next one."""
    api, cluster = served
    objects = watched(api)
    assert objects.await_copies(5)
    make(api, "one")
    assert until(lambda: objects.find("default", "one") is not None)
    cluster.break_watches()
    make(api, "two")

    assert until(lambda: objects.find("default", "two") is not None)
    assert lists(cluster) == 1
    objects.stop()


def test_copies_are_read_anew_when_history_is_gone(served: Served) -> None:
    """What went while nobody listened is gone from the copies too."""
    api, cluster = served
    make(api, "one")
    objects = watched(api)
    assert objects.await_copies(5)
    down = Failure(503, "ServiceUnavailable", "down")
    cluster.fault = lambda method, path: down if "watch" in path else None
    cluster.break_watches()
    make(api, "two")
    api.delete(CONFIG_MAP, "default", "one")
    cluster.compact()
    cluster.fault = lambda method, path: None

    assert until(lambda: objects.find("default", "two") is not None)
    assert objects.find("default", "one") is None
    assert lists(cluster) == 2
    objects.stop()


def test_a_broken_watch_is_unknown_after_its_time_and_known_again(served: Served) -> None:
    """Never old news; the message says since when and why."""
    api, cluster = served
    make(api, "one")
    clock = Hours()
    objects = watched(api, monotonic_s=clock, stale_after_s=45.0)
    assert objects.await_copies(5)
    forbidden = Failure(403, "Forbidden", "cannot watch configmaps")
    cluster.fault = lambda method, path: forbidden if "watch" in path else None
    cluster.break_watches()
    assert until(lambda: "cannot watch" in objects._trouble)
    clock.now_s = 44.0
    assert objects.find("default", "one") is not None
    clock.now_s = 46.0

    with pytest.raises(Unavailable, match=r"46 s not heard of.*cannot watch configmaps.*grant"):
        objects.find("default", "one")
    with pytest.raises(Unavailable):
        objects.all("default")
    cluster.fault = lambda method, path: None
    assert until(lambda: _is_known(objects))
    objects.stop()


def _is_known(objects: WatchedObjects) -> bool:
    try:
        return objects.find("default", "one") is not None
    except Unavailable:
        return False


def test_a_watch_that_ends_at_once_is_not_asked_in_a_loop(served: Served) -> None:
    """Some servers answer 200 and nothing; that must not become thousands of requests."""
    api, cluster = served

    class Nothing:
        def __iter__(self) -> Iterator[Any]:
            return iter(())

        def stop(self) -> None:
            """It has ended."""

    asked: list[float] = []

    def watch(*_: Any, **__: Any) -> Any:
        asked.append(time.monotonic())
        return Nothing()

    api.watch = watch  # type: ignore[method-assign]
    objects = watched(api)
    assert until(lambda: len(asked) >= 4)
    objects.stop()

    assert min(b - a for a, b in itertools.pairwise(asked[:4])) >= 0.09
    assert lists(cluster) == 1


@pytest.mark.parametrize("line", [b"<html>\n", b'{"type": "ADDED"}\n', b"[]\n", b'{"type":'])
def test_a_stream_of_something_else_breaks(line: bytes) -> None:
    """A proxy's error page is no change."""

    class Odd:
        def stream(self, _: int) -> Iterator[bytes]:
            yield line

        def close(self) -> None:
            """Nothing is open."""

    with pytest.raises(Unavailable, match="watch of configmaps"):
        list(Watch(Odd(), "watch of configmaps"))


def test_stopping_does_not_wait_for_the_watch_to_end(served: Served) -> None:
    """The reader sleeps in a socket for half a minute; the end of a pod has no time for that."""
    api, cluster = served
    before = threading.active_count()
    objects = watched(api)
    assert objects.await_copies(5)
    assert until(lambda: any("watch=true" in path for _, path in cluster.requests))
    began_s = time.monotonic()
    objects.stop()

    assert time.monotonic() - began_s < 5.0
    assert not objects._thread.is_alive()
    assert threading.active_count() <= before + 2  # the server's own threads end by themselves
    objects.stop()


def test_an_object_that_makes_no_sense_is_trouble_and_not_the_end(served: Served) -> None:
    """A proxy that mangles answers; when it is mended, everything is known again."""
    api, cluster = served
    make(api, "one")
    key = ("", "configmaps", "default", "one")
    name = cluster.objects[key]["metadata"].pop("name")
    objects = watched(api)
    assert until(lambda: "no sense" in objects._trouble)
    cluster.objects[key]["metadata"]["name"] = name

    assert until(lambda: _is_known(objects))
    objects.stop()


def test_a_token_that_cannot_be_read_now_is_read_again(served: Served) -> None:
    """The kubelet renews it; in between there may be none."""
    api, _ = served
    make(api, "one")
    tokens = iter([FileNotFoundError(2, "No such file"), ""])

    def renew(settings: Any) -> None:
        token = next(tokens)
        if isinstance(token, OSError):
            raise token

    api._client.configuration.refresh_api_key_hook = renew
    api._client.configuration.api_key["authorization"] = "x"
    with pytest.raises(Unavailable, match="No such file"):
        api.read(CONFIG_MAP, "default", "one")

    assert api.read(CONFIG_MAP, "default", "one")["data"] == {"a": "1"}


def test_looking_at_many_models_costs_no_request(served: Served) -> None:
    """However many there are: an idle tick is answered from the copies."""
    api, cluster = served
    targets = [f"default/model-{n}" for n in range(20)]
    kubelet = Kubelet(api, "default")
    templates = {target: ServerTemplate(model="m", image="serving:1") for target in targets}
    subsets = IstioSubsets(api)
    acting = KubernetesWorkloads(api, templates, endpoints=subsets, health=kubelet.health)
    for target in targets:
        _, name = target.split("/")
        request = ServerRequest(
            target=target, version="1", artifact=Path("artifact"), artifact_digest="aa"
        )
        acting.start(request, key="start", token=1)
        api.create(
            VIRTUAL_SERVICE, virtual_service("default", name, host=name, version="1", hosts=[name])
        )
    for _ in range(2):
        kubelet.pass_time(5.0)
    for target in targets:
        acting.read(target, "1")  # publishes its subset
    servers = [WatchedObjects(api, kind, labels=TARGET_LABEL) for kind in (DEPLOYMENT, POD)]
    routes = [WatchedObjects(api, kind) for kind in (VIRTUAL_SERVICE, DESTINATION_RULE)]
    reads = WatchedReads(api, [*servers, *routes])
    reads.start()
    assert reads.await_copies(10.0)
    told = {target: {"config": {"masked": []}, "artifact_digest": "aa"} for target in targets}
    looking = KubernetesWorkloads(
        api,
        templates,
        endpoints=IstioSubsets(api, reads=reads),
        health=lambda pod: told[f"default/{pod['metadata']['labels']['app']}"],
        reads=reads,
    )
    traffic = IstioTraffic(api, reads=reads)
    traffic.read("default", "model-0")  # asks once which version of Istio is served
    looking.servers("default/model-0")
    assert until(lambda: sum("watch=true" in path for _, path in cluster.requests) == 4)
    before = len(cluster.requests)
    for target in targets:
        [state] = looking.servers(target)
        assert state.phase is ServerPhase.READY
        assert traffic.read("default", target.partition("/")[2]).resource_version

    assert cluster.requests[before:] == []
    reads.stop()


@pytest.mark.parametrize(("is_everywhere", "watches"), [(True, 4), (False, 8)])
def test_who_may_look_everywhere_watches_the_cluster_once(
    is_everywhere: bool, watches: int
) -> None:
    """A hundred namespaces with models are no hundred sets of watches."""
    with api_server() as (url, cluster):
        desks = ClusterDesks(Kubernetes(url=url), is_everywhere=is_everywhere)
        reads = {desks._copies("a"), desks._copies("b")}
        assert until(lambda: sum("watch=true" in p for _, p in cluster.requests) == watches)
        meta = {"namespace": "b", "name": "flights"}
        body = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": meta}
        desks.api.create(VIRTUAL_SERVICE, body)

        assert len(reads) == watches // 4
        assert desks._copies("b").read(VIRTUAL_SERVICE, "b", "flights")["metadata"]["uid"]
        desks.close()
