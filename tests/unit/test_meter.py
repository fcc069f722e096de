"""What mendloop counts of itself, from what it writes into the journal and asks of its ports."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest

from orchestrator.journal import kinds
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.meter import Meter
from orchestrator.port_watch import watched_port
from orchestrator.time_to_detect import detections
from orchestrator.vital_signs import OpenIncident, VitalSigns
from policies.ruling import Decision, RuleVerdict, Ruling
from tools.errors import Refused, Unavailable
from tools.metrics import FleetMetrics, NoReading, Reading

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
TARGET = "default/parcels"


class Book:
    """A journal whose appends are counted."""

    def __init__(self) -> None:
        self.meter, self.journal, self.now = Meter(), SqliteJournal(":memory:"), NOW

    def write(self, kind: str, incident: str = "inc-1", /, **payload: Any) -> None:
        event = self.journal.append(
            kind, at=self.now, actor="x", target=TARGET, incident=incident, payload=payload
        )
        self.meter.follow(self.journal, [event])

    def value(self, series: str) -> float | None:
        lines = self.meter.exposition().decode().splitlines()
        found = [line.split()[-1] for line in lines if line.rpartition(" ")[0] == series]
        return float(found[0]) if found else None

    def opened(self, goal: str = "g", event_time: str = "2026-01-05T12:00:00") -> None:
        self.write(
            kinds.INCIDENT_OPENED, goal=goal, trigger="t", summary="s", event_time=event_time
        )


@pytest.fixture
def book() -> Book:
    return Book()


def test_an_incident_is_counted_with_its_end_and_how_long_it_took(book: Book) -> None:
    """Time to repair is the wall clock from opening to the goal's holding again."""
    book.opened()
    book.now += timedelta(minutes=5)
    book.write(kinds.INCIDENT_RESOLVED, outcome="undone")

    assert book.value('mendloop_incidents_opened_total{goal="g"}') == 1
    assert book.value('mendloop_incidents_closed_total{goal="g",outcome="undone"}') == 1
    assert book.value('mendloop_time_to_repair_seconds_sum{goal="g"}') == 300


def test_what_a_person_has_to_end_is_no_repair(book: Book) -> None:
    """An escalation must not make the time to repair look good."""
    book.opened()
    book.write(kinds.INCIDENT_ESCALATED, outcome="escalated")

    assert book.value('mendloop_incidents_closed_total{goal="g",outcome="escalated"}') == 1
    assert book.value('mendloop_time_to_repair_seconds_count{goal="g"}') is None


def test_a_denial_is_counted_by_the_rule_that_denied(book: Book) -> None:
    """Whoever wonders why nothing happens sees which rule forbids it."""
    results: dict[str, Literal["passed", "violated", "error"]] = {
        "freeze": "violated",
        "budget": "passed",
        "mine": "error",
    }
    ruling = Ruling(
        decision=Decision.DENY,
        verdicts=tuple(
            RuleVerdict(policy=policy, rule=0, result=result, action="Deny")
            for policy, result in results.items()
        ),
    )
    book.write(
        kinds.GUARD_JUDGED,
        tool="promote",
        stage="acting",
        ruling=ruling.model_dump(mode="json"),
    )

    assert book.value('mendloop_guardrail_denials_total{policy="freeze"}') == 1
    assert book.value('mendloop_guardrail_denials_total{policy="mine"}') == 1
    assert book.value('mendloop_guardrail_denials_total{policy="budget"}') is None
    assert book.value('mendloop_guardrail_rulings_total{ruling="deny"}') == 1


def test_detection_is_timed_from_where_the_trouble_began(book: Book) -> None:
    """A feed by event time; a canary by the clock since its traffic was raised."""
    book.opened(event_time="2026-01-05T12:00:00")
    fault = {"source": "f", "kind": "k", "reason": "r", "since": "2026-01-05T06:00:00"}
    book.write(kinds.DIAGNOSIS_MADE, cause="c", confidence=0.9, evidence={"data": [fault]})
    book.write(kinds.TRAFFIC_SHIFTED, route="r", before={"1": 100}, after={"1": 95, "2": 5})
    book.now += timedelta(seconds=40)
    book.write(kinds.EVIDENCE_JUDGED, question="q", verdict="harmful", reason="r")
    book.write(kinds.TRAFFIC_SHIFTED, route="r", before={"1": 95, "2": 5}, after={"1": 100})

    found = dict(detections(book.journal.events(incident="inc-1")))
    assert found == {"data": 6 * 3600.0, "canary": 40.0}


def test_gauges_forget_what_is_over(book: Book) -> None:
    """A goal without an open incident, a lease that is another's: no stale series."""
    incident = OpenIncident(target=TARGET, goal="g", opened_at=NOW)
    book.meter.take(VitalSigns(targets=2, held=(TARGET,), incidents=(incident,)), now=NOW)
    assert book.value('mendloop_incidents_open{goal="g"}') == 1
    assert book.value(f'mendloop_lease_held{{target="{TARGET}"}}') == 1

    later = NOW + timedelta(seconds=90)
    book.meter.take(VitalSigns(targets=2, incidents=(incident,)), now=later)
    assert book.value("mendloop_oldest_incident_age_seconds") == 90
    assert book.value(f'mendloop_lease_held{{target="{TARGET}"}}') is None

    book.meter.take(VitalSigns(targets=2), now=later)
    assert book.value('mendloop_incidents_open{goal="g"}') is None
    assert book.value("mendloop_oldest_incident_age_seconds") == 0


class Port:
    """Answers as it is told."""

    name = "port"

    def __init__(self, answer: Reading | NoReading | Exception) -> None:
        self._answer = answer

    def read(self, target: str) -> Reading | NoReading:
        """Answer."""
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Unavailable("away"), "Unavailable"),
        (Refused("no"), "Refused"),
        (NoReading(at_s=0, reason="stale"), "NoReading"),
    ],
)
def test_a_port_that_fails_is_counted_and_fails_as_before(
    book: Book, answer: NoReading | Exception, kind: str
) -> None:
    """Watching changes nothing: the same error, the same value."""
    port = watched_port(Port(answer), "metrics", book.meter)
    if isinstance(answer, Exception):
        with pytest.raises(type(answer)):
            port.read(TARGET)
    else:
        assert port.read(TARGET) is answer

    assert book.value(f'mendloop_port_errors_total{{error="{kind}",port="metrics"}}') == 1
    assert book.value('mendloop_port_calls_total{port="metrics"}') == 1


def test_a_watched_port_has_what_the_port_has_and_no_more(book: Book) -> None:
    """Attributes stay attributes; what is missing is missing."""
    port = watched_port(Port(NoReading(at_s=0, reason="")), "metrics", book.meter)

    assert port.name == "port"
    assert not hasattr(port, "write")


class ManyPort(Port):
    """Answers about many with one question."""

    def read_many(self, targets: Collection[str]) -> Mapping[str, Reading | NoReading]:
        """Answer for each."""
        return {target: self.read(target) for target in targets}


def test_what_a_port_can_do_is_seen_through_the_watch(book: Book) -> None:
    """Whoever asks a fleet's port about many asks it once, watched or not."""
    nothing = NoReading(at_s=0, reason="")

    assert isinstance(watched_port(ManyPort(nothing), "metrics", book.meter), FleetMetrics)
    assert not isinstance(watched_port(Port(nothing), "metrics", book.meter), FleetMetrics)
