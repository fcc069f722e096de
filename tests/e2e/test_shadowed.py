"""A shadow behind a real Envoy with real servers: it answers copies, and nobody else notices."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import httpx
import pandas as pd
import pytest

from infra.embedded.home import Home
from infra.embedded.platform import start_platform, stop_platform
from tests.e2e.test_serving import GOOD, START, TARGET, Server
from tests.e2e.test_serving import artifact as artifact
from tests.promises.test_metrics import OBJECTIVE_MS
from tools.envoy import EnvoyTraffic
from tools.log_parts import shadow_of
from tools.parquet_log import ParquetPredictionLog
from tools.routing import Mirror, Router, TrafficSplit
from tools.virtual_service import virtual_service

DEADLINE_S = 20.0
ASKED = 60


@dataclass
class Shadowed:
    """Version 3 answers, version 4 gets a copy of everything."""

    client: httpx.Client
    shadow: Server
    log: ParquetPredictionLog

    def ask(self, number: int) -> httpx.Response:
        return self.client.post(
            "/predict",
            json=GOOD | {"temp": float(number)},
            headers={"host": "flights", "x-request-id": f"asked-{number}"},
        )

    def logged(self, target: str) -> pd.DataFrame:
        return self.log.predictions(target, start=START, end=START + timedelta(days=365))

    def until_logged(self, target: str, rows: int) -> pd.DataFrame:
        deadline = time.monotonic() + DEADLINE_S
        while len(found := self.logged(target)) < rows:
            assert time.monotonic() < deadline, f"{len(found)} of {rows} rows of {target}"
        return found


@pytest.fixture(scope="module")
def shadowed(tmp_path_factory: pytest.TempPathFactory, artifact: Path) -> Iterator[Shadowed]:
    tmp_path = tmp_path_factory.mktemp("shadowed")
    log = tmp_path / "predictions"
    servers = [
        Server(tmp_path / v, artifact, "--version", v, "--log", str(log / TARGET))
        for v in ("3", "4")
    ]
    platform = start_platform(tmp_path / "home", objectives_ms=[OBJECTIVE_MS])
    home = Home(tmp_path / "home")
    traffic = EnvoyTraffic(home.routes, home.envoy)
    try:
        for server, version in zip(servers, ("3", "4"), strict=True):
            server.until_ready()
            traffic.publish(TARGET, version, server.url.removeprefix("http://"))
        traffic.create(
            virtual_service("default", "flights", host="flights", version="3", hosts=["flights"])
        )
        router = Router(traffic)
        split = TrafficSplit(shares={"3": 100}, mirror=Mirror(version="4"))
        written = router.shift("default", "flights", "flights", split, key="shadow-1", token=1)
        deadline = time.monotonic() + DEADLINE_S
        while not router.applied("default", "flights", resource_version=written.resource_version):
            assert time.monotonic() < deadline
        with httpx.Client(
            verify=False, trust_env=False, base_url=platform.predict_url, timeout=10.0
        ) as client:
            yield Shadowed(client, servers[1], ParquetPredictionLog(log, tmp_path / "labels"))
    finally:
        stop_platform(tmp_path / "home")
        for server in servers:
            server.kill()


def test_the_shadow_answers_every_copy_into_a_log_of_its_own(shadowed: Shadowed) -> None:
    """Users get the champion's answers; the same requests stand beside them, by their ids."""
    answers = [shadowed.ask(number) for number in range(ASKED)]
    served = shadowed.until_logged(TARGET, ASKED)
    copied = shadowed.until_logged(shadow_of(TARGET), ASKED)

    assert {answer.json()["version"] for answer in answers} == {"3"}
    assert set(served["version"]) == {"3"}
    assert set(copied["version"]) == {"4"}
    assert set(copied["request_id"]) == set(served["request_id"])
    assert len(served) == len(copied) == ASKED
    said = shadowed.shadow.client.get(f"{shadowed.shadow.url}/metrics").text
    assert f"mendloop_serving_copies_answered_total {ASKED}.0" in said
    assert "mendloop_serving_predictions_total 0.0" in said


def test_a_shadow_that_hangs_delays_nobody(shadowed: Shadowed) -> None:
    """Its process stands still: every request is answered by the champion all the same."""
    shadowed.ask(0)
    shadowed.shadow.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    answers = [shadowed.ask(number) for number in range(1, ASKED)]
    took_s = time.monotonic() - began
    shadowed.shadow.process.send_signal(signal.SIGCONT)

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["version"] for answer in answers} == {"3"}
    assert took_s < 5.0, "the route's time-out is 5 s: not one request may have waited for it"
