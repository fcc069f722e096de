"""What every adapter of the traffic port promises."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.embedded.home import Home
from infra.embedded.platform import start_platform, stop_platform
from simulations.clock import VirtualClock
from simulations.traffic import MemoryTraffic
from tests.stand_in.api_servers import open_stand_in, watching
from tests.stand_in.kubelet import make_pod, ready
from tools.envoy import EnvoyTraffic
from tools.errors import Conflict, Invalid, MendloopError, Refused
from tools.istio import IstioTraffic
from tools.istio_subsets import IstioSubsets
from tools.kubernetes_api import (
    DESTINATION_RULE,
    POD,
    SERVICE,
    VIRTUAL_SERVICE,
    Exists,
    KubernetesApi,
)
from tools.kubernetes_cache import Reads, WatchedReads
from tools.traffic import JsonPatch, RouteDocument
from tools.virtual_service import virtual_service

NAMES = (f"model-{i}" for i in itertools.count())
DEADLINE_S = 10.0


class World:
    """One store of documents, a model with two servers, and other people."""

    def __init__(
        self,
        traffic: EnvoyTraffic | MemoryTraffic | IstioTraffic,
        edit: Callable[[str, JsonPatch], None],
        pass_time: Callable[[], None],
        publish: Callable[[str, str], None],
        namespace: str = "default",
    ) -> None:
        self.traffic, self.edit_by_hand, self.pass_time = traffic, edit, pass_time
        self.namespace, self.name = namespace, next(NAMES)
        self.target = f"{namespace}/{self.name}"
        for version in ("1", "2"):
            publish(self.target, version)
        traffic.create(self.document())

    def document(self) -> dict[str, Any]:
        return virtual_service(
            self.namespace, self.name, host=self.name, version="1", hosts=[self.name]
        )

    def read(self) -> RouteDocument:
        return self.traffic.read(self.namespace, self.name)

    def patch(self, operations: JsonPatch, resource_version: str | None = None) -> RouteDocument:
        version = resource_version or self.read().resource_version
        return self.traffic.patch(self.namespace, self.name, operations, resource_version=version)

    def follows(self, document: RouteDocument) -> bool:
        """Whether the data plane routes by the document within the deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline:
            version = document.resource_version
            applied = self.traffic.applied(self.namespace, self.name, resource_version=version)
            if applied or (applied is None and isinstance(self.traffic, IstioTraffic)):
                return True  # Istio does not say; see test_observed_share.py for what does
            self.pass_time()
        return False


@pytest.fixture(scope="module")
def platform_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    start_platform(home)
    yield home
    stop_platform(home)


@pytest.fixture(scope="module")
def api() -> Iterator[KubernetesApi]:
    with open_stand_in() as found:
        yield found


@pytest.fixture(scope="module")
def reads(api: KubernetesApi) -> Iterator[WatchedReads]:
    with watching(api, [VIRTUAL_SERVICE, DESTINATION_RULE]) as found:
        yield found


@pytest.fixture(params=["envoy", "memory", "istio", "istio-watched"])
def world(request: pytest.FixtureRequest) -> World:
    """Every adapter, each with a fresh document."""
    if request.param == "istio":
        return istio_world(request.getfixturevalue("api"), "default")
    if request.param == "istio-watched":
        reads = request.getfixturevalue("reads")
        return istio_world(request.getfixturevalue("api"), "default", reads)
    return published_world(request, request.param)


@pytest.fixture(params=["envoy", "memory"])
def publishing(request: pytest.FixtureRequest) -> World:
    """The adapters that are told which server answers for a version."""
    return published_world(request, request.param)


def published_world(request: pytest.FixtureRequest, adapter: str) -> World:
    traffic: EnvoyTraffic | MemoryTraffic
    if adapter == "memory":
        clock = VirtualClock()
        memory = traffic = MemoryTraffic(clock, follow_s=1.0)
        return World(
            traffic,
            lambda name, operations: void(memory.edit("default", name, operations)),
            lambda: clock.advance(timedelta(seconds=0.2)),
            lambda target, version: memory.publish(target, version, f"127.0.0.1:{version}"),
        )
    home = Home(request.getfixturevalue("platform_home"))
    envoy = EnvoyTraffic(home.routes, home.envoy)
    return World(
        envoy,
        lambda name, operations: edit_file(home.routes / f"default.{name}.json", operations),
        lambda: None,
        lambda target, version: envoy.publish(target, version, f"127.0.0.1:{version}"),
    )


def istio_world(api: KubernetesApi, namespace: str, reads: Reads | None = None) -> World:
    """Documents in an API server, read from it or from copies."""
    return World(
        IstioTraffic(api, reads=reads),
        lambda name, operations: void(api.patch(VIRTUAL_SERVICE, namespace, name, operations)),
        lambda: None,
        lambda target, version: serve(api, target, version),
        namespace,
    )


def serve(api: KubernetesApi, target: str, version: str) -> None:
    """A ready pod for the version, reachable by a subset, as a platform team would have it."""
    namespace, host = target.split("/", 1)
    meta = {"namespace": namespace, "name": host}
    spec = {"selector": {"app": host}, "ports": [{"name": "http", "port": 80}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
    with contextlib.suppress(Exists):
        api.create(SERVICE, service)
    pod = f"{host}-v{version}"
    make_pod(api, namespace, pod, {"labels": {"app": host, "version": f"v{version}"}})
    api.patch_status(POD, namespace, pod, {"conditions": [ready(True)]})
    IstioSubsets(api).publish(target, version, "")


def void(_: object) -> None:
    """For calls whose answer nobody wants."""


def edit_file(path: Path, operations: JsonPatch) -> None:
    """Replace top-level values of the first http route, as an editor would."""
    body = json.loads(path.read_text())
    for operation in operations:
        field = operation["path"].removeprefix("/spec/http/0/")
        body["spec"]["http"][0][field] = operation["value"]
    path.write_text(json.dumps(body))


def to_version(version: str) -> JsonPatch:
    path = "/spec/http/0/route/0/destination/subset"
    return [{"op": "replace", "path": path, "value": f"v{version}"}]


def timeout(value: str) -> JsonPatch:
    return [{"op": "replace", "path": "/spec/http/0/timeout", "value": value}]


def test_a_document_is_read_as_it_was_written(world: World) -> None:
    """Nothing is lost or added but the revision."""
    body = world.read().body
    revision = body["metadata"].pop("resourceVersion")
    for stamp in ("uid", "generation", "creationTimestamp", "managedFields"):
        body["metadata"].pop(stamp, None)  # what an API server adds

    assert body == world.document()
    assert revision == world.read().resource_version


def test_creating_twice_changes_nothing(world: World) -> None:
    """The document that is there wins."""
    patched = world.patch(timeout("9s"))

    assert world.traffic.create(world.document()) == patched == world.read()


def test_an_unknown_document_is_invalid(world: World) -> None:
    """Reading and patching what does not exist says so."""
    with pytest.raises(Invalid, match=f"{world.namespace}/nobody"):
        world.traffic.read(world.namespace, "nobody")
    with pytest.raises(Invalid, match=f"{world.namespace}/nobody"):
        world.traffic.patch(world.namespace, "nobody", timeout("9s"), resource_version="1")


def test_a_patch_is_stored_and_followed(world: World) -> None:
    """The stored document is returned, under a new revision, and the data plane follows it."""
    before = world.read()
    after = world.patch(to_version("2"))

    assert after == world.read()
    assert after.resource_version != before.resource_version
    assert after.body["spec"]["http"][0]["route"][0]["destination"]["subset"] == "v2"
    assert world.follows(after)


def test_a_write_that_changes_no_route_is_followed_too(world: World) -> None:
    """Stamps alone make a new revision, which must not be waited for in vain."""
    after = world.patch([{"op": "add", "path": "/metadata/annotations", "value": {"by": "me"}}])

    assert world.follows(after)


def test_the_data_plane_does_not_claim_what_it_was_never_told(world: World) -> None:
    """A revision that nobody has written yet is not applied."""
    revision = int(world.patch(timeout("9s")).resource_version) + 1

    applied = world.traffic.applied(world.namespace, world.name, resource_version=str(revision))
    assert applied is not True


def test_a_lost_update_is_refused(world: World) -> None:
    """Who read before somebody else wrote gets Conflict, and the other write stands."""
    read = world.read()
    other = world.patch(timeout("9s"))

    with pytest.raises(Conflict):
        world.patch(timeout("1s"), read.resource_version)
    assert world.read() == other


def test_a_hand_edit_counts_as_a_write(world: World) -> None:
    """Whoever writes, the revision changes: a decision made before it is refused."""
    read = world.read()
    world.edit_by_hand(world.name, timeout("7s"))

    with pytest.raises(Conflict):
        world.patch(to_version("2"), read.resource_version)
    after = world.read()
    assert after.resource_version != read.resource_version
    assert after.body["spec"]["http"][0]["timeout"] == "7s"
    assert world.follows(after)


def test_of_many_writers_one_wins(world: World) -> None:
    """The same revision lets exactly one write through, at the same time or not."""
    version = world.read().resource_version
    outcomes: list[str] = []

    def write(value: str) -> None:
        try:
            world.patch(timeout(value), version)
            outcomes.append(value)
        except Conflict:
            outcomes.append("")

    writers = [threading.Thread(target=write, args=(f"{n}s",)) for n in range(1, 7)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    [winner] = [outcome for outcome in outcomes if outcome]
    assert len(outcomes) == 6
    assert world.read().body["spec"]["http"][0]["timeout"] == winner


@pytest.mark.parametrize(
    ("failing", "error"),
    [
        ({"op": "test", "path": "/spec/http/0/timeout", "value": "1h"}, Conflict),
        ({"op": "remove", "path": "/spec/http/0/nothing"}, Invalid),
        ({"op": "replace", "path": "/spec/http/9/timeout", "value": "1s"}, Invalid),
        ({"op": "replace", "path": "/metadata/name", "value": "other"}, Invalid),
        ({"op": "replace", "path": "/spec/http", "value": "gone"}, Invalid),
        ({"op": "shuffle", "path": "/spec"}, Invalid),
    ],
)
def test_a_patch_is_all_or_nothing(
    world: World, failing: dict[str, Any], error: type[MendloopError]
) -> None:
    """One operation that fails leaves no trace of the others."""
    before = world.read()

    with pytest.raises(error):
        world.patch([*timeout("9s"), failing])
    assert world.read() == before


def test_no_route_leads_to_a_version_without_a_server(world: World) -> None:
    """Neither requests nor copies of them; nothing changes."""
    before = world.read()
    copies = {"host": world.name, "subset": "v3"}

    with pytest.raises(Refused, match="v3"):
        world.patch(to_version("3"))
    with pytest.raises(Refused, match="v3"):
        world.patch([{"op": "add", "path": "/spec/http/0/mirror", "value": copies}])
    assert world.read() == before


def test_a_version_in_use_keeps_its_server(publishing: World) -> None:
    """Withdrawing what requests are sent to is refused; afterwards it goes, and stays gone."""
    world = publishing
    assert not isinstance(world.traffic, IstioTraffic)
    with pytest.raises(Refused, match="v1"):
        world.traffic.withdraw(world.target, "1")
    world.patch(to_version("2"))
    world.traffic.withdraw(world.target, "1")
    world.traffic.withdraw(world.target, "1")

    assert world.traffic.endpoints(world.target) == {"2": "127.0.0.1:2"}
    with pytest.raises(Refused):
        world.patch(to_version("1"))


def test_a_broken_route_beside_does_not_hold_up_the_way_back(world: World) -> None:
    """Somebody's route to nowhere is theirs; moving our traffic to a good version still works."""
    nowhere = [{"destination": {"host": world.name, "subset": "v9"}}]
    world.edit_by_hand(
        world.name, [{"op": "replace", "path": "/spec/http/0/route", "value": nowhere}]
    )
    after = world.patch(to_version("2"))

    assert after.body["spec"]["http"][0]["route"][0]["destination"]["subset"] == "v2"
    assert world.follows(after)
