"""What every adapter of the workloads port promises."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from simulations.clock import VirtualClock
from simulations.workloads import MemoryWorkloads
from tests.stand_in.api_servers import open_stand_in, watching
from tests.stand_in.kubelet import Kubelet
from tools.errors import Invalid, Refused
from tools.kubernetes_api import DEPLOYMENT, POD, KubernetesApi
from tools.kubernetes_cache import Reads
from tools.kubernetes_manifests import ServerTemplate, server_name
from tools.kubernetes_workloads import KubernetesWorkloads
from tools.local_processes import LocalWorkloads
from tools.process_records import RECORD_NAME, end, read_record
from tools.workloads import ServerPhase, ServerRequest, ServerState, ServingConfig, Workloads

STAND_IN = Path(__file__).parents[1] / "stand_in" / "server.py"
TARGET = "default/flights"
DEADLINE_S = 20.0


class Endpoints:
    """Remembers what may get requests; versions in ``routed`` may not be withdrawn."""

    def __init__(self) -> None:
        self.published: dict[str, str] = {}
        self.routed: set[str] = set()

    def publish(self, target: str, version: str, address: str) -> None:
        self.published[version] = address

    def withdraw(self, target: str, version: str) -> None:
        if version in self.routed:
            raise Refused(f"v{version} has a share")
        self.published.pop(version, None)


class World:
    """Servers of one target, their artifacts, the clock, and what may happen to them."""

    def __init__(
        self,
        workloads: Workloads,
        endpoints: Endpoints,
        request: Callable[[str, str], ServerRequest],
        crash: Callable[[str], None],
        pass_time: Callable[[float], None],
        target: str = TARGET,
    ) -> None:
        self.workloads, self.endpoints, self.target = workloads, endpoints, target
        self.request, self.crash, self.pass_time = request, crash, pass_time

    def start(self, version: str = "1", digest: str = "aa", key: str = "k") -> ServerState:
        return self.workloads.start(self.request(version, digest), key=key, token=1)

    def another(self) -> ServerState:
        """A second version that is ready: the first is not the only one."""
        self.start("2", "cc", "k-other")
        return self.until(ServerPhase.READY, "2")

    def read(self, version: str = "1") -> ServerState:
        return self.workloads.read(self.target, version)

    def until(self, phase: ServerPhase, version: str = "1") -> ServerState:
        """The state once it has this phase; fails with the last state at the deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            state = self.read(version)
            if state.phase is phase:
                return state
            assert time.monotonic() < deadline, state
            self.pass_time(0.1)


class OffsetClock:
    """The machine's monotonic clock, which a test may put forward."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.offset_s

    def advance(self, seconds: float) -> None:
        self.offset_s += seconds


def artifact(folder: Path, digest: str) -> Path:
    path = folder / f"artifact-{digest}"
    path.mkdir(exist_ok=True)
    (path / "digest").write_text(digest)
    return path


def request_for(path: Path, version: str, digest: str, target: str = TARGET) -> ServerRequest:
    return ServerRequest(target=target, version=version, artifact=path, artifact_digest=digest)


@pytest.fixture
def memory_world() -> World:
    clock, endpoints = VirtualClock(), Endpoints()
    workloads = MemoryWorkloads(clock, endpoints=endpoints)
    return World(
        workloads,
        endpoints,
        lambda version, digest: request_for(Path("artifact"), version, digest),
        lambda version: workloads.crash(TARGET, version),
        lambda seconds: clock.advance(timedelta(seconds=seconds)),
    )


@pytest.fixture
def process_world(tmp_path: Path) -> Iterator[World]:
    clock, endpoints = OffsetClock(), Endpoints()
    servers = tmp_path / "servers"
    workloads = LocalWorkloads(
        servers,
        tmp_path / "predictions",
        endpoints=endpoints,
        command=(sys.executable, str(STAND_IN)),
        grace_s=5.0,
        ready_within_s=3600.0,
        monotonic_s=clock,
    )

    def pass_time(seconds: float) -> None:
        """Time flies for what mendloop waits for, while processes take the time they take."""
        clock.advance(seconds)
        threading.Event().wait(0.01)

    def crash(version: str) -> None:
        record = read_record(servers / TARGET / version / RECORD_NAME)
        assert record is not None
        os.kill(record.pid, signal.SIGKILL)

    yield World(
        workloads,
        endpoints,
        lambda version, digest: request_for(artifact(tmp_path, digest), version, digest),
        crash,
        pass_time,
    )
    for path in servers.rglob(RECORD_NAME):
        record = read_record(path)
        if record is not None:
            end(record, grace_s=0.0)


@pytest.fixture
def cluster_world() -> Iterator[World]:
    with open_stand_in() as api:
        yield world_in(api, "default")


@pytest.fixture
def watched_cluster_world() -> Iterator[World]:
    with open_stand_in() as api, watching(api, [DEPLOYMENT, POD]) as reads:
        yield world_in(api, "default", reads)


def world_in(api: KubernetesApi, namespace: str, reads: Reads | None = None) -> World:
    """Deployments over HTTP; a stand-in plays the kubelet, whose time the test passes."""
    target = f"{namespace}/flights"
    kubelet, endpoints = Kubelet(api, namespace), Endpoints()
    template = ServerTemplate(model="flights", image="registry.example/serving@sha256:0")
    workloads = KubernetesWorkloads(
        api, {target: template}, endpoints=endpoints, health=kubelet.health, reads=reads
    )
    return World(
        workloads,
        endpoints,
        lambda version, digest: request_for(Path("artifact"), version, digest, target),
        lambda version: kubelet.crash(server_name(target, version)),
        kubelet.pass_time,
        target,
    )


@pytest.fixture(params=["process", "memory", "cluster", "watched_cluster"])
def world(request: pytest.FixtureRequest) -> World:
    """Every adapter."""
    found: World = request.getfixturevalue(f"{request.param}_world")
    return found


def test_what_was_never_made_is_absent(world: World) -> None:
    """Reading asks for nothing to exist."""
    assert world.read().phase is ServerPhase.ABSENT
    assert world.workloads.servers(world.target) == ()


def test_a_started_server_becomes_ready(world: World) -> None:
    """It returns before the server is ready; then everything is read from the server."""
    assert world.start(key="k1").phase is ServerPhase.STARTING
    state = world.until(ServerPhase.READY)

    assert (state.version, state.artifact_digest, state.key) == ("1", "aa", "k1")
    assert state.address
    assert state.restarts == 0


def test_requests_are_sent_only_to_what_was_ready(world: World) -> None:
    """The endpoint is published by the read that finds the server ready, not before."""
    world.start()
    assert world.endpoints.published == {}

    assert world.until(ServerPhase.READY).address == world.endpoints.published["1"]


def test_starting_twice_makes_one_server(world: World) -> None:
    """The same version and artifact is left as it is, under the key that made it."""
    world.start(key="k1")
    first = world.until(ServerPhase.READY)
    again = world.start(key="k2")

    assert again == first
    assert world.workloads.servers(world.target) == (first,)


def test_a_version_serves_one_artifact(world: World) -> None:
    """Another artifact under the same version is a mistake, and changes nothing."""
    world.start(digest="aa")
    first = world.until(ServerPhase.READY)

    with pytest.raises(Invalid, match="artifact"):
        world.start(digest="bb")
    assert world.read() == first


def test_a_superseded_owner_may_not_write(world: World) -> None:
    """Every write with a lower token is refused, for every version of the target."""
    world.workloads.start(world.request("1", "aa"), key="k", token=5)
    before = world.until(ServerPhase.READY)
    workloads = world.workloads

    with pytest.raises(Refused, match="token"):
        workloads.start(world.request("2", "bb"), key="k", token=4)
    with pytest.raises(Refused, match="token"):
        workloads.configure(world.target, "1", ServingConfig(masked=("x",)), key="k", token=4)
    with pytest.raises(Refused, match="token"):
        workloads.restart(world.target, "1", key="k", token=4)
    with pytest.raises(Refused, match="token"):
        workloads.stop(world.target, "1", key="k", token=4)
    assert workloads.servers(world.target) == (before,)


def test_a_crashed_server_is_restarted_where_it_was(world: World) -> None:
    """One crash costs one restart and no change of route."""
    world.start()
    before = world.until(ServerPhase.READY)
    world.crash("1")
    world.until(ServerPhase.STARTING)
    after = world.until(ServerPhase.READY)

    assert after.restarts == 1
    assert after.address == before.address == world.endpoints.published["1"]


def test_a_server_that_keeps_crashing_is_given_up(world: World) -> None:
    """After three restarts in a row it has FAILED, says why, and stays so."""
    world.start()
    for _ in range(4):
        world.until(ServerPhase.READY)
        world.crash("1")
        world.until(ServerPhase.FAILED if _ == 3 else ServerPhase.STARTING)
    world.pass_time(3600.0)
    state = world.read()

    assert state.phase is ServerPhase.FAILED
    assert "crashed 4 times in a row" in state.reason
    assert state.restarts == 3


def test_a_restart_leaves_failed_once_per_key(world: World) -> None:
    """The key that restarted it does not do so again, not even after another failure."""
    world.start()
    for _ in range(2):
        for count in range(4):
            world.until(ServerPhase.READY)
            world.crash("1")
            world.until(ServerPhase.FAILED if count == 3 else ServerPhase.STARTING)
        state = world.workloads.restart(world.target, "1", key="again", token=1)

    assert state.phase is ServerPhase.FAILED
    world.workloads.restart(world.target, "1", key="another", token=1)
    world.until(ServerPhase.READY)


def test_a_configuration_is_followed_and_read_back(world: World) -> None:
    """Without a restart, and it outlasts one."""
    world.start()
    world.until(ServerPhase.READY)
    config = ServingConfig(masked=("temp", "wind"))
    world.workloads.configure(world.target, "1", config, key="c", token=1)
    assert world.until(ServerPhase.READY).config == config

    world.crash("1")
    world.until(ServerPhase.STARTING)
    assert world.until(ServerPhase.READY).config == config


def test_only_existing_servers_are_configured_or_restarted(world: World) -> None:
    """The message says what to do."""
    with pytest.raises(Invalid, match="start it first"):
        world.workloads.configure(world.target, "1", ServingConfig(), key="c", token=1)
    with pytest.raises(Invalid, match="start it first"):
        world.workloads.restart(world.target, "1", key="r", token=1)


def test_a_stopped_server_is_absent(world: World) -> None:
    """Stopping withdraws its endpoint and may be said twice; the version may be started anew."""
    world.start()
    world.until(ServerPhase.READY)
    other = world.another()
    for _ in range(2):
        assert world.workloads.stop(world.target, "1", key="s", token=1).phase is ServerPhase.ABSENT

    assert world.read().phase is ServerPhase.ABSENT
    assert world.workloads.servers(world.target) == (other,)
    assert set(world.endpoints.published) == {"2"}
    world.start(digest="bb", key="k2")
    assert world.until(ServerPhase.READY).artifact_digest == "bb"


def test_a_server_with_a_share_is_not_stopped(world: World) -> None:
    """It goes on serving, and is restarted if it crashes, as if nothing had been asked."""
    world.start()
    world.until(ServerPhase.READY)
    world.another()
    world.endpoints.routed.add("1")

    with pytest.raises(Refused, match="has a share"):
        world.workloads.stop(world.target, "1", key="s", token=1)
    assert world.read().phase is ServerPhase.READY
    world.crash("1")
    world.until(ServerPhase.STARTING)
    world.until(ServerPhase.READY)


def test_the_only_version_that_could_answer_is_not_stopped(world: World) -> None:
    """With traffic or without: one that starts, or failed, is nothing to go back to."""
    world.start()
    world.until(ServerPhase.READY)
    world.start("2", "cc")
    for count in range(4):
        world.until(ServerPhase.READY, "2")
        world.crash("2")
        world.until(ServerPhase.FAILED if count == 3 else ServerPhase.STARTING, "2")

    with pytest.raises(Refused, match="the only version whose server is ready"):
        world.workloads.stop(world.target, "1", key="s", token=1)
    assert world.read().phase is ServerPhase.READY
    assert "1" in world.endpoints.published
    assert world.workloads.stop(world.target, "2", key="s", token=1).phase is ServerPhase.ABSENT


def test_servers_are_listed_in_the_order_of_their_versions(world: World) -> None:
    """Numbers count as numbers."""
    for version in ("10", "9"):
        world.start(version)

    assert [server.version for server in world.workloads.servers(world.target)] == ["9", "10"]


def test_a_server_that_never_loads_is_not_ready(memory_world: World) -> None:
    """The simulated world has broken artifacts, too."""
    workloads = memory_world.workloads
    assert isinstance(workloads, MemoryWorkloads)
    workloads.broken.add("bb")
    memory_world.start(digest="bb")
    memory_world.pass_time(3600.0)

    assert memory_world.read().phase is ServerPhase.STARTING
    assert not workloads.answers(TARGET, "1")
