"""Alerts that are told and listed: the faster of both begins one, the list ends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from orchestrator.platform.alerting import BothAlerts
from simulations.clock import VirtualClock
from tests.stand_in.alertmanager import Listed, small_alertmanager
from tools.alert_intake import AlertIntake
from tools.alertmanager import Alertmanager
from tools.errors import Unavailable

TARGET = "default/flights"
SLOW = {"alertname": "Slow", "mendloop_target": TARGET}
POLL_S = 10.0


class Stage:
    """An intake and a list, by one clock."""

    def __init__(self, url: str, listed: Listed) -> None:
        self.listed, self.clock = listed, VirtualClock()
        self.woken: list[str] = []
        self.intake = AlertIntake(
            token=lambda: "secret",
            targets=lambda: {TARGET},
            clock=self.clock,
            wake=self.woken.append,
        )
        listing = Alertmanager(url, clock=self.clock, fresh_s=POLL_S)
        self.alerts = BothAlerts(self.intake, listing)

    def tell(self, status: str) -> None:
        body = json.dumps({"version": "4", "alerts": [{"status": status, "labels": SLOW}]}).encode()
        answer = self.intake.receive("Bearer secret", str(len(body)), lambda size: body[:size])
        assert answer.status == 200, answer.text

    def names(self) -> list[str]:
        return [alert.name for alert in self.alerts.of(TARGET)]

    def poll(self) -> None:
        self.clock.advance(timedelta(seconds=POLL_S))


@pytest.fixture
def stage() -> Iterator[Stage]:
    with small_alertmanager() as (url, listed):
        yield Stage(url, listed)


def test_an_end_that_was_not_heard_is_seen_in_the_next_list(stage: Stage) -> None:
    """The webhook that says `resolved` is lost: no alert stands for hours because of that."""
    stage.listed.fire(SLOW)
    stage.tell("firing")
    assert stage.names() == ["Slow"]
    stage.listed.end(SLOW)
    stage.poll()

    assert stage.names() == []
    stage.tell("firing")
    assert stage.woken == [TARGET, TARGET]  # what fires again is news again


def test_what_was_told_since_the_list_was_asked_stands(stage: Stage) -> None:
    """The list is older: it cannot know."""
    assert stage.names() == []
    stage.clock.advance(timedelta(seconds=1))
    stage.tell("firing")
    stage.listed.fire(SLOW)

    assert stage.names() == ["Slow"]
    stage.poll()
    assert stage.names() == ["Slow"]


def test_what_is_listed_was_told_or_not(stage: Stage) -> None:
    """A webhook that was lost when it began is made good as well; each alert is one."""
    stage.listed.fire(SLOW)
    assert stage.names() == ["Slow"]
    stage.tell("firing")
    assert stage.names() == ["Slow"]


def test_a_list_that_is_not_to_be_had_ends_nothing(stage: Stage) -> None:
    """Nobody can say, and what was told is told again once there is a list."""
    stage.tell("firing")
    stage.listed.fire(SLOW)
    stage.listed.status = 503

    with pytest.raises(Unavailable):
        stage.names()
    stage.listed.status = 200
    stage.poll()
    assert stage.names() == ["Slow"]
