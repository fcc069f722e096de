"""Traces follow from the journal: one per incident, whole after restarts, at nobody's cost."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from orchestrator.journal import kinds
from orchestrator.journal.attended import AttendedJournal
from orchestrator.journal.event import Event, trace_id_of
from orchestrator.journal.settings import JournalSettings
from orchestrator.telemetry import Telemetry, node_began, telemetry_from

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)
RULING = {"decision": "allow", "verdicts": []}
STORY: list[tuple[str, str, dict[str, Any]]] = [
    (kinds.INCIDENT_OPENED, "monitor", {"goal": "g", "trigger": "t", "summary": "s"}),
    (kinds.DIAGNOSIS_MADE, "monitor", {"cause": "bad_release", "confidence": 0.9}),
    (kinds.PLAN_MADE, "orchestrator", {"goal": "g", "steps": []}),
    (
        kinds.GUARD_JUDGED,
        "policies",
        {"tool": "roll_back", "stage": "acting", "ruling": RULING, "policies": "abc"},
    ),
    (
        kinds.STEP_INTENDED,
        "deployer",
        {"key": "k1", "step": 1, "tool": "roll_back", "agent": "deployer", "arguments": {"a": 1}},
    ),
    (kinds.STEP_OUTCOME, "deployer", {"key": "k1", "tool": "roll_back", "result": "applied"}),
    (kinds.STEP_VERIFIED, "deployer", {"key": "k1", "tool": "roll_back", "verdict": "holds"}),
    (kinds.INCIDENT_RESOLVED, "orchestrator", {"outcome": "undone", "summary": "roll_back"}),
]


def opened(home: Path, tracing: Telemetry | None) -> AttendedJournal:
    """The home's journal, as a controller opens it."""
    return AttendedJournal(
        home / "mendloop.db", at=NOW, settings=JournalSettings(), tracing=tracing
    )


def told(journal: AttendedJournal, begin: int = 0, end: int = len(STORY)) -> list[Event]:
    """A part of the story, a second between two events."""
    return [
        journal.append(
            kind,
            at=NOW + timedelta(seconds=place),
            actor=actor,
            payload=payload,
            target="default/flights",
            incident="inc-1",
        )
        for place, (kind, actor, payload) in list(enumerate(STORY))[begin:end]
    ]


def ids(span: ReadableSpan) -> tuple[str, str]:
    """The span's own id and its parent's, as the journal writes them."""
    assert span.context is not None
    return f"{span.context.span_id:016x}", f"{span.parent.span_id:016x}" if span.parent else ""


def test_an_incident_is_one_trace_of_spans_named_by_their_events(tmp_path: Path) -> None:
    """Incident, diagnosis, plan, guardrail, tool call, verification: ids, times and names."""
    exporter = InMemorySpanExporter()
    tracing = Telemetry(exporter)
    journal = opened(tmp_path, tracing)
    events = told(journal)
    tracing.flush()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    journal.close()
    by_kind = {event.kind: event.id for event in events}
    root = by_kind[kinds.INCIDENT_OPENED]

    assert {name: ids(span) for name, span in spans.items()} == {
        "diagnose": (by_kind[kinds.DIAGNOSIS_MADE], root),
        "plan": (by_kind[kinds.PLAN_MADE], root),
        "guardrail roll_back": (by_kind[kinds.GUARD_JUDGED], root),
        "execute_tool roll_back": (by_kind[kinds.STEP_INTENDED], root),
        "verify roll_back": (by_kind[kinds.STEP_VERIFIED], by_kind[kinds.STEP_INTENDED]),
        "invoke_agent mendloop": (root, ""),
    }
    assert {f"{s.context.trace_id:032x}" for s in spans.values() if s.context} == {
        trace_id_of("inc-1")
    }
    call = spans["execute_tool roll_back"]
    assert call.attributes is not None
    assert call.attributes["gen_ai.operation.name"] == "execute_tool"
    assert call.attributes["gen_ai.tool.name"] == "roll_back"
    assert call.attributes["gen_ai.tool.call.id"] == "k1"
    assert call.attributes["gen_ai.agent.name"] == "deployer"
    assert (call.end_time or 0) - (call.start_time or 0) == 1_000_000_000
    whole = spans["invoke_agent mendloop"]
    assert (whole.end_time or 0) - (whole.start_time or 0) == 7_000_000_000
    assert whole.resource.attributes["service.name"] == "mendloop"


def test_a_restart_leaves_one_trace(tmp_path: Path) -> None:
    """The intent was written by a controller that died: the span begins where the intent does."""
    exporter = InMemorySpanExporter()
    for begin, end in ((0, 5), (5, len(STORY))):
        tracing = Telemetry(exporter)
        journal = opened(tmp_path, tracing)
        told(journal, begin, end)
        tracing.flush()
        spans = {span.name: span for span in exporter.get_finished_spans()}
        journal._courier.close()  # killed: nothing is closed in order

    assert {s.context.trace_id for s in spans.values() if s.context} == {
        int(trace_id_of("inc-1"), 16)
    }
    call = spans["execute_tool roll_back"]
    assert (call.end_time or 0) - (call.start_time or 0) == 1_000_000_000
    assert ids(call)[1] == ids(spans["invoke_agent mendloop"])[0] == ids(spans["plan"])[1]


def test_what_failed_shows_as_an_error(tmp_path: Path) -> None:
    """A refused call and an incident that needs a person."""
    exporter = InMemorySpanExporter()
    tracing = Telemetry(exporter)
    journal = opened(tmp_path, tracing)
    told(journal, 0, 5)
    common: dict[str, Any] = {"at": NOW, "actor": "x", "incident": "inc-1"}
    refused = {"key": "k1", "tool": "roll_back", "result": "refused", "detail": "frozen"}
    journal.append(kinds.STEP_OUTCOME, payload=refused, **common)
    journal.append(kinds.INCIDENT_ESCALATED, payload={"summary": "nothing left"}, **common)
    tracing.flush()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    journal.close()

    for name, why in (("execute_tool roll_back", "frozen"), ("invoke_agent mendloop", "nothing")):
        assert spans[name].status.status_code is StatusCode.ERROR
        assert why in (spans[name].status.description or "")


def test_a_decision_lasts_from_the_beginning_of_its_node(tmp_path: Path) -> None:
    """Planning and judging have a duration where the graph took note of it."""
    exporter = InMemorySpanExporter()
    tracing = Telemetry(exporter)
    journal = opened(tmp_path, tracing)
    token = node_began.set(NOW + timedelta(seconds=1.5))
    told(journal, 0, 3)
    node_began.reset(token)
    tracing.flush()
    plan = {span.name: span for span in exporter.get_finished_spans()}["plan"]
    journal.close()

    assert (plan.end_time or 0) - (plan.start_time or 0) == 500_000_000


class Receiver(http.server.BaseHTTPRequestHandler):
    """What a collector does at its HTTP door."""

    received: list[ExportTraceServiceRequest]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            raise AssertionError("compression was not asked for")
        self.received.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


@pytest.fixture
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Address of a collector, and what it received."""
    received: list[ExportTraceServiceRequest] = []
    handler = type("Handler", (Receiver,), {"received": received})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()
    server.server_close()
    thread.join()


def test_spans_reach_a_collector_by_otlp_over_http(
    tmp_path: Path,
    collector: tuple[str, list[ExportTraceServiceRequest]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the standard environment variables say; closing the journal sends the rest."""
    address, received = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    tracing = telemetry_from({"OTEL_EXPORTER_OTLP_ENDPOINT": address})
    assert tracing is not None
    journal = opened(tmp_path, tracing)
    told(journal)
    journal.close()
    names = {
        span.name
        for request in received
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    }

    assert {"invoke_agent mendloop", "execute_tool roll_back", "plan"} <= names


def test_a_collector_that_is_down_delays_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Appends go on at once, and closing takes a moment, not the exporter's patience."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    tracing = telemetry_from({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"})
    journal = opened(tmp_path, tracing)
    began_s = time.monotonic()
    told(journal)
    journal.close()

    assert time.monotonic() - began_s < 9.0


@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"}],
    ids=["unset", "disabled"],
)
def test_nothing_is_traced_unless_asked_for(environment: dict[str, str]) -> None:
    """No endpoint, no spans."""
    assert telemetry_from(environment) is None


def test_opentelemetry_is_not_even_imported_without_an_endpoint() -> None:
    """Zero cost."""
    code = (
        "import sys, os; from orchestrator.telemetry import telemetry_from;"
        "assert telemetry_from({}) is None;"
        "print(sorted(m for m in sys.modules if m.startswith('opentelemetry')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
