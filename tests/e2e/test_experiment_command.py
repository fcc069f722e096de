"""``mendloop experiment`` as a person types it: real Envoy, real servers, a real registry."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import Result

from infra.embedded.platform import start_platform, stop_platform
from orchestrator.assembly import embedded_traffic, embedded_workloads
from tests.unit.test_cli_score import Installed
from tools.errors import Refused
from tools.registry import GateResult
from tools.virtual_service import virtual_service
from tools.workloads import ServerPhase, ServerRequest

TARGET = "default/parcels"
DEADLINE_S = 60.0
PARCEL = {"sent": "2013-01-05T18:00:00", "weight": 12.0, "wind": 3.0, "place": "north"}


class Office(Installed):
    """Version 1 serves everybody; version 2 passed its gates, version 3 did not."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        passed = GateResult(name="roc_auc", passed=True, value=0.7, limit=0.6)
        failed = GateResult(name="roc_auc", passed=False, value=0.5, limit=0.6)
        self.other = self.register("other", gates=(passed,)).version
        self.refused = self.register("refused", gates=(failed,)).version
        self.platform = start_platform(self.home.root)
        self.workloads = embedded_workloads(self.home)
        champion = self.version
        request = ServerRequest(
            target=TARGET,
            version=champion.version,
            artifact=self.registry.fetch("parcels", champion.version, self.home.artifacts),
            artifact_digest=champion.artifact_digest,
        )
        self.workloads.start(request, key="setup", token=0)
        deadline = time.monotonic() + DEADLINE_S
        while self.workloads.read(TARGET, champion.version).phase is not ServerPhase.READY:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        embedded_traffic(self.home).create(
            virtual_service(
                "default", "parcels", host="parcels", version=champion.version, hosts=["parcels"]
            )
        )

    def experiment(self, command: str, *options: str) -> Result:
        return self.call("experiment", command, str(self.document), *options)

    def caller(self) -> httpx.Client:
        return httpx.Client(
            base_url=self.platform.predict_url,
            headers={"host": "parcels"},
            verify=False,
            trust_env=False,
            timeout=10.0,
        )


def ask(client: httpx.Client, **headers: str) -> str:
    """The version that answered. The cookie is the caller's own, whatever its domain."""
    answer = client.post("/predict", json=PARCEL, headers=headers)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["version"])


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path)
    yield office
    stop_platform(tmp_path / "home")


def test_a_test_is_started_looked_at_and_stopped(office: Office) -> None:
    """Callers keep their version while it runs, all are the champion's after it, and the server
    that was started for it is gone."""
    champion, other = office.version.version, office.other
    started = office.experiment(
        "start", "--version", other, "--percent", "50", "--reason", "does it sell?"
    )
    assert started.exit_code == 0, started.exception
    assert f"v{champion} 50 %, v{other} 50 %" in started.output
    kept = []
    for _ in range(40):
        with office.caller() as client:
            kept.append({ask(client) for _ in range(4)})
    assert {frozenset(each) for each in kept} == {frozenset({champion}), frozenset({other})}
    with office.caller() as client:
        assert ask(client, **{"x-mendloop-version": other}) == other
    status = json.loads(office.experiment("status", "--json").output)
    assert status["is_running"]
    assert status["shares"] == {champion: 50, other: 50}
    assert "does it sell?" in status["reason"]

    stopped = office.experiment("stop", "--reason", "seen enough")

    assert "everybody is back at the champion" in stopped.output
    with office.caller() as client:
        told = {"x-mendloop-version": other, "cookie": f"mendloop-arm={other}"}
        assert {ask(client, **told) for _ in range(10)} == {champion}
    assert not json.loads(office.experiment("status", "--json").output)["is_running"]
    assert office.workloads.read(TARGET, other).phase is ServerPhase.ABSENT
    again = office.experiment("stop")
    assert "no experiment was running" in again.output


def test_what_may_not_be_tried_changes_nothing(office: Office) -> None:
    """A version that failed its gates, the champion itself, and a target that is paused."""

    def refused(version: str) -> str:
        done = office.experiment("start", "--version", version, "--percent", "9", "--reason", "x")
        assert isinstance(done.exception, Refused), done.output
        return str(done.exception)

    assert "has not passed its gates" in refused(office.refused)
    assert "is the champion" in refused(office.version.version)
    (office.home.root / "STOP").write_text("alice: fair week")
    assert "paused" in refused(office.other)
    with office.caller() as client:
        assert {ask(client) for _ in range(5)} == {office.version.version}
