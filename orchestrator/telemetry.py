"""Traces of incidents by OpenTelemetry: derived from the journal's events, under the same ids.

A trace is an incident; its id follows from the incident's name, and a span's id is the id of the
journal event that began it. So the spans of an incident stay together however many controllers it
outlives, and a span leads straight to its event. Names and attributes are those of the GenAI agent
conventions where they fit (``invoke_agent``, ``execute_tool``).

Nothing of OpenTelemetry is loaded unless OTEL_EXPORTER_OTLP_ENDPOINT (or the one for traces alone)
is set. Spans are handed to a bounded queue; a collector that is down delays nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog

from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.journal import Journal
from orchestrator.span_words import SPANS, tell_span
from tools.errors import MendloopError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
CLOSING_S = 2.0
"""How long the end of mendloop waits for the last spans to leave."""

node_began: ContextVar[datetime | None] = ContextVar("node_began", default=None)
"""When the work began whose result is journalled now: planning, judging, diagnosing."""

_log = structlog.get_logger()


class Telemetry:
    """Makes spans of what was appended to the journal."""

    def __init__(self, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: "mendloop"}
        self._ids = _given_ids()
        self._provider = TracerProvider(
            id_generator=self._ids, resource=Resource.create(named), shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("mendloop")
        self._lock = threading.Lock()

    def follow(self, journal: Journal, events: Sequence[Event]) -> None:
        """Export what these events end; an event that cannot be traced is left out."""
        for event in events:
            if event.incident and event.kind in SPANS:
                try:
                    self._export(journal, event)
                except MendloopError as error:
                    _log.warning("trace.incomplete", event=event.seq, reason=str(error))

    def flush(self) -> None:
        """Wait until what was handed over has been exported."""
        self._provider.force_flush()

    def close(self) -> None:
        """Export the rest if that is quick: a collector that is down must not hold the end up."""
        ending = threading.Thread(target=self._provider.shutdown, name="telemetry", daemon=True)
        ending.start()
        ending.join(timeout=CLOSING_S)

    def _export(self, journal: Journal, event: Event) -> None:
        before = journal.events(
            incident=event.incident,
            kinds=[kinds.INCIDENT_OPENED, kinds.STEP_INTENDED, kinds.STEP_OUTCOME],
        )
        told = tell_span(event, before, began=node_began.get())
        if told is None:
            return
        context = self._context(event.trace_id, told.parent)
        with self._lock:
            self._ids.trace, self._ids.span = int(event.trace_id, 16), int(told.span, 16)
            span = self._tracer.start_span(
                told.name,
                context=context,
                start_time=_nanoseconds(told.start),
                attributes=dict(told.attributes),
            )
        if told.fault:
            from opentelemetry.trace import Status, StatusCode

            span.set_status(Status(StatusCode.ERROR, told.fault))
        span.end(end_time=_nanoseconds(told.end))

    def _context(self, trace: str, parent: str) -> Context:
        from opentelemetry import trace as api
        from opentelemetry.context import Context

        if not parent:
            return Context()
        above = api.SpanContext(
            trace_id=int(trace, 16),
            span_id=int(parent, 16),
            is_remote=True,
            trace_flags=api.TraceFlags(api.TraceFlags.SAMPLED),
        )
        return api.set_span_in_context(api.NonRecordingSpan(above), Context())


def telemetry_from(environment: Mapping[str, str]) -> Telemetry | None:
    """Tracing as the environment configures it; None when it does not, at no cost."""
    if not any(environment.get(name) for name in ENDPOINTS):
        return None
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError:
        _log.warning("telemetry.missing", reason="an endpoint is set; install `mendloop[otel]`")
        return None
    return Telemetry(OTLPSpanExporter())


def _given_ids() -> Any:
    """An id generator that gives out the journal's ids, one span at a time."""
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class GivenIds(IdGenerator):
        trace = span = 0

        def generate_trace_id(self) -> int:
            return self.trace

        def generate_span_id(self) -> int:
            return self.span

    return GivenIds()


def _nanoseconds(at: str) -> int:
    """Since the epoch; the journal's times have microseconds, which a float would round."""
    moment = datetime.fromisoformat(at)
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000
