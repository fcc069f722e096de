"""Ways of rolling out, as callers of a real Envoy meet them: shadow, A/B, blue and green."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from infra.embedded.home import Home
from infra.embedded.platform import start_platform, stop_platform
from tests.promises.test_metrics import OBJECTIVE_MS, RealTraffic
from tests.promises.test_metrics import servers as servers
from tools.arm_routes import AbTest
from tools.envoy_admin import EnvoyAdmin
from tools.metrics import Reading
from tools.routing import Mirror, Router, TrafficSplit
from tools.scrape import EnvoyMetrics
from tools.traffic import RouteDocument

NAMES = (f"rollout-{number}" for number in itertools.count())
DEADLINE_S = 10.0


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("home")
    start_platform(folder, objectives_ms=[OBJECTIVE_MS])
    yield folder
    stop_platform(folder)


class World(RealTraffic):
    """A model with two versions behind Envoy."""

    def __init__(self, home: Path, url: str, servers: dict[str, str]) -> None:
        super().__init__(Home(home), url, next(NAMES), servers)
        self.router = Router(self.traffic)
        self.metrics = EnvoyMetrics(
            EnvoyAdmin(Home(home).envoy / "ports.json"),
            {f"default/{self.name}": OBJECTIVE_MS},
            monotonic_s=time.monotonic,
        )

    def follow(self, document: RouteDocument) -> None:
        """Wait until Envoy routes by it."""
        version, deadline = document.resource_version, time.monotonic() + DEADLINE_S
        while not self.router.applied("default", self.name, resource_version=version):
            assert time.monotonic() < deadline

    def ab_test(self, test: AbTest) -> None:
        key = f"k{next(self.key)}"
        self.follow(self.router.ab_test("default", self.name, self.name, test, key=key, token=1))

    def ask(self, client: httpx.Client, **headers: str) -> str:
        """The version that answers."""
        answer = client.get("/predict", headers={"host": self.name, **headers})
        return str(answer.json()["version"])

    def caller(self) -> httpx.Client:
        """Somebody with cookies of their own."""
        return httpx.Client(verify=False, trust_env=False, base_url=self.url, timeout=10.0)

    def copies(self, version: str) -> int:
        """Requests that the version got as a shadow."""
        reading = self.metrics.read(f"default/{self.name}")
        assert isinstance(reading, Reading)
        return sum(each.requests for each in reading.mirrored if each.version == version)


@pytest.fixture
def world(home: Path, servers: dict[str, str]) -> World:
    return World(home, start_platform(home, objectives_ms=[OBJECTIVE_MS]).predict_url, servers)


def test_a_shadow_gets_its_share_of_copies_and_answers_nobody(world: World) -> None:
    """A quarter of 400 requests is copied, give or take what chance allows (five sigma)."""
    world.route(TrafficSplit(shares={"1": 100}, mirror=Mirror(version="2", percent=25)))
    with world.caller() as client:
        answered = Counter(world.ask(client) for _ in range(400))
    deadline = time.monotonic() + DEADLINE_S
    while (copied := world.copies("2")) < 56:
        assert time.monotonic() < deadline, f"{copied} copies"

    assert answered == {"1": 400}
    assert copied <= 144


def test_a_caller_keeps_the_version_of_its_first_answer(world: World) -> None:
    """Sixty callers, five requests each: both versions have some, none ever changes; a caller
    that brings no cookie is drawn anew each time."""
    world.ab_test(AbTest(shares={"1": 50, "2": 50}))
    seen = []
    for _ in range(60):
        with world.caller() as client:
            seen.append({world.ask(client) for _ in range(5)})
    assert {frozenset(each) for each in seen} == {frozenset({"1"}), frozenset({"2"})}
    with world.caller() as client:
        drawn = Counter()
        for _ in range(60):
            drawn[world.ask(client)] += 1
            client.cookies.clear()

    assert set(drawn) == {"1", "2"}


def test_who_got_a_version_keeps_it_when_the_shares_change(world: World) -> None:
    """New callers follow the shares, known ones their cookie; the header overrides both."""
    world.ab_test(AbTest(shares={"1": 99, "2": 1}))
    with world.caller() as known:
        first = world.ask(known)
        other = {"1": "2", "2": "1"}[first]
        world.ab_test(AbTest(shares={first: 1, other: 99}))

        assert {world.ask(known) for _ in range(20)} == {first}
        assert {world.ask(known, **{"x-mendloop-version": other}) for _ in range(5)} == {other}
        assert {world.ask(known, cookie=f"a=b; mendloop-arm={other}; c=d") for _ in range(5)} == {
            other
        }
        assert world.ask(known) == first


def test_going_back_takes_those_with_a_cookie_along(world: World) -> None:
    """A broken version gets nobody any more, whatever they were promised."""
    world.ab_test(AbTest(shares={"1": 50, "2": 50}))
    with world.caller() as client:
        while world.ask(client) != "2":
            client.cookies.clear()
        world.route(TrafficSplit.all_to("1"))

        assert {world.ask(client) for _ in range(10)} == {"1"}
        assert world.ask(client, **{"x-mendloop-version": "2"}) == "1"


def test_blue_and_green_change_places_in_one_write(world: World) -> None:
    """Everybody goes over, and back; the one that stands by can be tried with a header before."""
    world.ab_test(AbTest(shares={"1": 99, "2": 1}, header="x-green"))
    with world.caller() as client:
        assert world.ask(client, **{"x-green": "2"}) == "2"
    for version in ("2", "1"):
        world.route(TrafficSplit.all_to(version))
        with world.caller() as client:
            assert {world.ask(client) for _ in range(20)} == {version}
