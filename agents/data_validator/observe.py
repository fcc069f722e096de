"""Checks every complete window of incoming rows, and remembers which feeds may be believed."""

from __future__ import annotations

from datetime import datetime, timedelta

from agents.memory import Span, TargetMemory
from agents.ports import Desk
from agents.windows import complete_windows, parse
from tools.managed_model import ManagedModel
from tools.prediction_log import LogExtent
from tools.validation import FeedState, ValidationRules, WindowReport, validate_window
from tools.values import Value

TRUSTED_DAYS = timedelta(days=3)
"""How much trusted past a window is compared to: a few rounds of the day, not a season."""

ROWS = ""
"""Stands for the feed where the rows themselves (columns, types, nulls) are at fault."""


class ValidatedWindow(Value):
    """One window as it was found."""

    start: str
    end: str
    report: WindowReport


def validate_new_windows(
    desk: Desk, model: ManagedModel, memory: TargetMemory, extent: LogExtent
) -> tuple[TargetMemory, tuple[ValidatedWindow, ...]]:
    """Check the windows completed since the last look; the memory that follows."""
    if extent.first is None or extent.watermark is None:
        return memory, ()
    after = parse(memory.validated_until) if memory.validated_until else extent.first
    found: list[ValidatedWindow] = []
    for start, end in complete_windows(after, extent.watermark, model.spec.evidence.window):
        report = _validate(desk, model, memory, start, end)
        found.append(ValidatedWindow(start=start.isoformat(), end=end.isoformat(), report=report))
        memory = _remember(memory, report, start, end)
    return memory, tuple(found)


def _validate(
    desk: Desk, model: ManagedModel, memory: TargetMemory, start: datetime, end: datetime
) -> WindowReport:
    schema = model.spec.schema_
    columns = schema.names
    frame = desk.log.predictions(model.target, start=start, end=end, columns=columns)
    previous = None
    if memory.trusted_window is not None:
        since, until = (parse(moment) for moment in memory.trusted_window)
        previous = desk.log.predictions(model.target, start=since, end=until, columns=columns)
    rules = ValidationRules(max_null_rate=model.spec.data.max_null_rate, min_rows=0)
    return validate_window(frame, schema, previous=previous, rules=rules)


def _remember(
    memory: TargetMemory, report: WindowReport, start: datetime, end: datetime
) -> TargetMemory:
    """Open a span for each fault that began, close those that ended."""
    faulty = {feed.feed: feed for feed in report.feeds if feed.state is FeedState.FAULTY}
    unknown = {feed.feed for feed in report.feeds if feed.state is FeedState.UNKNOWN}
    spans = tuple(
        span
        if span.end or span.feed in faulty or span.feed in unknown or _rows_still_bad(span, report)
        else span.model_copy(update={"end": start.isoformat()})
        for span in memory.spans
    )
    lasting = {span.feed for span in spans if not span.end}
    opened = [
        Span(
            feed=name,
            start=(feed.since or start).isoformat(),
            reasons=feed.reasons,
        )
        for name, feed in sorted(faulty.items())
        if name not in lasting
    ]
    if report.faults and ROWS not in lasting:
        reasons = tuple(fault.reason for fault in report.faults)
        opened.append(Span(feed=ROWS, start=start.isoformat(), reasons=reasons))
    spans = (*spans, *opened)
    change: dict[str, object] = {"validated_until": end.isoformat(), "spans": spans}
    if report.rows and not any(not span.end for span in spans):
        change["trusted_window"] = _trusted(memory, start, end)
    return memory.model_copy(update=change)


def _rows_still_bad(span: Span, report: WindowReport) -> bool:
    return span.feed == ROWS and bool(report.faults or not report.rows)


def _trusted(memory: TargetMemory, start: datetime, end: datetime) -> tuple[str, str]:
    """The trusted past that ends here: without a gap, and at most a few days of it."""
    since = start
    if memory.trusted_window is not None and memory.trusted_window[1] == start.isoformat():
        since = max(parse(memory.trusted_window[0]), end - TRUSTED_DAYS)
    return since.isoformat(), end.isoformat()
