"""A real Envoy moves real traffic between real processes, and nothing is lost or left behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from infra.embedded.home import Home
from infra.embedded.platform import Platform, platform_status, start_platform, stop_platform
from tools.envoy import EnvoyTraffic
from tools.envoy_admin import EnvoyAdmin
from tools.errors import Invalid, Refused
from tools.local_processes import LocalWorkloads
from tools.metrics import Reading
from tools.process_records import (
    RECORD_NAME,
    ProcessRecord,
    end,
    find_by_argument,
    is_alive,
    read_record,
    record_of,
    write_record,
)
from tools.routing import Router, TrafficSplit
from tools.scrape import EnvoyMetrics
from tools.virtual_service import virtual_service
from tools.workloads import ServerPhase, ServerRequest

STAND_IN = Path(__file__).parents[1] / "stand_in" / "server.py"
TARGET = "default/flights"
ROUTE = ("default", "flights", "flights")
DEADLINE_S = 20.0
SIGMAS = 5.0
"""A share this far from its weight happens once in 1.7 million runs by chance."""


def wait_until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_true():
        assert time.monotonic() < deadline
        threading.Event().wait(0.01)


class Stage:
    """A platform with two versions of one model behind one route."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        self.platform = start_platform(home)
        self.traffic = EnvoyTraffic(self.home.routes, self.home.envoy)
        self.router = Router(self.traffic)
        self.workloads = LocalWorkloads(
            self.home.servers,
            self.home.predictions,
            endpoints=self.traffic,
            command=(sys.executable, str(STAND_IN)),
        )
        self.metrics = EnvoyMetrics(
            EnvoyAdmin(self.home.envoy / "ports.json"),
            {TARGET: 250.0},
            monotonic_s=time.monotonic,
        )
        artifact = home / "artifact"
        artifact.mkdir()
        (artifact / "digest").write_text("aa")
        self.artifact = artifact

    def deploy(self, version: str) -> None:
        request = ServerRequest(
            target=TARGET, version=version, artifact=self.artifact, artifact_digest="aa"
        )
        self.workloads.start(request, key=f"deploy-{version}", token=1)
        self.until_ready(version)

    def until_ready(self, version: str) -> None:
        wait_until(lambda: self.workloads.read(TARGET, version).phase is ServerPhase.READY)

    def open_route(self) -> None:
        self.traffic.create(
            virtual_service("default", "flights", host="flights", version="1", hosts=["*"])
        )

    def shift(self, **shares: int) -> None:
        """Make the split true of the data plane; ``v1=80, v2=20``."""
        split = TrafficSplit(shares={name.removeprefix("v"): s for name, s in shares.items()})
        written = self.router.shift(*ROUTE, split, key=f"shift-{split}", token=1)
        version = written.resource_version
        wait_until(
            lambda: self.router.applied("default", "flights", resource_version=version) is True
        )

    def process(self, version: str) -> ProcessRecord:
        record = read_record(self.home.servers / TARGET / version / RECORD_NAME)
        assert record is not None
        return record

    def counted(self, version: str) -> tuple[int, int]:
        """Requests and errors of a version, as Envoy counted them."""
        reading = self.metrics.read(TARGET)
        assert isinstance(reading, Reading), reading
        [found] = [v for v in reading.versions if v.version == version]
        return found.requests, found.errors


class Clients:
    """Concurrent clients that never pause; counts of what they got, by version or failure."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.seen: Counter[str] = Counter()
        self.stopping = False

    async def run(self, client: httpx.AsyncClient) -> None:
        while not self.stopping:
            try:
                answer = await client.get(f"{self.url}/predict")
                self.seen[answer.json()["version"] if answer.is_success else "failed"] += 1
            except httpx.HTTPError as error:
                self.seen[f"failed: {error!r}"] += 1

    async def more(self, count: int) -> Counter[str]:
        """What the next ``count`` answers were."""
        before = self.seen.copy()
        deadline = time.monotonic() + DEADLINE_S
        while self.seen.total() - before.total() < count:
            assert time.monotonic() < deadline, self.seen
            await asyncio.sleep(0.005)
        return self.seen - before


@asynccontextmanager
async def clients(url: str, count: int = 8) -> AsyncIterator[Clients]:
    """Clients that keep their connections open and run until the block ends."""
    crowd = Clients(url)
    async with httpx.AsyncClient(trust_env=False, timeout=10.0) as client:
        tasks = [asyncio.create_task(crowd.run(client)) for _ in range(count)]
        try:
            yield crowd
        finally:
            crowd.stopping = True
            await asyncio.gather(*tasks)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path / "home")
    yield stage
    stop_platform(tmp_path / "home")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "home"
    stop_platform(tmp_path / "home")


def share_is(seen: Counter[str], version: str, percent: int) -> bool:
    """Whether the observed share agrees with the weight, within binomial bounds."""
    n, p = seen.total(), percent / 100
    return abs(seen[version] - n * p) <= SIGMAS * (n * p * (1 - p)) ** 0.5


def test_traffic_moves_without_a_failed_request(stage: Stage) -> None:
    """Deploy, canary, promote, retire under load: shares as asked for, every answer good."""

    async def scene() -> tuple[Counter[str], Counter[str], Counter[str], Counter[str]]:
        async with clients(stage.platform.predict_url) as crowd:
            before = await crowd.more(300)
            await asyncio.to_thread(stage.deploy, "2")
            await asyncio.to_thread(stage.shift, v1=80, v2=20)
            await crowd.more(20)  # Sent before the split was in force, answered after.
            canary = await crowd.more(1000)
            await asyncio.to_thread(stage.shift, v2=100)
            await crowd.more(20)
            promoted = await crowd.more(300)
            await asyncio.to_thread(stage.workloads.stop, TARGET, "1", key="stop", token=1)
            await crowd.more(300)
        return before, canary, promoted, crowd.seen

    stage.deploy("1")
    stage.open_route()
    wait_until(lambda: httpx.get(f"{stage.platform.predict_url}/predict").is_success)
    before, canary, promoted, seen = asyncio.run(scene())

    assert set(seen) == {"1", "2"}
    assert set(before) == {"1"}
    assert share_is(canary, "2", 20), canary
    assert set(promoted) == {"2"}
    assert stage.workloads.read(TARGET, "1").phase is ServerPhase.ABSENT
    # Beside these there was the request that waited for the route to open.
    wait_until(lambda: stage.counted("2")[0] == seen["2"])


def test_a_killed_server_fails_its_own_requests_only(stage: Stage) -> None:
    """Errors stand under the dead version; reading it restarts it where it was, and they end."""

    async def scene() -> tuple[Counter[str], Counter[str]]:
        async with clients(stage.platform.predict_url) as crowd:
            await crowd.more(50)
            os.kill(stage.process("2").pid, signal.SIGKILL)
            broken = await crowd.more(400)
            await asyncio.to_thread(stage.until_ready, "2")
            await crowd.more(20)
            healed = await crowd.more(400)
        return broken, healed

    stage.deploy("1")
    stage.deploy("2")
    stage.open_route()
    stage.shift(v1=50, v2=50)
    broken, healed = asyncio.run(scene())

    assert broken["failed"] > 0
    assert set(broken) <= {"1", "2", "failed"}
    assert share_is(broken, "1", 50), broken
    assert set(healed) == {"1", "2"}
    wait_until(lambda: stage.counted("2")[1] >= broken["failed"])
    assert stage.counted("1")[1] == 0


def test_requests_in_flight_outlive_the_version_they_went_to(stage: Stage) -> None:
    """Retiring a version waits for the answers it still owes."""
    stage.deploy("1")
    stage.deploy("2")
    stage.open_route()
    stage.shift(v1=100)
    answers: list[str] = []

    def ask() -> None:
        headers = {"x-wait-ms": "700"}
        answer = httpx.get(f"{stage.platform.predict_url}/predict", headers=headers)
        answers.append(answer.json()["version"] if answer.is_success else answer.text)

    client = threading.Thread(target=ask)
    client.start()
    active = "cluster.*flights/v1\\.upstream_rq_active$"
    admin = EnvoyAdmin(stage.home.envoy / "ports.json")
    wait_until(lambda: admin.metrics(active).rstrip().endswith(" 1"))
    stage.shift(v2=100)
    stage.workloads.stop(TARGET, "1", key="stop", token=1)
    client.join()

    assert answers == ["1"]


def test_the_only_version_in_use_is_not_stopped(stage: Stage) -> None:
    """Its server goes on, whatever it is told."""
    stage.deploy("1")
    stage.deploy("2")
    stage.open_route()

    with pytest.raises(Refused, match="move its share away first"):
        stage.workloads.stop(TARGET, "1", key="stop", token=1)
    assert stage.workloads.read(TARGET, "1").phase is ServerPhase.READY


def test_a_header_reaches_a_version_without_a_share(stage: Stage) -> None:
    """An override in the document works, and survives shifts."""
    stage.deploy("1")
    stage.deploy("2")
    body = virtual_service("default", "flights", host="flights", version="1", hosts=["*"])
    override = {
        "match": [{"headers": {"x-version": {"exact": "2"}}}],
        "route": [{"destination": {"host": "flights", "subset": "v2"}}],
    }
    body["spec"]["http"].insert(0, override)
    stage.traffic.create(body)
    stage.shift(v1=100)
    url = f"{stage.platform.predict_url}/predict"

    assert httpx.get(url).json()["version"] == "1"
    assert httpx.get(url, headers={"x-version": "2"}).json()["version"] == "2"


def test_what_a_crash_left_unrendered_is_made_good(stage: Stage) -> None:
    """The document was written and Envoy never told: the next look tells it."""
    stage.deploy("1")
    stage.deploy("2")
    stage.open_route()
    path = stage.home.routes / "default.flights.json"
    path.write_text(path.read_text().replace('"v1"', '"v2"'))
    version = stage.traffic.read("default", "flights").resource_version
    url = f"{stage.platform.predict_url}/predict"

    wait_until(lambda: stage.router.applied("default", "flights", resource_version=version) is True)
    assert httpx.get(url).json()["version"] == "2"


def test_an_edit_that_leads_nowhere_is_not_followed_and_not_claimed(stage: Stage) -> None:
    """Requests go on as before, and the data plane does not say otherwise."""
    stage.deploy("1")
    stage.open_route()
    path = stage.home.routes / "default.flights.json"
    path.write_text(path.read_text().replace('"v1"', '"v9"'))
    edited = stage.traffic.read("default", "flights").resource_version
    stage.traffic.create(
        virtual_service("default", "other", host="flights", version="1", hosts=["other"])
    )
    other = stage.traffic.read("default", "other").resource_version

    wait_until(lambda: stage.router.applied("default", "other", resource_version=other) is True)
    assert stage.router.applied("default", "flights", resource_version=edited) is False
    assert httpx.get(f"{stage.platform.predict_url}/predict").json()["version"] == "1"


def test_a_platform_that_runs_is_used(home: Path) -> None:
    """Starting again finds it; another port would be another platform."""
    first = start_platform(home)
    assert start_platform(home) == first == platform_status(home)
    port = int(first.predict_url.rpartition(":")[2])
    assert start_platform(home, port=port) == first

    with pytest.raises(Invalid, match="runs already at"):
        start_platform(home, port=port + 1)


def test_a_killed_envoy_is_started_anew_with_the_same_routes(stage: Stage) -> None:
    """The documents are the truth; the addresses are new."""
    stage.deploy("1")
    stage.open_route()
    os.kill(stage.platform.pid, signal.SIGKILL)
    wait_until(lambda: platform_status(stage.home.root) is None)
    platform = start_platform(stage.home.root)

    assert platform.pid != stage.platform.pid
    assert httpx.get(f"{platform.predict_url}/predict").json()["version"] == "1"


def test_an_envoy_that_nobody_recorded_is_not_left_beside_the_new_one(home: Path) -> None:
    """As after a death between its start and its record."""
    first = start_platform(home)
    (home / "envoy" / RECORD_NAME).unlink()
    second = start_platform(home)

    assert second.pid != first.pid
    assert [p.pid for p in find_by_argument(str(home / "envoy" / "bootstrap.json"))] == [second.pid]


def test_a_stop_ends_everything_and_nothing_else(stage: Stage) -> None:
    """Envoy, servers and recorded runs end; whoever else uses the home is named."""
    stage.deploy("1")
    stage.deploy("2")
    home = stage.home.root
    idle = [sys.executable, "-c", "import signal; signal.pause()", str(home / "x")]
    run, other = subprocess.Popen(idle), subprocess.Popen(idle)
    for process, path in ((run, stage.home.runs / "some-key"), (other, home / "elsewhere")):
        record = record_of(process.pid)
        assert record is not None
        write_record(path / RECORD_NAME, record)
    started = [stage.process("1"), stage.process("2"), record_of(stage.platform.pid)]
    report = stop_platform(home)
    run.wait()

    assert not any(is_alive(process) for process in started if process)
    assert len(report.stopped) == 4
    assert [line.partition(":")[0] for line in report.leftovers] == [str(other.pid)]
    other.terminate()
    other.wait()
    assert platform_status(home) is None
    assert stop_platform(home).stopped == ()


def test_a_record_of_another_process_kills_nobody(home: Path) -> None:
    """A reused pid in an old record is not ours."""
    start_platform(home)
    stop_platform(home)
    stranger = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    write_record(home / "envoy" / RECORD_NAME, ProcessRecord(pid=stranger.pid, start="before:1"))
    report = stop_platform(home)

    assert report.stopped == ()
    assert stranger.poll() is None
    stranger.terminate()
    stranger.wait()


def test_servers_come_back_after_a_stop_when_they_are_read(stage: Stage) -> None:
    """A stop is no crash: the servers that should exist are started anew."""
    stage.deploy("1")
    stage.open_route()
    home = stage.home.root
    stop_platform(home)
    platform = start_platform(home)
    stage.until_ready("1")

    assert stage.workloads.read(TARGET, "1").restarts == 0
    assert httpx.get(f"{platform.predict_url}/predict").is_success


def test_a_port_in_use_is_said(home: Path) -> None:
    """With its number and the way out; nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Invalid, match=rf"port {port} .*choose another"):
            start_platform(home, port=port)

    assert find_by_argument(str(home / "envoy" / "bootstrap.json")) == []


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_said(home: Path, port: int) -> None:
    """Out of range is a mistake of the caller, too."""
    with pytest.raises(Invalid, match="port"):
        start_platform(home, port=port)


def test_a_home_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    """The path and the reason stand in the message."""
    (tmp_path / "file").touch()

    with pytest.raises(Invalid, match=r"cannot make the home directory .*file/home"):
        start_platform(tmp_path / "file" / "home")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_is_not_writable_is_said(tmp_path: Path) -> None:
    """Before anything is started."""
    home = tmp_path / "home"
    home.mkdir(mode=0o500)

    with pytest.raises(Invalid, match="not writable"):
        start_platform(home)


def test_a_chosen_port_is_listened_on(home: Path) -> None:
    """The address that clients know stays the same from run to run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    platform: Platform = start_platform(home, port=port)

    assert platform.predict_url == f"http://127.0.0.1:{port}"
    assert json.loads((home / "envoy" / "ports.json").read_text())["predict"] == port
    assert httpx.get(platform.predict_url).status_code == 404
    end(ProcessRecord.model_validate_json((home / "envoy" / RECORD_NAME).read_text()), grace_s=5.0)
    assert platform_status(home) is None
