"""A fleet shared by several controllers: equal shares, a death, a newcomer, an act under way."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from orchestrator.controller import Controller, Target
from orchestrator.incident_book import IncidentBook
from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.payloads import IncidentOpened, StepIntended, StepOutcome
from orchestrator.ownership import Ownership
from orchestrator.session import Session
from simulations.healthy_fleet import HealthyFleet
from tools.errors import Unavailable
from tools.lease import Lease
from tools.values import Value

MODELS = 12
OPENED = IncidentOpened(
    goal="quality", concern="model", trigger="a test", summary="", event_time="", facts={}
)
INTENT = StepIntended(
    key="key",
    step=1,
    tool="start_canary",
    agent="deployer",
    arguments={},
    undo="roll_back",
    attempt=1,
    token=1,
    event_time="",
)
OUTCOME = StepOutcome(key="key", tool="start_canary", result="failed", output={}, detail="")


@pytest.fixture
def fleet(tmp_path: Path) -> HealthyFleet:
    return HealthyFleet(tmp_path, MODELS)


def owners(fleet: HealthyFleet) -> dict[str, str]:
    """Target -> who holds its lease."""
    newest = {m.target: fleet.leases.newest(m.target) for m in fleet.models}
    return {t: e.holder for t, e in newest.items() if e is not None and fleet.leases.is_held(e)}


def tick(fleet: HealthyFleet, *controllers: Controller, times: int = 1) -> None:
    """So many ticks of each, five seconds apart."""
    for _ in range(times):
        for controller in controllers:
            controller.tick()
        fleet.clock.advance(timedelta(seconds=5))


def changes_of_hands(fleet: HealthyFleet) -> list[Event]:
    """Every lease that was taken."""
    return fleet.journal.events(kinds=[kinds.LEASE_ACQUIRED])


def test_live_replicas_share_the_fleet_equally(fleet: HealthyFleet) -> None:
    """Three that begin together end up with four targets each, and none is left alone."""
    three = [fleet.controller(name) for name in ("a", "b", "c")]
    tick(fleet, *three, times=15)

    assert Counter(owners(fleet).values()) == {"a": 4, "b": 4, "c": 4}


def test_nothing_moves_while_nobody_comes_or_goes(fleet: HealthyFleet) -> None:
    """A fleet at rest changes no hands."""
    two = [fleet.controller(name) for name in ("a", "b")]
    tick(fleet, *two, times=15)
    before = changes_of_hands(fleet)
    tick(fleet, *two, times=10)

    assert changes_of_hands(fleet) == before


def test_a_death_moves_its_targets_to_the_others_within_the_lease_time(
    fleet: HealthyFleet,
) -> None:
    """The third tick of the others comes after the lease time of 15 s: then nothing is missing."""
    a, b, c = (fleet.controller(name) for name in ("a", "b", "c"))
    tick(fleet, a, b, c, times=15)
    tick(fleet, a, b, times=4)

    assert Counter(owners(fleet).values()) == {"a": 6, "b": 6}


def test_a_large_fleet_is_begun_over_several_ticks(fleet: HealthyFleet) -> None:
    """After a restart: beginning takes four seconds each, and no tick lasts for all of them."""

    def begin(target: Target, lease: Lease) -> Session:
        fleet.clock.advance(timedelta(seconds=4))
        return cast("Session", SimpleNamespace(lease=lease))

    own = Ownership(
        fleet.leases,
        "a",
        incidents=IncidentBook(fleet.journal),
        begin=begin,
        monotonic_s=fleet.clock.monotonic_s,
    )
    targets = fleet.targets()
    begun = []
    for _ in range(4):
        own.share_out(targets)
        for target in targets:
            own.session(target)
        begun.append(len(own))

    assert begun == [3, 6, 9, 12]


def test_an_orderly_end_keeps_nobody_waiting(fleet: HealthyFleet) -> None:
    """What was left is taken at the next tick."""
    a, b = (fleet.controller(name) for name in ("a", "b"))
    tick(fleet, a, b, times=15)
    b.stop("told to stop")
    a.tick()

    assert Counter(owners(fleet).values()) == {"a": MODELS}


def test_a_newcomer_gets_its_share_a_few_targets_at_a_time(fleet: HealthyFleet) -> None:
    """One of twelve in a tick; the owner before writes down why it let go."""
    a = fleet.controller("a")
    tick(fleet, a, times=2)
    b = fleet.controller("b")
    tick(fleet, b, a)
    shares = []
    for _ in range(8):
        tick(fleet, a, b)
        shares.append(Counter(owners(fleet).values())["b"])

    assert shares == [min(6, 1 + n) for n in range(1, 9)] or shares == [
        min(6, n) for n in range(1, 9)
    ]
    lost = fleet.journal.events(kinds=[kinds.LEASE_LOST])
    assert {event.payload["reason"] for event in lost} == {"it is another replica's share now"}


def test_a_target_amid_an_act_stays_until_it_is_answered(fleet: HealthyFleet) -> None:
    """Whoever wrote the intent finds out what came of it; then the target may go."""
    a = fleet.controller("a")
    tick(fleet, a, times=2)
    b = fleet.controller("b")
    b.tick()
    a.tick()
    mine = sorted(t for t, owner in owners(fleet).items() if owner == "a")
    for number, target in enumerate(mine):
        _write(fleet, target, number, kinds.INCIDENT_OPENED, OPENED)
        _write(fleet, target, number, kinds.STEP_INTENDED, INTENT)
    _share_out(fleet, a, b)

    assert Counter(owners(fleet).values())["a"] == len(mine), "none was given away"

    for number, target in enumerate(mine):
        _write(fleet, target, number, kinds.STEP_OUTCOME, OUTCOME)
    _share_out(fleet, a, b)

    assert Counter(owners(fleet).values())["a"] == MODELS / 2


def test_all_stays_as_it_is_while_nobody_can_tell_who_lives(
    fleet: HealthyFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is given away and nothing new is taken on a guess."""
    a, b = (fleet.controller(name) for name in ("a", "b"))
    tick(fleet, a, b, times=15)
    before = owners(fleet)

    def silent(holder: str) -> frozenset[str]:
        raise Unavailable("the API server does not answer")

    monkeypatch.setattr(fleet.leases, "replicas", silent)
    tick(fleet, a, b, times=6)

    assert owners(fleet) == before
    assert set(before.values()) == {"a", "b"}


def _share_out(fleet: HealthyFleet, *controllers: Controller) -> None:
    """Ten rounds in which the leases are shared out and nobody looks at the incidents."""
    for _ in range(10):
        for controller in controllers:
            controller._own.share_out(controller._fleet.targets)
            for target in controller._fleet.targets:
                controller._own.session(target)
        fleet.clock.advance(timedelta(seconds=5))


def _write(fleet: HealthyFleet, target: str, number: int, kind: str, payload: Value) -> None:
    now = fleet.clock.now()
    fleet.journal.append(
        kind, at=now, actor="test", payload=payload, target=target, incident=f"inc-{number}"
    )
