"""New data of a fleet is read in turns: bounded per tick, nobody forgotten, trouble never waits."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestrator.controller import Controller
from orchestrator.journal import kinds
from orchestrator.journal.payloads import IncidentOpened
from orchestrator.looks import READING_S
from simulations.healthy_fleet import FleetMemoryLog, HealthyFleet
from simulations.prediction_log import InMemoryPredictionLog

MODELS = 9
A_TICK = 3
"""So many models' new data is read in a tick."""


class Reader:
    """Stands for a log of which each model's first reading in a tick takes its time."""

    def __init__(self, fleet: HealthyFleet) -> None:
        self._fleet = fleet
        self.read: list[str] = []

    def predictions(self, log: FleetMemoryLog, target: str, **asked: Any) -> pd.DataFrame:
        if not self.read or self.read[-1] != target:
            self.read.append(target)
            self._fleet.clock.advance(timedelta(seconds=1.001 * READING_S / A_TICK))
        return InMemoryPredictionLog.predictions(log, target, **asked)


@pytest.fixture
def fleet(tmp_path: Path) -> HealthyFleet:
    world = HealthyFleet(tmp_path, MODELS)
    world.leases._ttl_s = 3600.0  # reading takes its time here, and nobody else is there
    world.next_window()  # ends with the first row of the next
    return world


@pytest.fixture
def reader(fleet: HealthyFleet, monkeypatch: pytest.MonkeyPatch) -> Reader:
    reader = Reader(fleet)
    monkeypatch.setattr(
        fleet.log, "predictions", lambda t, **a: reader.predictions(fleet.log, t, **a)
    )
    return reader


def read_in(controller: Controller, reader: Reader) -> list[str]:
    """Whose new data one tick reads, in order."""
    before = len(reader.read)
    controller.tick()
    return reader.read[before:]


def test_a_tick_reads_for_so_long_and_the_next_goes_on(fleet: HealthyFleet, reader: Reader) -> None:
    """Three ticks for nine models, each read once; then nothing is read that is not new."""
    controller = fleet.controller("a")
    fleet.next_window()
    turns = [read_in(controller, reader) for _ in range(4)]

    assert [len(turn) for turn in turns] == [A_TICK, A_TICK, A_TICK, 0]
    assert Counter(chain(*turns)) == dict.fromkeys((m.target for m in fleet.models), 1)
    assert controller.waiting == 0


def test_nobody_starves_where_data_comes_faster_than_it_can_be_read(
    fleet: HealthyFleet, reader: Reader
) -> None:
    """A window for everybody before each tick: all get the same number of turns."""
    controller = fleet.controller("a")
    turns: list[str] = []
    for _ in range(12):
        fleet.next_window()
        turns += read_in(controller, reader)

    assert Counter(turns) == dict.fromkeys((m.target for m in fleet.models), 12 * A_TICK // MODELS)


def test_an_open_incident_does_not_wait(fleet: HealthyFleet, reader: Reader) -> None:
    """The last of the fleet is read in the first tick, though the time is used up before."""
    controller = fleet.controller("a")
    controller.tick()
    last = fleet.models[-1].target
    opened = IncidentOpened(
        goal="nothing is left half-way",
        concern="model",
        trigger="a test",
        summary="",
        event_time="",
        facts={},
    )
    fleet.journal.append(
        kinds.INCIDENT_OPENED,
        at=fleet.clock.now(),
        actor="test",
        payload=opened,
        target=last,
        incident="inc-1",
    )
    fleet.next_window()

    assert last in read_in(controller, reader)


def test_who_waits_is_looked_at_all_the_same(fleet: HealthyFleet, reader: Reader) -> None:
    """A server that has failed is found while its model's data has to wait; then that is read
    too, because what opens an incident rests on the newest data."""
    controller = fleet.controller("a")
    controller.tick()
    last = fleet.models[-1]
    fleet.workloads._servers[last.target]["1"].failure = "its node is gone"
    fleet.next_window()
    found = read_in(controller, reader)

    opened = fleet.journal.events(kinds=[kinds.INCIDENT_OPENED])
    assert {event.target for event in opened} == {last.target}
    assert found[-1] == last.target
