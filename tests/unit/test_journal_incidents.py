"""The journal folds into incidents, open intents and duplicated effects."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.incidents import duplicated_effects, fold_incidents, open_intents
from orchestrator.journal.narrative import tell
from orchestrator.journal.sqlite import SqliteJournal
from tools.values import canonical_json

START = datetime(2013, 6, 3, 12, tzinfo=UTC)
OPENED = {"trigger": "quality", "summary": "log loss up", "event_time": "2013-06-03"}
STEP = {"key": "k1", "step": 1, "tool": "retrain_full", "agent": "trainer", "undo": "none"}


def written(*lines: tuple[str, dict[str, Any]], incident: str = "inc-1") -> list[Event]:
    """Events one second apart."""
    journal = SqliteJournal(":memory:")
    events = [
        journal.append(
            kind,
            at=START + timedelta(seconds=i),
            target="default/flights",
            incident=incident,
            actor="test",
            payload=payload,
        )
        for i, (kind, payload) in enumerate(lines)
    ]
    journal.close()
    return events


def outcome(result: str, key: str = "k1") -> tuple[str, dict[str, Any]]:
    """A ``step.outcome``."""
    return kinds.STEP_OUTCOME, {"key": key, "tool": "retrain_full", "result": result}


def test_an_incident_tells_what_was_done_and_how_it_ended() -> None:
    """Trigger, latest diagnosis, actions with their times, outcome."""
    (incident,) = fold_incidents(
        written(
            (kinds.INCIDENT_OPENED, OPENED),
            (kinds.DIAGNOSIS_MADE, {"cause": "covariate_drift", "confidence": 0.5}),
            (kinds.DIAGNOSIS_MADE, {"cause": "concept_drift", "confidence": 0.9}),
            (kinds.STEP_INTENDED, STEP),
            outcome("applied"),
            (kinds.STEP_VERIFIED, {"key": "k1", "tool": "retrain_full", "verdict": "holds"}),
            (kinds.INCIDENT_RESOLVED, {"outcome": "promoted", "event_time": "2013-06-09"}),
        )
    )

    assert (incident.trigger, incident.diagnosis) == ("quality", "concept_drift")
    assert (incident.status, incident.outcome) == ("resolved", "promoted")
    assert incident.detected_at.startswith("2013-06-03T12:00:00")
    assert incident.resolved_at.startswith("2013-06-03T12:00:06")
    assert (incident.event_time, incident.resolved_event_time) == ("2013-06-03", "2013-06-09")
    (action,) = incident.actions
    assert (action.tool, action.outcome, action.verdict) == ("retrain_full", "applied", "holds")
    assert (action.started[17:19], action.finished[17:19]) == ("03", "04")


@pytest.mark.parametrize(
    ("after", "status"),
    [
        ([], "open"),
        ([(kinds.INCIDENT_WAITING, {"reason": "labels"})], "waiting"),
        ([(kinds.INCIDENT_WAITING, {"reason": "labels"}), (kinds.INCIDENT_RESUMED, {})], "open"),
        ([(kinds.INCIDENT_ESCALATED, {})], "escalated"),
        ([(kinds.INCIDENT_ESCALATED, {}), (kinds.INCIDENT_RESUMED, {})], "open"),
    ],
)
def test_status_follows_the_last_turn(after: list[tuple[str, dict[str, Any]]], status: str) -> None:
    """Waiting and escalated incidents can be taken up again."""
    (incident,) = fold_incidents(written((kinds.INCIDENT_OPENED, OPENED), *after))

    assert incident.status == status
    assert bool(incident.resolved_at) == (status == "escalated")


def test_an_outcome_belongs_to_the_latest_intent_of_its_key() -> None:
    """Retried under the same key: the first stays as it ended."""
    (incident,) = fold_incidents(
        written(
            (kinds.INCIDENT_OPENED, OPENED),
            (kinds.STEP_INTENDED, STEP),
            outcome("unavailable"),
            (kinds.STEP_INTENDED, {**STEP, "attempt": 2}),
            outcome("applied"),
        )
    )

    assert [action.outcome for action in incident.actions] == ["unavailable", "applied"]


def test_an_intent_without_outcome_is_open() -> None:
    """What a new controller must look at first."""
    events = written(
        (kinds.STEP_INTENDED, STEP),
        outcome("applied"),
        (kinds.STEP_INTENDED, {**STEP, "key": "k2"}),
    )

    assert [event.payload["key"] for event in open_intents(events)] == ["k2"]
    assert len(open_intents(events[:1])) == 1


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["applied", "already"]))))
def test_only_a_second_application_counts_as_duplicated(results: list[tuple[str, str]]) -> None:
    """Finding it done already is what is supposed to happen."""
    events = written(*(outcome(result, key) for key, result in results))
    twice = sum(1 for key in "ab" if results.count((key, "applied")) > 1)

    assert duplicated_effects(events) == twice


def test_events_of_no_incident_are_left_out() -> None:
    """Windows and leases are no incidents."""
    assert fold_incidents(written((kinds.LEASE_ACQUIRED, {"holder": "a", "token": 1}))) == []


EXAMPLES: dict[str, tuple[dict[str, Any], str]] = {
    kinds.DIAGNOSIS_MADE: (
        {"cause": "data_fault", "confidence": 0.9, "reasons": ["weather repeats"]},
        "diagnosis: data_fault (90% confident)",
    ),
    kinds.TRAFFIC_SHIFTED: (
        {"route": "flights", "before": {"1": 100}, "after": {"1": 95, "2": 5}},
        "traffic of flights: v1 100 % -> v1 95 %, v2 5 %",
    ),
    kinds.PLAN_MADE: (
        {
            "goal": "quality is meets",
            "steps": [{"tool": "retrain_full", "agent": "trainer"}],
            "rejected": [{"tool": "switch_back", "reason": "no former version"}],
        },
        "plan (cost 0): retrain_full",
    ),
    kinds.STEP_OUTCOME: (
        {"key": "k", "tool": "promote", "result": "applied", "detail": "v2 is champion"},
        "promote: applied",
    ),
}


@pytest.mark.parametrize("kind", EXAMPLES)
def test_events_read_as_sentences(kind: str) -> None:
    """What an operator reads in the timeline."""
    payload, sentence = EXAMPLES[kind]

    assert tell(written((kind, payload))[0]).what == sentence


def test_rejected_alternatives_are_part_of_the_story() -> None:
    """Why a plan was chosen includes why others were not."""
    told = tell(written((kinds.PLAN_MADE, EXAMPLES[kinds.PLAN_MADE][0]))[0])

    assert "not switch_back: no former version" in told.why


def test_control_characters_do_not_reach_the_terminal() -> None:
    """A message from outside must not command the operator's screen."""
    reason = "\x1b[2Jgone\r\x07"
    told = tell(written((kinds.TARGET_PAUSED, {"by": "kim", "reason": reason}))[0])

    assert all(text.isprintable() for text in (told.what, *told.why))


def test_an_event_of_another_shape_is_told_as_it_stands() -> None:
    """An older or newer writer's event is shown, not hidden and no error."""
    (event,) = written((kinds.TARGET_RESUMED, {"by": "kim"}))
    foreign = event.model_copy(update={"payload": {"who": "kim"}})

    assert tell(foreign).why == ('{"who":"kim"}',)


TEXT = st.text(st.characters(codec="utf-8"))
"""What UTF-8 can say: no halves of characters."""

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


@given(JSON)
def test_canonical_json_has_one_spelling(value: Any) -> None:
    """Reading it back and writing it again changes nothing, whatever the order of keys."""
    text = canonical_json(value)
    again = json.loads(text)
    if isinstance(again, dict):
        again = dict(reversed(again.items()))

    assert canonical_json(again) == text


@given(st.dictionaries(TEXT, JSON, max_size=4))
def test_any_json_payload_is_chained_and_verifies(facts: dict[str, Any]) -> None:
    """Hashing spells the event out by hand: it must agree with the JSON library."""
    journal = SqliteJournal(":memory:")
    event = journal.append(
        kinds.INCIDENT_OPENED, at=START, actor="x", payload={**OPENED, "facts": facts}
    )
    content = event.hashed()

    assert journal.verify().ok
    assert hashlib.sha256(canonical_json(content).encode()).hexdigest() == event.hash
    journal.close()
