"""Checks every complete window of incoming rows, and remembers which feeds may be believed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from agents.memory import Span, TargetMemory
from agents.ports import Desk
from agents.windows import between, complete_windows, parse
from tools.managed_model import ManagedModel
from tools.prediction_log import LogExtent
from tools.validation import FeedState, ValidationRules, WindowReport, validate_window
from tools.values import Value

if TYPE_CHECKING:
    import pandas as pd

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
    windows = list(complete_windows(after, extent.watermark, model.spec.evidence.window))
    if not windows:
        return memory, ()
    rows = _rows_of(desk, model, memory, windows)
    found: list[ValidatedWindow] = []
    for start, end in windows:
        report = _validate(rows, model, memory, start, end)
        found.append(ValidatedWindow(start=start.isoformat(), end=end.isoformat(), report=report))
        memory = _remember(memory, report, start, end)
    return memory, tuple(found)


def _rows_of(
    desk: Desk,
    model: ManagedModel,
    memory: TargetMemory,
    windows: list[tuple[datetime, datetime]],
) -> pd.DataFrame:
    """The windows' rows and the trusted past they are compared to, in as few queries as can be."""
    import pandas as pd

    columns, (first, last) = model.spec.schema_.names, (windows[0][0], windows[-1][1])
    parts = []
    if memory.trusted_window is not None:
        since, until = (parse(moment) for moment in memory.trusted_window)
        if until == first:
            first = since
        else:
            parts.append(
                desk.log.predictions(model.target, start=since, end=until, columns=columns)
            )
    parts.append(desk.log.predictions(model.target, start=first, end=last, columns=columns))
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]


def _validate(
    rows: pd.DataFrame, model: ManagedModel, memory: TargetMemory, start: datetime, end: datetime
) -> WindowReport:
    previous = None
    if memory.trusted_window is not None:
        since, until = (parse(moment) for moment in memory.trusted_window)
        previous = between(rows, since, until)
    rules = ValidationRules(max_null_rate=model.spec.data.max_null_rate, min_rows=0)
    return validate_window(
        between(rows, start, end), model.spec.schema_, previous=previous, rules=rules
    )


def _remember(
    memory: TargetMemory, report: WindowReport, start: datetime, end: datetime
) -> TargetMemory:
    """Open a span for each fault that began, close those that ended."""
    faulty = {feed.feed: feed for feed in report.feeds if feed.state is FeedState.FAULTY}
    unknown = {feed.feed for feed in report.feeds if feed.state is FeedState.UNKNOWN}
    spans = tuple(
        span
        if span.end
        or span.about != "inputs"
        or span.feed in faulty
        or span.feed in unknown
        or _rows_still_bad(span, report)
        else span.model_copy(update={"end": start.isoformat()})
        for span in memory.spans
    )
    lasting = {span.feed for span in spans if not span.end and span.about == "inputs"}
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
    if report.rows and not any(not s.end and s.about == "inputs" for s in spans):
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
