"""Real tools taken up half-way by the next controller: the same effect, once, and nothing lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.contract import Call, Holds
from agents.deployer.promotion import SwitchBack
from agents.facts import CANARY
from agents.memory import CanaryWatch, Pinned, TargetMemory
from agents.monitor.canary import JudgeCanary
from agents.monitor.performance import begin_probation
from agents.trainer.retraining import retrain_full
from orchestrator.session import Session
from orchestrator.steps import Acted, act, call_of, new_step
from simulations.crashes import Killed, Point, Trigger
from simulations.population import CHANGED
from simulations.rehearsal import session_of
from simulations.releases import Release
from simulations.world import LEASE_S, World
from tools.statistics.canary import CanaryEvidence
from tools.workloads import ServerRequest


def at_ten_percent(world: World, **more: Any) -> TargetMemory:
    """Version 2 is remembered in its first canary step."""
    watch = CanaryWatch(
        version="2",
        percent=10,
        evidence=CanaryEvidence(),
        stable=world.registry.get("parcels", "1"),
        challenger=world.registry.get("parcels", "2"),
        **more,
    )
    return TargetMemory(canary=watch)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_server_is_started_once_although_the_controller_died_around_it(
    tmp_path: Path, moment: str
) -> None:
    """The real tool: the next owner acts under the same key and finds what is there."""
    world = World(tmp_path)
    world.submit_challenger(Release())
    first = session_of(world, holder="first")
    operation = first.tools["deploy_challenger"].operations(world.document)[0]
    step = new_step(first, operation, incident="inc-1", number=1, attempt=1)
    world.fault = Trigger(Point(f"workloads.start:{moment}", 1))
    with pytest.raises(Killed):
        act(first, step)
    world.fault = lambda call: None
    world.step(hours=0, seconds=LEASE_S + 1)
    second = session_of(world, holder="second")

    assert act(second, step)[0] is Acted.DONE
    started = [e for e in world.ledger.effects if e.what == "servers 2"]
    assert [e.key for e in started] == [step.key]


def test_harm_that_was_found_is_not_forgotten_by_whoever_looks_again(tmp_path: Path) -> None:
    """The verdict was written, the node was not left: evidence that fell since does not acquit."""
    world = World(tmp_path)
    world.submit_challenger(Release())
    session = session_of(world)
    session.memory = at_ten_percent(world, outcome="harmful")
    operation = JudgeCanary().operations(world.document)[0]
    step = new_step(session, operation, incident="inc-1", number=1, attempt=1)
    found = JudgeCanary().verify(session.desk, call_of(session, step), session.memory)

    assert found.holds is Holds.BROKEN
    assert found.facts == {CANARY: "harmful"}


def test_a_share_that_moved_is_remembered_although_the_champion_crashed_since(
    tmp_path: Path,
) -> None:
    """Refusing it now would leave the weights where they are, and nobody who judges them."""
    world = World(tmp_path)
    world.submit_challenger(Release())
    first = session_of(world, holder="first")
    deploy = first.tools["deploy_challenger"].operations(world.document)[0]
    act(first, new_step(first, deploy, incident="inc-1", number=1, attempt=1))
    world.step(hours=0, seconds=60)
    first = session_of(world, holder="first")
    start = first.tools["start_canary"].operations(world.document)[0]
    step = new_step(first, start, incident="inc-1", number=2, attempt=1)
    world.fault = Trigger(Point("traffic.patch:after", 1))
    with pytest.raises(Killed):
        act(first, step)
    world.fault = lambda call: None
    with world.own():
        world.workloads.crash(world.target, "1")
    world.step(hours=0, seconds=LEASE_S + 1)
    second = session_of(world, holder="second")

    assert act(second, step)[0] is Acted.DONE
    assert second.memory.canary is not None
    assert second.memory.canary.percent == 10


def test_a_step_is_judged_at_the_share_that_it_is_about(tmp_path: Path) -> None:
    """The shift before it was given up unanswered: what is remembered is the step before."""
    world = World(tmp_path)
    world.submit_challenger(Release())
    session = session_of(world)
    session.memory = at_ten_percent(world)
    operation = JudgeCanary().operations(world.document)[1]
    step = new_step(session, operation, incident="inc-1", number=1, attempt=1)
    receipt = JudgeCanary().apply(session.desk, call_of(session, step), session.memory)

    assert operation.arguments == {"percent": 50}
    assert receipt.memory is not None
    assert receipt.memory.canary is not None
    assert receipt.memory.canary.percent == 50


def test_a_run_that_was_submitted_by_a_controller_that_died_counts_in_the_budget(
    tmp_path: Path,
) -> None:
    """The count is kept with the outcome: found running without one, it is counted now."""
    world = World(tmp_path)
    world.step()
    session = session_of(world)
    pinned = Pinned(incident="inc-1", scope="full", uri="pins/x.parquet", digest="0" * 64)
    session.memory = TargetMemory(pinned=pinned)
    tool = retrain_full()
    step = new_step(
        session, tool.operations(world.document)[0], incident="inc-1", number=1, attempt=1
    )
    call = call_of(session, step)
    world.fault = Trigger(Point("pipelines.submit:after", 1))
    with pytest.raises(Killed):
        tool.apply(session.desk, call, session.memory)
    world.fault = lambda call: None
    receipt = tool.apply(session.desk, call, session.memory)

    assert receipt.already
    assert receipt.memory is not None
    assert len(receipt.memory.retrains) == 1


@pytest.mark.parametrize(
    "point",
    [
        "traffic.patch:after#1",
        "registry.set_alias:after#1",
        "registry.delete_alias:after#1",
        "workloads.stop:before#1",
        "workloads.stop:after#1",
    ],
)
def test_a_switch_back_taken_up_half_way_ends_the_broken_version_and_no_other(
    tmp_path: Path, point: str
) -> None:
    """The aliases may have moved already: the probation says which version has to go."""
    world = World(tmp_path)
    session = promoted(world)
    tool, call = switch_back(session)
    world.fault = Trigger(Point.parse(point))
    with pytest.raises(Killed):
        tool.apply(session.desk, call, session.memory)
    world.fault = lambda call: None
    receipt = tool.apply(session.desk, call, session.memory)

    assert receipt.memory is not None
    assert receipt.memory.refused == ("2",)
    assert receipt.memory.probation is None
    standing = world.standing()
    assert dict(standing.aliases) == {"champion": "1"}
    assert set(standing.servers) == {"1"}
    assert dict(standing.shares) == {"1": 100}


def test_a_version_that_failed_long_ago_is_not_taken_for_the_one_that_fails_now(
    tmp_path: Path,
) -> None:
    """The revival's answer was lost, so what is remembered is the outage before this one."""
    world = World(tmp_path)
    session = promoted(world)
    session.memory = TargetMemory(failing_version="1")
    tool, call = switch_back(session)
    receipt = tool.apply(session.desk, call, session.memory)

    assert receipt.memory is not None
    assert receipt.memory.refused == ("2",)
    assert set(world.standing().servers) == {"1"}


def switch_back(session: Session) -> tuple[SwitchBack, Call]:
    """The tool, and a call of it by the first step of an incident."""
    tool = SwitchBack()
    operation = tool.operations(session.model)[0]
    return tool, call_of(session, new_step(session, operation, incident="i", number=1, attempt=1))


def promoted(world: World) -> Session:
    """Version 2 was promoted and found worse on labels; version 1 is warm."""
    version = world.foundry.register(Release(model=CHANGED), key="second")
    world.registry.set_alias("parcels", "champion", "2", key="second")
    world.registry.set_alias("parcels", "former", "1", key="second")
    request = ServerRequest(
        target=world.target,
        version="2",
        artifact=world.folder / "artifact-2",
        artifact_digest=version.artifact_digest,
    )
    world.workloads.start(request, key="second", token=0)
    world.step(hours=0)
    session = session_of(world)
    world.edit_route({"2": 100})
    probation = begin_probation(world.document, "2", "1", world.event_time)
    harmful = probation.model_copy(update={"outcome": "harmful"})
    session.memory = TargetMemory(probation=harmful)
    session.look()
    return session
