"""Decides whether a window of rows may be trusted: schema, nulls, ranges, freshness and units.

The same function says that a feed is healthy again: it judges what really arrived (the raw values
of the prediction log), never what serving made of it. A feed is trusted, faulty since an event
time for stated reasons, or unknown because too few rows speak.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import pandas as pd

from tools.errors import Invalid
from tools.schema import FeatureSchema
from tools.statistics.profile import Profile
from tools.validation_columns import ColumnReport, check_columns
from tools.validation_feeds import FeedReport, FeedState, check_feeds, check_units
from tools.validation_rules import FaultKind, ValidationRules, WindowFault
from tools.values import Value

__all__ = [
    "ColumnReport",
    "FaultKind",
    "FeedReport",
    "FeedState",
    "ValidationRules",
    "WindowFault",
    "WindowReport",
    "WindowState",
    "validate_window",
]

LOG_COLUMNS = frozenset(
    {"request_id", "event_time", "version", "probability", "masked", "served_at", "label"}
    | {"known_at"}
)
"""What the prediction log adds to a row; never counted as foreign columns."""


class WindowState(StrEnum):
    """UNKNOWN: nothing is wrong with what is there, but too little is there."""

    TRUSTED = "trusted"
    FAULTY = "faulty"
    UNKNOWN = "unknown"


class WindowReport(Value):
    """What a window was found to be. ``faults`` are of the window, feeds carry their own."""

    rows: int
    start: datetime | None
    end: datetime | None
    faults: tuple[WindowFault, ...]
    columns: tuple[ColumnReport, ...]
    feeds: tuple[FeedReport, ...]

    @property
    def state(self) -> WindowState:
        """The window as a whole: faulty when anything is, unknown when nothing speaks."""
        if self.faults or any(f.state is FeedState.FAULTY for f in self.feeds):
            return WindowState.FAULTY
        if not self.rows or any(f.state is FeedState.UNKNOWN for f in self.feeds):
            return WindowState.UNKNOWN
        return WindowState.TRUSTED

    @property
    def reasons(self) -> tuple[str, ...]:
        """Every fault as a sentence, the feeds' included."""
        feeds = tuple(reason for feed in self.feeds for reason in feed.reasons)
        return tuple(fault.reason for fault in self.faults) + feeds

    def feed(self, name: str) -> FeedReport:
        """The report of one feed; Invalid when the schema declares no such feed."""
        for feed in self.feeds:
            if feed.feed == name:
                return feed
        raise Invalid(f"no feed {name}; known: {', '.join(f.feed for f in self.feeds)}")


def validate_window(
    frame: pd.DataFrame,
    schema: FeatureSchema,
    *,
    previous: pd.DataFrame | None = None,
    reference: Profile | None = None,
    rules: ValidationRules | None = None,
    time: str = "event_time",
    as_of: datetime | None = None,
) -> WindowReport:
    """Check the rows of one window.

    ``frame`` and ``previous`` (the last trusted window, or several days of them: changed units are
    judged against it, and a freeze may reach back into it) hold rows of the prediction log or of a
    training table; ``time`` names their event time. ``reference`` adds checks of categories never
    seen. ``as_of`` is the event time that the log has reached. Pure: nothing is read or changed.
    """
    rules = rules or ValidationRules()
    frame = _with_time(frame, time)
    previous = None if previous is None or not len(previous) else _with_time(previous, time)
    faults = [*_row_faults(frame, rules), *_column_set_faults(frame, schema, rules, time)]
    faults += _label_faults(frame, rules)
    faults += _age_faults(frame, rules, time, as_of)
    columns, column_faults = check_columns(frame, schema, rules, reference)
    column_faults += check_units(frame, previous, schema, time)
    moments = frame[time] if len(frame) else None
    return WindowReport(
        rows=len(frame),
        start=None if moments is None else moments.min().to_pydatetime(),
        end=None if moments is None else moments.max().to_pydatetime(),
        faults=(*faults, *column_faults),
        columns=columns,
        feeds=check_feeds(frame, previous, schema, rules, time),
    )


def _with_time(frame: pd.DataFrame, time: str) -> pd.DataFrame:
    if time not in frame.columns:
        raise Invalid(f"no column {time}: every row needs its event time", field=time)
    is_read = pd.api.types.is_datetime64_any_dtype(frame[time])
    if is_read:
        moments = frame[time]
    else:
        try:
            moments = pd.to_datetime(frame[time], format="ISO8601")
        except (ValueError, TypeError) as error:
            raise Invalid(f"not all values are ISO 8601 times: {error}", field=time) from error
    if moments.isna().any():
        raise Invalid(f"{int(moments.isna().sum())} rows have no event time", field=time)
    if moments.dt.tz is not None:
        return frame.assign(**{time: moments.dt.tz_convert("UTC").dt.tz_localize(None)})
    return frame if is_read else frame.assign(**{time: moments})


def _row_faults(frame: pd.DataFrame, rules: ValidationRules) -> list[WindowFault]:
    if len(frame) >= rules.min_rows:
        return []
    reason = f"{len(frame)} rows, at least {rules.min_rows} are needed"
    return [WindowFault(kind=FaultKind.ROW_COUNT, columns=(), reason=reason)]


def _column_set_faults(
    frame: pd.DataFrame, schema: FeatureSchema, rules: ValidationRules, time: str
) -> list[WindowFault]:
    present = set(map(str, frame.columns))
    allowed = {*schema.names, *LOG_COLUMNS, *rules.known_columns, schema.time_column, time}
    found = {
        FaultKind.MISSING_COLUMN: set(schema.names) - present,
        FaultKind.FORBIDDEN_COLUMN: set(schema.forbidden) & present,
        FaultKind.EXTRA_COLUMN: present - allowed - set(schema.forbidden),
    }
    says = {
        FaultKind.MISSING_COLUMN: "columns of the schema are missing",
        FaultKind.FORBIDDEN_COLUMN: "columns that are known only after the event (they leak)",
        FaultKind.EXTRA_COLUMN: "columns that the schema does not know",
    }
    return [
        WindowFault(
            kind=kind,
            columns=tuple(sorted(names)),
            reason=f"{says[kind]}: {', '.join(sorted(names))}",
        )
        for kind, names in found.items()
        if names
    ]


def _label_faults(frame: pd.DataFrame, rules: ValidationRules) -> list[WindowFault]:
    if rules.min_label_rate is None or not len(frame):
        return []
    if rules.label not in frame.columns:
        reason = f"no label column {rules.label}: join the labels before validating"
        return [WindowFault(kind=FaultKind.LABEL_RATE, columns=(rules.label,), reason=reason)]
    rate = float(frame[rules.label].notna().mean())
    if rate >= rules.min_label_rate:
        return []
    reason = f"{rate:.1%} of the rows have a label, at least {rules.min_label_rate:.1%} are needed"
    return [WindowFault(kind=FaultKind.LABEL_RATE, columns=(rules.label,), reason=reason)]


def _age_faults(
    frame: pd.DataFrame, rules: ValidationRules, time: str, as_of: datetime | None
) -> list[WindowFault]:
    if rules.max_age_hours is None or as_of is None or not len(frame):
        return []
    newest = frame[time].max().to_pydatetime()
    age = (as_of - newest).total_seconds() / 3600
    if age <= rules.max_age_hours:
        return []
    reason = f"the newest row is {age:.1f} h old at {as_of:%Y-%m-%d %H:%M}, at most "
    reason += f"{rules.max_age_hours:g} h are allowed"
    return [WindowFault(kind=FaultKind.AGE, columns=(time,), reason=reason)]
