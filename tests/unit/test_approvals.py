"""Approvals: good for exactly one step, once, until they expire; the first answer counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from orchestrator import approvals
from orchestrator.controller import Controller
from orchestrator.journal import kinds
from orchestrator.journal.payloads import ApprovalGiven, ApprovalRequested
from orchestrator.session import Session
from orchestrator.steps import StepRecord, new_step
from simulations.rehearsal import controller_of, incidents_of, run_until, session_of
from simulations.releases import Release
from simulations.world import World
from tools.errors import Invalid, Refused

REASONS = ("autonomy is approve: a person must approve promote",)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, guardrails={"autonomy": "approve"})


def a_step(session: Session, *, percent: int = 10, attempt: int = 1) -> StepRecord:
    operation = session.tools["start_canary"].operations(session.model)[0]
    operation = operation.model_copy(update={"arguments": {"percent": percent}})
    return new_step(session, operation, incident="inc-1", number=1, attempt=attempt)


def say(world: World, approval: str, *, approve: bool = True, by: str = "kim") -> None:
    approvals.answer(
        world.journal, world.clock, approval, by=by, approve=approve, reason="not today"
    )


def requests(world: World) -> list[ApprovalRequested]:
    asked = world.journal.events(kinds=[kinds.APPROVAL_REQUESTED])
    return [event.read(ApprovalRequested) for event in asked]


def test_a_request_is_made_once_and_names_the_exact_arguments(world: World) -> None:
    """Asked at every wake-up, written once, with a digest of what would be done."""
    session = session_of(world)
    step = a_step(session)
    for _ in range(3):
        assert approvals.ask(session, step, REASONS).status == "pending"

    (asked,) = requests(world)
    assert (asked.approval, asked.tool, asked.arguments) == (
        step.key,
        "start_canary",
        {"percent": 10},
    )
    assert len(asked.digest) == 64


def test_a_yes_is_good_for_this_step_and_no_other(world: World) -> None:
    """Other arguments or another attempt ask anew."""
    session = session_of(world)
    step = a_step(session)
    approvals.ask(session, step, REASONS)
    say(world, step.key)

    found = approvals.ask(session, step, REASONS)
    assert (found.status, found.by) == ("given", "kim")
    assert approvals.ask(session, a_step(session, percent=50), REASONS).status == "pending"
    assert approvals.ask(session, a_step(session, attempt=2), REASONS).status == "pending"


def test_a_yes_with_another_digest_is_no_yes(world: World) -> None:
    """Whoever approved something else has not approved this."""
    session = session_of(world)
    step = a_step(session)
    approvals.ask(session, step, REASONS)
    world.journal.append(
        kinds.APPROVAL_GIVEN,
        at=world.clock.now(),
        actor="kim",
        payload=ApprovalGiven(approval=step.key, by="kim", digest="0" * 64),
        target=world.target,
        incident="inc-1",
    )

    assert approvals.ask(session, step, REASONS).status == "pending"


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_a_second_click_is_told_that_it_came_too_late(
    world: World, first: bool, second: bool
) -> None:
    """The first answer stands, and the message says whose it was."""
    session = session_of(world)
    step = a_step(session)
    approvals.ask(session, step, REASONS)
    say(world, step.key, approve=first, by="kim")
    with pytest.raises(Refused, match=r"already (given|rejected) by kim"):
        say(world, step.key, approve=second, by="lee")

    expected = "given" if first else "rejected"
    assert approvals.ask(session, step, REASONS).status == expected


def test_a_request_expires_and_cannot_be_answered_any_more(world: World) -> None:
    """The world has moved on: a yes from yesterday is not a yes for today."""
    session = session_of(world)
    step = a_step(session)
    approvals.ask(session, step, REASONS)
    world.clock.advance(approvals.VALID_FOR + timedelta(seconds=1))

    assert approvals.ask(session, step, REASONS).status == "expired"
    with pytest.raises(Refused, match="expired"):
        say(world, step.key)


def test_an_unknown_request_is_named(world: World) -> None:
    """A slip of the pen approves nothing."""
    with pytest.raises(Invalid, match="there is no request 'promote-123'"):
        say(world, "promote-123")


Ask = Callable[[ApprovalRequested], bool]


def run_with(world: World, decide: Ask, *, ticks: int = 40) -> Controller:
    """A release in which a person answers each request at the next tick."""
    controller = controller_of(world, InMemorySaver())
    for _ in range(2):
        world.step()
        controller.tick()
    world.submit_challenger(Release())

    def over(world: World) -> bool:
        for asked in requests(world):
            found = approvals.find(world.journal, asked.approval, now=world.clock.now())
            if found is not None and found.status == "pending":
                say(world, asked.approval, approve=decide(asked))
        return any(i.status in ("resolved", "escalated") for i in incidents_of(world))

    run_until(world, controller, over, ticks=ticks)
    world.ledger.check_end()
    assert world.ledger.broken == []
    return controller


def test_with_a_yes_to_each_step_the_release_goes_through(world: World) -> None:
    """Every change of production was asked for once; looking needed nobody."""
    run_with(world, lambda asked: True)
    tools = [asked.tool for asked in requests(world)]

    assert incidents_of(world)[0].outcome == "promoted"
    assert tools == [
        "deploy_challenger",
        "start_canary",
        "advance_canary",
        "advance_canary",
        "promote",
        "retire_version",
    ]
    given = world.journal.events(kinds=[kinds.APPROVAL_GIVEN])
    assert len(given) == len({event.payload["digest"] for event in given}) == len(tools)


def test_a_no_in_the_middle_of_a_canary_takes_the_traffic_back(world: World) -> None:
    """The way is closed: what is half-way goes back by itself, then a person has the word."""
    run_with(world, lambda asked: asked.tool != "advance_canary")

    (incident,) = incidents_of(world)
    assert dict(world.standing().shares) == {"1": 100}
    assert [a.tool for a in incident.actions][-2:] == ["roll_back", "withdraw_challenger"]
    assert "advance_canary" not in [a.tool for a in incident.actions]


def test_nothing_happens_while_nobody_answers(world: World) -> None:
    """A pending request holds the step for as long as it takes."""
    controller = controller_of(world, InMemorySaver())
    world.submit_challenger(Release())
    for _ in range(8):
        world.step()
        controller.tick()

    assert len(requests(world)) == 1
    assert world.ledger.effects == []
