"""What every adapter of the metrics port promises."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest

from infra.embedded.home import Home
from infra.embedded.platform import start_platform, stop_platform
from simulations.clock import VirtualClock
from simulations.metrics import MemoryMetrics
from tests.stand_in.scraped_proxies import Scraped, scraped_proxies
from tools.envoy import EnvoyTraffic
from tools.envoy_admin import EnvoyAdmin
from tools.errors import Unavailable
from tools.metrics import Metrics, NoReading, Reading, VersionCounters
from tools.prometheus import PrometheusMetrics, Watched
from tools.routing import Mirror, Router, TrafficSplit
from tools.scrape import EnvoyMetrics
from tools.virtual_service import virtual_service

STAND_IN = Path(__file__).parents[1] / "stand_in" / "server.py"
OBJECTIVE_MS = 120.0
DEADLINE_S = 15.0
NAMES = (f"model-{i}" for i in itertools.count())


class World:
    """A target with versions 1 and 2, whose requests a test decides on."""

    def __init__(self, metrics: Metrics, target: str, answer: Callable[..., None]) -> None:
        self.metrics, self.target, self.answer = metrics, target, answer
        self.restart: Callable[[], None] = lambda: None
        self.go_dark: Callable[[], None] = lambda: None

    def reading(self) -> Reading:
        reading = self.metrics.read(self.target)
        assert isinstance(reading, Reading), reading
        return reading

    def until(self, *wanted: VersionCounters, mirrored: bool = False) -> Reading:
        """The reading once it holds these counters; fails with the last one at the deadline."""
        deadline = time.monotonic() + DEADLINE_S
        while True:
            reading = self.reading()
            if set(wanted) <= set(reading.mirrored if mirrored else reading.versions):
                return reading
            assert time.monotonic() < deadline, reading
            threading.Event().wait(0.05)


def counters(
    version: str, requests: int, errors: int = 0, slow: int = 0, missing: int = 0
) -> VersionCounters:
    return VersionCounters(
        version=version, requests=requests, errors=errors, slow=slow, missing=missing
    )


class RealTraffic:
    """Requests of one target through Envoy to stand-in servers."""

    def __init__(self, home: Home, url: str, name: str, addresses: dict[str, str]) -> None:
        self.url, self.name, self.key = url, name, itertools.count()
        self.traffic = EnvoyTraffic(home.routes, home.envoy)
        for version, address in addresses.items():
            self.traffic.publish(f"default/{name}", version, address)
        self.traffic.create(
            virtual_service("default", name, host=name, version="1", hosts=[name], timeout="2s")
        )

    def answer(
        self,
        version: str,
        requests: int = 0,
        *,
        errors: int = 0,
        slow: int = 0,
        slow_errors: int = 0,
        cut: int = 0,
        missing: int = 0,
        mirrored: bool = False,
    ) -> None:
        """Ordinary requests first, then the failed, the slow and the refused ones."""
        split = TrafficSplit.all_to(version)
        if mirrored:
            split = TrafficSplit(shares={"1": 100}, mirror=Mirror(version=version))
        self.route(split)
        slowly, badly = {"x-wait-ms": "160"}, {"x-status": "500"}
        wanted: list[dict[str, str]] = [{}] * requests + [badly] * errors + [slowly] * slow
        wanted += [{**slowly, **badly}] * slow_errors + [{"x-cut": "1"}] * cut
        wanted += [{"x-status": "422"}] * missing
        with httpx.Client(trust_env=False, base_url=self.url, timeout=10.0) as client:
            for headers in wanted:
                client.get("/predict", headers={"host": self.name, **headers})

    def route(self, split: TrafficSplit) -> None:
        place = ("default", self.name)
        router = Router(self.traffic)
        written = router.shift(*place, self.name, split, key=f"k{next(self.key)}", token=1)
        deadline = time.monotonic() + DEADLINE_S
        while not router.applied(*place, resource_version=written.resource_version):
            assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of two stand-in servers by version."""
    folder = tmp_path_factory.mktemp("stand-ins")
    (folder / "digest").write_text("aa")
    (folder / "config").write_text("{}")
    processes, addresses = [], {}
    for version in ("1", "2"):
        port = folder / f"port-{version}"
        options = {"artifact": folder, "target": "default/model", "version": version, "port": 0}
        options |= {"port-file": port, "log": folder, "config": folder / "config"}
        command = [sys.executable, str(STAND_IN)]
        command += [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        processes.append(subprocess.Popen(command))
        deadline = time.monotonic() + DEADLINE_S
        while not port.exists():
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)
        addresses[version] = f"127.0.0.1:{port.read_text()}"
    yield addresses
    for process in processes:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def platform_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("home")
    yield home
    stop_platform(home)


@pytest.fixture
def envoy_world(platform_home: Path, servers: dict[str, str]) -> World:
    platform = start_platform(platform_home, objectives_ms=[OBJECTIVE_MS])
    home, name = Home(platform_home), next(NAMES)
    real = RealTraffic(home, platform.predict_url, name, servers)
    admin = EnvoyAdmin(home.envoy / "ports.json")
    objectives = {f"default/{name}": OBJECTIVE_MS, "default/odd": 121.0}
    metrics = EnvoyMetrics(admin, objectives, monotonic_s=time.monotonic)
    world = World(metrics, f"default/{name}", real.answer)

    def restart() -> None:
        stop_platform(platform_home)
        real.url = start_platform(platform_home, objectives_ms=[OBJECTIVE_MS]).predict_url

    world.restart = restart
    world.go_dark = lambda: void(stop_platform(platform_home))
    return world


def void(_: object) -> None:
    """For calls whose answer nobody wants."""


@pytest.fixture
def memory_world() -> World:
    metrics, target = MemoryMetrics(VirtualClock()), "default/model"

    def answer(
        version: str,
        requests: int = 0,
        *,
        errors: int = 0,
        slow: int = 0,
        slow_errors: int = 0,
        cut: int = 0,
        missing: int = 0,
        mirrored: bool = False,
    ) -> None:
        failed = errors + slow_errors + cut
        metrics.count(
            target,
            version,
            requests + slow + failed + missing,
            errors=failed,
            slow=slow,
            missing=missing,
            mirrored=mirrored,
        )

    for version in ("1", "2"):
        metrics.count(target, version, 0)
    world = World(metrics, target, answer)

    def restart() -> None:
        metrics.start_anew()
        for version in ("1", "2"):
            metrics.count(target, version, 0)

    world.restart = restart
    world.go_dark = lambda: setattr(metrics, "dark", "the network is down")
    return world


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    with scraped_proxies(tmp_path_factory.mktemp("prometheus")) as found:
        yield found


@pytest.fixture
def prometheus_world(scraped: Scraped) -> World:
    """A real Prometheus that scrapes what Istio's proxies would expose."""
    service = next(NAMES)
    target = f"default/{service}"

    def reader(url: str) -> PrometheusMetrics:
        label = Watched(namespace="default", service=service, objective_ms=250, has_copies=True)
        return PrometheusMetrics(url, {target: label}, monotonic_s=time.monotonic)

    def begin() -> PrometheusMetrics:
        """The proxies start at 0, and so does whoever reads them once that was scraped."""
        for version in ("1", "2"):
            scraped.begin(service, version)
        deadline = time.monotonic() + DEADLINE_S
        while True:
            fresh = reader(scraped.url)
            found = fresh.read(target)
            if isinstance(found, Reading) and not any(v.requests for v in found.versions):
                return fresh
            assert time.monotonic() < deadline, found
            threading.Event().wait(0.05)

    world = World(begin(), target, partial(scraped.answer, service))
    world.restart = lambda: setattr(world, "metrics", begin())
    world.go_dark = lambda: setattr(world, "metrics", reader(scraped.nobody))
    return world


@pytest.fixture(params=["envoy", "memory", "prometheus"])
def world(request: pytest.FixtureRequest) -> World:
    """Every adapter."""
    found: World = request.getfixturevalue(f"{request.param}_world")
    return found


def test_a_version_without_requests_is_listed(world: World) -> None:
    """Every version with a server is there, with zeros."""
    assert world.reading().versions == (counters("1", 0), counters("2", 0))


def test_every_answer_is_counted_once_under_its_version(world: World) -> None:
    """Requests, errors and slow answers, each where they belong."""
    world.answer("1", 7, errors=2, slow=1)
    world.answer("2", 3, errors=1)

    world.until(counters("1", 10, errors=2, slow=1), counters("2", 4, errors=1))


def test_a_failure_is_an_error_and_never_slow(world: World) -> None:
    """However long it took, and whether the server answered it or hung up."""
    world.answer("1", 2, errors=1, slow_errors=2, cut=1)

    world.until(counters("1", 6, errors=4, slow=0))


def test_an_answer_without_a_prediction_is_counted_as_missing_and_is_no_error(
    world: World,
) -> None:
    """Refused inputs are the quiet way to fail: users get an answer and no prediction."""
    world.answer("1", 3, errors=1, missing=4)
    world.answer("2", 2, missing=1)

    world.until(counters("1", 8, errors=1, missing=4), counters("2", 3, missing=1))


def test_counters_only_grow_within_an_epoch(world: World) -> None:
    """Differences of two readings are what happened between them."""
    readings = []
    for _ in range(3):
        world.answer("1", 5, errors=1)
        readings.append(world.reading())
    readings.append(world.until(counters("1", 18, errors=3)))

    for before, after in itertools.pairwise(readings):
        assert after.epoch == before.epoch
        assert after.at_s >= before.at_s
        assert after.versions[0].requests >= before.versions[0].requests
        assert after.versions[0].errors >= before.versions[0].errors


def test_copies_of_requests_are_counted_apart(world: World) -> None:
    """A shadow's answers are never mixed with those that clients got."""
    world.answer("2", 4, errors=1, mirrored=True)

    reading = world.until(counters("2", 5, errors=1), mirrored=True)
    assert counters("2", 0) in reading.versions


def test_counters_that_start_anew_have_another_epoch(world: World) -> None:
    """So that nobody subtracts across."""
    world.answer("1", 3)
    before = world.until(counters("1", 3))
    world.restart()
    world.answer("1", 1)
    after = world.until(counters("1", 1))

    assert after.epoch != before.epoch


def test_what_cannot_be_read_is_unknown(world: World) -> None:
    """A reader that gets no answer says why, and not zero."""
    world.go_dark()
    reading = world.metrics.read(world.target)

    assert isinstance(reading, NoReading)
    assert reading.reason


def test_an_unavailable_store_is_unknown(memory_world: World) -> None:
    """The port never raises Unavailable."""

    def fault(call: str) -> None:
        raise Unavailable(f"{call} failed")

    reading = MemoryMetrics(VirtualClock(), fault=fault).read("default/model")
    assert reading == NoReading(at_s=0.0, reason="metrics.read:before failed")


def test_an_objective_that_envoy_does_not_count_at_is_unknown(envoy_world: World) -> None:
    """An approximation would not be a count; the reason says what to do."""
    envoy_world.answer("1", 1)
    envoy_world.until(counters("1", 1))
    odd = EnvoyMetrics(
        envoy_world.metrics._admin,  # type: ignore[attr-defined]
        {envoy_world.target: 121.0},
        monotonic_s=time.monotonic,
    )
    reading = odd.read(envoy_world.target)

    assert isinstance(reading, NoReading)
    assert "start the platform with it" in reading.reason


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 500 no\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 ok\r\ncontent-length: 9\r\n\r\n<html>!!>",
        b"HTTP/1.1 200 ok\r\ncontent-length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
    ],
)
def test_an_odd_answer_is_unknown(tmp_path: Path, answer: bytes) -> None:
    """Somebody else at Envoy's port, half an answer, an error: no reading, no exception."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        (tmp_path / "ports.json").write_text(f'{{"admin": {listening.getsockname()[1]}}}')

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        metrics = EnvoyMetrics(
            EnvoyAdmin(tmp_path / "ports.json"), {"default/model": 100.0}, monotonic_s=lambda: 1.0
        )
        reading = metrics.read("default/model")
        server.join()

    assert isinstance(reading, NoReading)
