"""Recorded decisions come out the same when they are made again, and a changed one shows."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stage import Play, Stage, quick_world

from orchestrator.cli.audit import audit
from orchestrator.journal import kinds
from orchestrator.journal.event import Entry, Event
from orchestrator.journal.journal import Journal
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.replay import Replayed, replay_incident
from orchestrator.rules import load_rules
from simulations.faults import no_fault
from simulations.rehearsal import incidents_of
from simulations.releases import Release

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def replayed(journal: Journal, incident: str) -> list[Replayed]:
    """Under the shipped rules, which were in force."""
    rules = load_rules({})
    return replay_incident(journal, incident, {rules.digest: rules.policies})


def played(folder: Path, release: Release) -> Play:
    """A release and what became of it."""
    world = quick_world(folder)
    stage = Stage(world)
    play = Play(world, stage, stage.controller(no_fault))
    play.tick(6)
    world.submit_challenger(release)
    play.until_closed()
    return play


@pytest.mark.parametrize(
    ("release", "outcome"),
    [(Release(error_rate=0.2, slow_rate=0.2), "undone"), (Release(), "promoted")],
    ids=["undone", "promoted"],
)
def test_every_decision_is_made_again_the_same(
    tmp_path: Path, release: Release, outcome: str
) -> None:
    """Plans, diagnoses and verdicts on counts, from the journal alone, to the end of probation."""
    play = played(tmp_path, release)
    (incident,) = incidents_of(play.world)
    found = replayed(play.world.journal, incident.id)
    same = [f.kind for f in found if f.result == "same"]

    assert incident.outcome == outcome
    assert [f for f in found if f.result == "different"] == []
    measured = {f.what for f in found if f.result == "not replayed"}
    assert measured <= {"check_training_serving_skew"}, "its rows stay in the prediction log"
    assert same.count(kinds.EVIDENCE_JUDGED) >= 1
    assert same.count(kinds.PLAN_MADE) >= 1
    assert same.count(kinds.GUARD_JUDGED) >= 4


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The journal of a bad release that was undone."""
    return played(tmp_path_factory.mktemp("bad"), Release(error_rate=0.2)).world.journal.events()


def rewritten(events: list[Event], home: Path, kind: str, **change: Any) -> str:
    """The same journal but for one field of one kind; the incident's name."""
    journal = SqliteJournal(home / "mendloop.db")
    journal.append_many(
        [
            Entry(
                kind=event.kind,
                at=NOW,
                target=event.target,
                incident=event.incident,
                actor=event.actor,
                payload={**event.payload, **(change if event.kind == kind else {})},
            )
            for event in events
        ]
    )
    journal.close()
    return next(event.incident for event in events if event.incident)


CHANGES: list[tuple[str, dict[str, Any], str]] = [
    (kinds.PLAN_MADE, {"cost": 1.0}, '"cost": 1.0'),
    (kinds.DIAGNOSIS_MADE, {"cause": "nothing"}, '"cause": "nothing"'),
    (kinds.GUARD_JUDGED, {"ruling": {"decision": "deny"}}, '"decision": "deny"'),
    (kinds.EVIDENCE_JUDGED, {"verdict": "healthy"}, '"verdict": "healthy"'),
]


@pytest.mark.parametrize(("kind", "change", "line"), CHANGES, ids=[c[0] for c in CHANGES])
def test_a_decision_that_does_not_follow_from_its_inputs_is_shown(
    events: list[Event], tmp_path: Path, kind: str, change: dict[str, Any], line: str
) -> None:
    """As a diff, and the exit code says so: however well the chain was made anew around it."""
    incident = rewritten(events, tmp_path, kind, **change)
    result = CliRunner().invoke(audit, ["replay", incident, "--home", str(tmp_path), "--json"])
    told = json.loads(result.output)
    different = [d for d in told["decisions"] if d["result"] == "different"]

    assert result.exit_code == 1
    assert {d["kind"] for d in different} == {kind}
    assert all(any(part.startswith("-") and line in part for part in d["diff"]) for d in different)


def test_what_cannot_be_replayed_says_why(events: list[Event], tmp_path: Path) -> None:
    """Decisions of an older mendloop, without inputs: neither the same nor different."""
    incident = rewritten(events, tmp_path, kinds.PLAN_MADE, inputs=None)
    result = CliRunner().invoke(audit, ["replay", incident, "--home", str(tmp_path)])

    assert result.exit_code == 0
    assert "not replayed (nothing was searched for" in result.output
