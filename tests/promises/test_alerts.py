"""What every adapter of the alerts port promises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest

from simulations.clock import VirtualClock
from tests.stand_in.alertmanager import (
    NO_ALERTMANAGER,
    Listed,
    alertmanager_program,
    await_,
    intake_endpoint,
    real_alertmanager,
    small_alertmanager,
)
from tools.alert_intake import AlertIntake
from tools.alertmanager import Alertmanager
from tools.alerts import Alerts

Labels = dict[str, str]
TARGET, OTHER = "default/flights", "staging/flights"
SLOW = {"alertname": "Slow", "namespace": "default", "model": "flights", "severity": "page"}
FAILING = {"alertname": "Failing", "mendloop_target": TARGET}
ELSEWHERE = {"alertname": "Slow", "mendloop_target": OTHER}
NOBODYS = {"alertname": "DiskFull", "node": "n1"}


class Stage(Protocol):
    """One adapter, and whoever raises alerts."""

    alerts: Alerts

    def fire(self, labels: Labels) -> None:
        """Raise it, or say again that it fires; returns when the adapter can know."""

    def end(self, labels: Labels) -> None:
        """Say that it is over; returns when the adapter can know."""


class IntakeStage:
    """Webhooks."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.alerts = self.intake = AlertIntake(
            token=lambda: "secret", targets=lambda: {TARGET, OTHER}, clock=self.clock
        )

    def fire(self, labels: Labels) -> None:
        self.tell(labels, "firing")

    def end(self, labels: Labels) -> None:
        self.tell(labels, "resolved")

    def tell(self, labels: Labels, status: str) -> None:
        alert = {"status": status, "labels": labels, "annotations": {"summary": "it is"}}
        body = json.dumps({"version": "4", "alerts": [alert]}).encode()
        answer = self.intake.receive("Bearer secret", str(len(body)), lambda size: body[:size])
        assert answer.status == 200, answer.text


class ListStage:
    """Alertmanager's API."""

    def __init__(self, url: str, listed: Listed) -> None:
        self.listed = listed
        self.alerts = Alertmanager(url, clock=VirtualClock(), fresh_s=0.0)

    def fire(self, labels: Labels) -> None:
        self.end(labels)
        self.listed.fire(labels, annotations={"summary": "it is"})

    def end(self, labels: Labels) -> None:
        self.listed.end(labels)


class RealStage:
    """A real Alertmanager: asked, or sending webhooks."""

    def __init__(self, url: str, alerts: Alerts) -> None:
        self.url, self.alerts = url, alerts

    def fire(self, labels: Labels) -> None:
        self.post(labels, datetime.now(UTC) + timedelta(hours=1))
        if labels != NOBODYS:
            await_(lambda: self.names(labels), f"{labels} does not arrive")

    def end(self, labels: Labels) -> None:
        self.post(labels, datetime.now(UTC) - timedelta(seconds=1))
        await_(lambda: not self.names(labels), f"{labels} does not end")

    def names(self, labels: Labels) -> bool:
        target = labels.get("mendloop_target", TARGET)
        return labels["alertname"] in [alert.name for alert in self.alerts.of(target)]

    def post(self, labels: Labels, ends: datetime) -> None:
        told: dict[str, Any] = {"labels": labels, "annotations": {"summary": "it is"}}
        told |= {"startsAt": "2026-01-05T12:00:00Z", "endsAt": ends.isoformat()}
        answer = httpx.post(f"{self.url}/api/v2/alerts", json=[told], trust_env=False)
        assert answer.status_code == 200, answer.text


@pytest.fixture(params=["webhook", "api", "real api", "real webhook"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """Every adapter, while nothing fires."""
    if request.param.startswith("real") and alertmanager_program() is None:
        pytest.skip(NO_ALERTMANAGER)
    if request.param == "webhook":
        yield IntakeStage()
    elif request.param == "api":
        with small_alertmanager() as (url, listed):
            yield ListStage(url, listed)
    elif request.param == "real api":
        with real_alertmanager(tmp_path) as url:
            yield RealStage(url, Alertmanager(url, clock=VirtualClock(), fresh_s=0.0))
    else:
        intake = IntakeStage().intake
        with (
            intake_endpoint(intake) as endpoint,
            real_alertmanager(tmp_path, webhook=endpoint, token="secret") as url,
        ):
            yield RealStage(url, intake)


def test_nothing_fires_until_somebody_says_so(stage: Stage) -> None:
    """Knowing of none is an answer."""
    assert stage.alerts.of(TARGET) == ()


def test_an_alert_is_told_of_the_target_that_its_labels_name(stage: Stage) -> None:
    """By either way of naming it; what names no model is told of none."""
    for labels in (SLOW, FAILING, ELSEWHERE, NOBODYS):
        stage.fire(labels)
    slow = next(alert for alert in stage.alerts.of(TARGET) if alert.name == "Slow")

    assert sorted(alert.name for alert in stage.alerts.of(TARGET)) == ["Failing", "Slow"]
    assert [alert.name for alert in stage.alerts.of(OTHER)] == ["Slow"]
    assert (slow.target, slow.severity, slow.summary) == (TARGET, "page", "it is")
    assert stage.alerts.of("default/hotels") == ()


def test_an_alert_that_is_repeated_is_one(stage: Stage) -> None:
    """It has the fingerprint that it had."""
    stage.fire(SLOW)
    before = stage.alerts.of(TARGET)
    stage.fire(SLOW)

    assert len(before) == 1
    assert [each.fingerprint for each in stage.alerts.of(TARGET)] == [before[0].fingerprint]


def test_an_alert_that_is_over_is_told_no_more(stage: Stage) -> None:
    """And another one goes on."""
    stage.fire(SLOW)
    stage.fire(FAILING)
    stage.end(SLOW)

    assert [alert.name for alert in stage.alerts.of(TARGET)] == ["Failing"]
