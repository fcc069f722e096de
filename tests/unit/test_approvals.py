"""Approvals: good for exactly one step in one state of the world, once, until they expire."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from agents.facts import CANARY, CHALLENGER, FORMER, SHADOW, SHARE
from orchestrator import approvals, asking
from orchestrator.approvals import NEXT, Standing, find
from orchestrator.journal import kinds
from orchestrator.journal.interventions import ApprovalExpired, ApprovalGiven, ApprovalRequested
from orchestrator.session import Session
from orchestrator.steps import StepRecord, act, new_step
from policies.ruling import Decision, RuleVerdict, Ruling
from simulations.rehearsal import session_of
from simulations.releases import Release
from simulations.world import World
from tools.errors import Invalid, Refused
from tools.values import digest

VALID_FOR = timedelta(hours=24)
FITTING = {CHALLENGER: "ready", SHARE: 0, CANARY: "none", FORMER: "none", SHADOW: "none"}
"""Facts under which the first share may be given."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, guardrails={"autonomy": "approve", "approval_contact": "ml-oncall"})


def asks(**values: object) -> Ruling:
    verdict = RuleVerdict(
        policy="autonomy-approval",
        rule=0,
        result="violated",
        action="RequireApproval",
        message="autonomy is approve: a person must approve start_canary",
        values={"autonomy": "approve", **values},
    )
    return Ruling(decision=Decision.REQUIRE_APPROVAL, verdicts=(verdict,))


def hands_on(world: World) -> Session:
    session = session_of(world)
    session.learn(FITTING, source="test")
    return session


def a_step(session: Session, *, percent: int = 10, attempt: int = 1) -> StepRecord:
    operation = session.tools["start_canary"].operations(session.model)[0]
    operation = operation.model_copy(update={"arguments": {"percent": percent}})
    return new_step(session, operation, incident="inc-1", number=1, attempt=attempt)


def say(world: World, approval: str, *, approve: bool = True, by: str = "kim") -> Standing:
    return approvals.answer(
        world.journal, world.clock, approval, by=by, approve=approve, reason="not today"
    )


def let_it_expire(world: World, session: Session) -> None:
    """A day passes; the controller is still the owner."""
    world.clock.advance(VALID_FOR + timedelta(seconds=1))
    session.lease = world.leases.acquire(world.target, "rehearsal") or session.lease


def requests(world: World) -> list[ApprovalRequested]:
    asked = world.journal.events(kinds=[kinds.APPROVAL_REQUESTED])
    return [event.read(ApprovalRequested) for event in asked]


def test_a_request_is_made_once_and_names_the_exact_terms(world: World) -> None:
    """Asked at every wake-up, written once, with a digest of what would be done and why."""
    session = hands_on(world)
    step = a_step(session)
    for _ in range(3):
        assert asking.ask(session, step, asks()).status == "pending"

    (asked,) = requests(world)
    assert (asked.tool, asked.arguments, asked.key) == ("start_canary", {"percent": 10}, step.key)
    assert asked.digest == digest(asked.bound)
    assert asked.bound["facts"] == FITTING
    assert asked.bound["champion"]["version"] == "1"
    assert asked.contact == "ml-oncall"


def test_a_yes_is_good_for_this_step_and_no_other(world: World) -> None:
    """Other arguments or another attempt ask anew."""
    session = hands_on(world)
    step = a_step(session)
    say(world, asking.ask(session, step, asks()).approval)

    found = asking.ask(session, step, asks())
    assert (found.status, found.by) == ("given", "kim")
    assert asking.ask(session, a_step(session, percent=50), asks()).status == "pending"
    assert asking.ask(session, a_step(session, attempt=2), asks()).status == "pending"


@pytest.mark.parametrize("is_given", [False, True])
def test_a_changed_world_asks_again_and_says_what_changed(world: World, is_given: bool) -> None:
    """A new candidate under the same arguments is another question, also after a yes."""
    session = hands_on(world)
    step = a_step(session)
    first = asking.ask(session, step, asks())
    if is_given:
        say(world, first.approval)
    world.submit_challenger(Release())
    again = asking.ask(session, step, asks())

    assert (again.status, again.request.replaces) == ("pending", first.approval)
    assert again.approval != first.approval
    assert "challenger: version was nothing, is 2" in again.request.changed
    ended = find(world.journal, first.approval)
    assert ended is not None
    assert ended.status == "invalidated"
    with pytest.raises(Refused, match=f"asked again as {again.approval}"):
        say(world, first.approval)


def test_what_moves_at_every_look_does_not_ask_again(world: World) -> None:
    """Times and measured figures that a rule read are not what was approved."""
    session = hands_on(world)
    step = a_step(session)
    say(world, asking.ask(session, step, asks(now="2026-01-01T00:00:00+00:00", x=0.1)).approval)

    later = asks(now="2026-01-02T00:00:00+00:00", x=0.2)
    assert asking.ask(session, step, later).status == "given"
    assert asking.ask(session, step, asks(retrains=3)).status == "pending"


def test_a_step_that_does_not_fit_any_more_is_taken_back(world: World) -> None:
    """Nobody is asked about what cannot be done; the question that stood is withdrawn."""
    session = hands_on(world)
    step = a_step(session)
    first = asking.ask(session, step, asks())
    session.learn({CHALLENGER: "refused"}, source="test")
    found = asking.ask(session, step, asks())

    assert found.status == "invalidated"
    assert len(requests(world)) == 1
    with pytest.raises(Refused, match="challenger is ready"):
        say(world, first.approval)


def test_a_yes_with_another_digest_is_no_yes(world: World) -> None:
    """Whoever approved something else has not approved this."""
    session = hands_on(world)
    step = a_step(session)
    asked = asking.ask(session, step, asks())
    world.journal.append(
        kinds.APPROVAL_GIVEN,
        at=world.clock.now(),
        actor="kim",
        payload=ApprovalGiven(approval=asked.approval, by="kim", digest="0" * 64),
        target=world.target,
        incident="inc-1",
    )

    assert asking.ask(session, step, asks()).status == "pending"


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("second", [True, False])
def test_a_second_click_is_told_that_it_came_too_late(
    world: World, first: bool, second: bool
) -> None:
    """The first answer stands, and the message says whose it was, and when."""
    session = hands_on(world)
    step = a_step(session)
    name = asking.ask(session, step, asks()).approval
    at = say(world, name, approve=first, by="kim").at
    with pytest.raises(Refused, match=f"(approved|rejected) by kim at {at[:19]}"):
        say(world, name, approve=second, by="lee")

    expected = "given" if first else "rejected"
    assert asking.ask(session, step, asks()).status == expected


def test_of_two_answers_at_the_same_moment_the_first_on_record_counts(world: World) -> None:
    """Both looked before either wrote; the slower one is told although its answer is written."""
    session = hands_on(world)
    name = asking.ask(session, a_step(session), asks()).approval

    class Racing:
        """Another answer gets into the journal right before this one's."""

        def __getattr__(self, attribute: str) -> object:
            return getattr(world.journal, attribute)

        def append(self, *arguments: object, **named: object) -> object:
            say(world, name, approve=False, by="lee")
            return world.journal.append(*arguments, **named)  # type: ignore[arg-type]

    with pytest.raises(Refused, match="rejected by lee"):
        approvals.answer(Racing(), world.clock, name, by="kim", approve=True)  # type: ignore[arg-type]

    found = find(world.journal, name)
    assert found is not None
    assert (found.status, found.by) == ("rejected", "lee")


def test_an_approval_is_used_up_by_the_intent_of_its_step(world: World) -> None:
    """In one transaction; taking the step up again after a crash is no second use."""
    session = hands_on(world)
    step = a_step(session)
    say(world, asking.ask(session, step, asks()).approval)
    given = asking.ask(session, step, asks())
    session.approval = asking.use_of(given, step)
    act(session, step)
    used = world.journal.events(kinds=[kinds.APPROVAL_USED])
    intended = world.journal.events(kinds=[kinds.STEP_INTENDED])
    assert [e.seq + 1 for e in used] == [e.seq for e in intended]

    session.learn({SHARE: 10}, source="test")  # its own effect outruns nothing
    again = asking.ask(session, step, asks())
    assert again.status == "used"
    assert asking.use_of(again, step) is None


def test_a_request_expires_and_cannot_be_answered_any_more(world: World) -> None:
    """The world has moved on: a yes from yesterday is not a yes for today."""
    session = hands_on(world)
    step = a_step(session)
    name = asking.ask(session, step, asks()).approval
    let_it_expire(world, session)
    with pytest.raises(Refused, match="expired"):
        say(world, name)

    assert asking.ask(session, step, asks()).status == "expired"
    assert asking.ask(session, step, asks()).status == "expired"
    (over,) = world.journal.events(kinds=[kinds.APPROVAL_EXPIRED])
    assert over.read(ApprovalExpired).contact == "ml-oncall"
    with pytest.raises(Refused, match="nobody answered in time"):
        say(world, name)


def test_a_yes_that_was_not_used_in_time_is_asked_for_again(world: World) -> None:
    """The platform was down all night: in the morning somebody looks again."""
    session = hands_on(world)
    step = a_step(session)
    name = asking.ask(session, step, asks()).approval
    say(world, name)
    let_it_expire(world, session)
    again = asking.ask(session, step, asks())

    assert (again.status, again.request.replaces) == ("pending", name)
    assert "not used" in again.request.changed[0]


@pytest.mark.parametrize(("then", "times"), [("undo", 1), ("escalate", 2), ("wait", 5)])
def test_what_follows_when_nobody_answers_is_in_the_document(
    tmp_path: Path, then: str, times: int
) -> None:
    """undo gives up at once, escalate asks once more, wait goes on asking."""
    world = World(tmp_path, guardrails={"autonomy": "approve", "approval_unanswered": then})
    session = hands_on(world)
    step = a_step(session)
    found = asking.ask(session, step, asks())
    for _ in range(4):
        let_it_expire(world, session)
        found = asking.ask(session, step, asks())

    assert len(requests(world)) == times
    assert found.status == ("pending" if then == "wait" else "expired")


def test_an_unknown_request_is_named(world: World) -> None:
    """A slip of the pen approves nothing."""
    with pytest.raises(Invalid, match="there is no request 'promote-123'"):
        say(world, "promote-123")


def test_nothing_leads_out_of_an_end() -> None:
    """Rejected, expired, invalidated and used stay what they are; only a yes can be used."""
    ends = {"rejected", "expired", "invalidated", "used"}

    assert not {status for status, _ in NEXT} & ends
    assert [s for (s, kind), after in NEXT.items() if after == "used"] == ["given"]
