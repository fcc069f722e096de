"""The demo's own rules, and what it tells of denials and of people's answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from examples.flights.people import tell_approvals, tell_denials
from examples.flights.stage import POLICIES
from examples.flights.story import Story
from orchestrator.journal import kinds
from orchestrator.journal.interventions import ApprovalGiven, ApprovalRequested, ApprovalUsed
from orchestrator.journal.payloads import GuardJudged, StepIntended
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.policy_files import read_policies
from policies.engine import load_policies
from policies.examples import run_examples
from policies.ruling import Decision, RuleVerdict, Ruling

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def journal() -> SqliteJournal:
    return SqliteJournal(":memory:")


def write(journal: SqliteJournal, kind: str, payload: Any) -> None:
    journal.append(
        kind, at=NOW, actor="a", payload=payload, target="default/flights", incident="inc-1"
    )


def judged(decision: Decision, day: str) -> GuardJudged:
    verdicts = (
        RuleVerdict(
            policy="easter-freeze", rule=0, result="violated", action="Deny", message="not now"
        ),
        RuleVerdict(policy="step-size", rule=0, result="passed", action="Deny"),
    )
    return GuardJudged(
        tool="start_canary",
        stage="planning",
        ruling=Ruling(decision=decision, verdicts=verdicts),
        event_time=day,
    )


def asked() -> ApprovalRequested:
    return ApprovalRequested(
        approval="promote-1",
        tool="promote",
        arguments={},
        reasons=("first-promotion: a person",),
        digest="d",
        event_time="2013-05-12T00:00:00",
    )


def test_the_airlines_rules_say_what_their_examples_say() -> None:
    """They are loaded by the controller of the demo, so they must be well-formed."""
    loaded = load_policies(read_policies(POLICIES))

    assert {p.name for p in loaded.policies} == {"easter-freeze", "first-promotion"}
    assert all(result.passed for p in loaded.policies for result in run_examples(p))


def test_a_denial_is_told_once_with_the_day_on_which_it_ended(journal: SqliteJournal) -> None:
    """Judged at every look, told once; what passed is no denial."""
    for day in ("2013-03-18", "2013-03-19"):
        write(journal, kinds.GUARD_JUDGED, judged(Decision.DENY, day))
    write(journal, kinds.GUARD_JUDGED, judged(Decision.ALLOW, "2013-04-02"))
    step = StepIntended(
        key="k", step=1, tool="start_canary", agent="deployer", event_time="2013-04-02"
    )
    write(journal, kinds.STEP_INTENDED, step)
    (denial,) = tell_denials(journal.events())

    assert (denial.policy, denial.reason) == ("easter-freeze", "not now")
    assert (denial.event_time, denial.allowed_event_time) == ("2013-03-18", "2013-04-02")


def test_an_approval_is_told_with_who_gave_it_and_that_it_was_used(
    journal: SqliteJournal,
) -> None:
    """From the question to the act."""
    write(journal, kinds.APPROVAL_REQUESTED, asked())
    given = ApprovalGiven(approval="promote-1", by="kim", digest="d")
    write(journal, kinds.APPROVAL_GIVEN, given)
    used = ApprovalUsed(approval="promote-1", by="kim", key="k", digest="d")
    write(journal, kinds.APPROVAL_USED, used)
    (told,) = tell_approvals(journal.events())

    assert (told.status, told.by, told.event_time) == ("used", "kim", "2013-05-12T00:00:00")
    assert told.answered_at


def test_a_question_is_the_storys_until_it_is_answered(journal: SqliteJournal) -> None:
    """What the operator of the demo looks at."""
    story = Story()
    write(journal, kinds.APPROVAL_REQUESTED, asked())
    story.take(journal.events())
    assert story.questions == ["promote-1"]

    write(journal, kinds.APPROVAL_GIVEN, ApprovalGiven(approval="promote-1", by="k", digest="d"))
    story.take(journal.events(after=1))
    assert story.questions == []
