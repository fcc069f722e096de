"""The commands by which a person steps in, as they are typed: what they do, and what they say."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.main import cli
from orchestrator.journal import kinds
from orchestrator.journal.interventions import ApprovalRequested
from orchestrator.journal.payloads import IncidentOpened, StepIntended, TrafficShifted
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.kill_switch import KillSwitch
from tools.errors import Refused

TARGET = "default/flights"
ASKED = "advance-canary-12345678"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A canary at 25 % whose next step waits for a person; no controller runs."""
    journal = SqliteJournal(tmp_path / "mendloop.db")
    now = datetime.now(UTC)
    lines = [
        (kinds.INCIDENT_OPENED, IncidentOpened(goal="a goal", trigger="challenger", summary="new")),
        (
            kinds.STEP_INTENDED,
            StepIntended(key="judge-1", step=1, tool="judge_canary", agent="monitor"),
        ),
        (
            kinds.TRAFFIC_SHIFTED,
            TrafficShifted(route="flights", before={"1": 100}, after={"1": 75, "2": 25}),
        ),
        (
            kinds.APPROVAL_REQUESTED,
            ApprovalRequested(
                approval=ASKED,
                tool="advance_canary",
                arguments={"percent": 50},
                reasons=("autonomy is approve",),
                digest="0" * 64,
                expires_at=(now + timedelta(hours=1)).isoformat(),
                contact="ml-oncall",
            ),
        ),
    ]
    for kind, payload in lines:
        journal.append(kind, at=now, actor="test", payload=payload, target=TARGET, incident="inc-1")
    journal.close()
    return tmp_path


def mendloop(home: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--home", str(home)])


def told(home: Path, *kind: str) -> list[str]:
    journal = SqliteJournal.open_read_only(home / "mendloop.db")
    try:
        return [event.actor for event in journal.events(kinds=kind)]
    finally:
        journal.close()


def test_incidents_prints_what_to_type(home: Path) -> None:
    """What waits, for whom, until when, and the exact commands, which then work."""
    shown = mendloop(home, "incidents").output
    (line,) = [x.strip() for x in shown.splitlines() if x.strip().startswith("mendloop approve")]

    assert "waits for a person (ml-oncall is asked): advance_canary(percent=50)" in shown
    answered = CliRunner().invoke(cli, line.split()[1:])
    assert answered.exit_code == 0, answered.output
    assert "advance_canary(percent=50) on default/flights is approved by" in answered.output
    assert "mendloop approve" not in mendloop(home, "incidents").output


def test_incidents_as_json_carry_what_waits(home: Path) -> None:
    """For a chat bot that shows buttons."""
    (incident,) = json.loads(mendloop(home, "incidents", "--json").output)

    assert [a["approval"] for a in incident["approvals"]] == [ASKED]


def test_the_second_click_is_refused_with_the_name_of_the_first(home: Path) -> None:
    """Exit code 3 of the command line; here the error itself."""
    mendloop(home, "reject", ASKED, "--reason", "fair week", "--by", "kim")
    late = mendloop(home, "approve", ASKED, "--by", "lee")

    assert isinstance(late.exception, Refused)
    assert "rejected by kim at" in str(late.exception)
    assert "fair week" in str(late.exception)


def test_pause_says_what_it_met_under_way(home: Path) -> None:
    """The incident, the tool in hand and the split; the stop is in force without a controller."""
    shown = mendloop(home, "pause", TARGET, "--reason", "fair week").output

    assert "inc-1 on default/flights: waits for a person: advance_canary; the route says" in shown
    assert "v1 75 %, v2 25 %" in shown
    assert "traffic stays as it is" in shown
    assert KillSwitch(home / "STOP").read(TARGET).active is True


def test_a_pause_that_goes_back_allows_the_undo(home: Path) -> None:
    """What is asked for must not be denied by the guardrail of the same pause."""
    mendloop(home, "pause", "--all", "--reason", "fire", "--in-flight", "go-back")
    switch = KillSwitch(home / "STOP")

    assert switch.wants_back(TARGET) is True
    assert switch.read(TARGET).allows_safe_return is True


def test_a_second_pause_says_whose_the_first_was(home: Path) -> None:
    """And takes its place: the last word counts."""
    mendloop(home, "pause", TARGET, "--reason", "fair week", "--by", "kim")
    shown = mendloop(
        home, "pause", TARGET, "--reason", "go back", "--by", "lee", "--in-flight", "go-back"
    ).output

    assert "it was paused already by kim since" in shown
    assert "(fair week)" in shown
    assert KillSwitch(home / "STOP").wants_back(TARGET) is True
    assert told(home, kinds.TARGET_PAUSED) == ["kim", "lee"]


def test_a_second_resume_says_that_there_was_nothing_to_resume(home: Path) -> None:
    """And writes nothing; what else is paused is named."""
    mendloop(home, "pause", TARGET, "--reason", "x")
    mendloop(home, "pause", "--all", "--reason", "y")
    first = mendloop(home, "resume", "--all", "--by", "kim").output
    assert f"but {TARGET} is paused by its own name" in first

    again = mendloop(home, "resume", "--all")
    assert again.exit_code == 0
    assert "was not paused; nothing is changed" in again.output
    assert told(home, kinds.TARGET_RESUMED) == ["kim"]


def test_a_pause_works_where_the_journal_does_not(home: Path) -> None:
    """Stop first, then write down."""
    (home / "mendloop.db").write_text("not a database " * 100)
    shown = mendloop(home, "pause", "--all", "--reason", "fire")

    assert "everything is paused" in shown.output
    assert "in force but not in the journal" in shown.output
    assert KillSwitch(home / "STOP").read(TARGET).active is True
