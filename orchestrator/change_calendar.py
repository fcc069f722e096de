"""``kind: ChangeCalendar``: when nothing may be changed, in the time zone of those who say so.

A freeze holds from the first occurrence of its beginning to the last of its end: where clocks are
put back, the doubtful hour is frozen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, NaiveDatetime, field_validator, model_validator

from orchestrator.local_time import instant
from policies.context import CalendarContext
from policies.document import PolicyMetadata
from tools.managed_model import checked_zone
from tools.schema import DocumentValue

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
Span = tuple[datetime, datetime]


def _time_of_day(value: Any) -> Any:
    """YAML reads an unquoted 16:00 as a number of base 60."""
    if type(value) is int and 0 <= value < 24 * 60:
        return time(*divmod(value, 60))
    return value


def _day_and_time(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    day, _, clock = value.strip().lower().partition(" ")
    if day not in WEEKDAYS:
        raise ValueError(f"expected a weekday and a time such as friday 16:00, got {value!r}")
    return timedelta(days=WEEKDAYS.index(day)) + _since_midnight(time.fromisoformat(clock.strip()))


def _since_midnight(clock: time) -> timedelta:
    return datetime.combine(date.min, clock) - datetime.combine(date.min, time())


TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]


class Daily(DocumentValue):
    """Every day; an end that is not after the beginning is on the next day."""

    start: TimeOfDay = Field(alias="from")
    until: TimeOfDay


class Weekly(DocumentValue):
    """Every week, for example from ``friday 16:00`` until ``monday 08:00``."""

    start: str = Field(alias="from")
    until: str

    @field_validator("start", "until")
    @classmethod
    def _is_a_moment(cls, text: str) -> str:
        _day_and_time(text)
        return text


class FreezeWindow(DocumentValue):
    """When nothing is changed: once (``from``, ``until``), ``weekly`` or ``daily``; local times."""

    name: str = Field(min_length=1)
    start: NaiveDatetime | None = Field(default=None, alias="from")
    until: NaiveDatetime | None = None
    weekly: Weekly | None = None
    daily: Daily | None = None

    @model_validator(mode="after")
    def _one_shape(self) -> Self:
        once = self.start is not None and self.until is not None
        half = (self.start is None) != (self.until is None)
        shapes = sum((once, self.weekly is not None, self.daily is not None))
        if half or shapes != 1:
            raise ValueError("expected either from and until, or weekly, or daily")
        if self.start is not None and self.until is not None and self.until <= self.start:
            raise ValueError("until must be after from")
        return self

    def around(self, now: datetime) -> Iterator[Span]:
        """Local beginnings and ends of the occurrences that ``now`` (local) may lie in."""
        midnight = datetime.combine(now.date(), time())
        if self.start is not None and self.until is not None:
            yield self.start, self.until
        if self.daily is not None:
            begin, end = (_since_midnight(t) for t in (self.daily.start, self.daily.until))
            yield from _repeated(midnight, begin, end, timedelta(days=1))
        if self.weekly is not None:
            monday = midnight - timedelta(days=midnight.weekday())
            begin, end = _day_and_time(self.weekly.start), _day_and_time(self.weekly.until)
            yield from _repeated(monday, begin, end, timedelta(days=7))


class Holiday(DocumentValue):
    """Whole local days."""

    name: str = Field(min_length=1)
    dates: tuple[date, ...] = Field(min_length=1)
    frozen: bool = False
    """Whether nothing is changed on it; otherwise rules may read that it is one."""


class ChangeCalendarSpec(DocumentValue):
    """The ``spec`` of a ChangeCalendar."""

    description: str = ""
    time_zone: str
    """IANA name, such as ``Europe/Berlin``."""
    targets: tuple[str, ...] = Field(default=("*",), min_length=1)
    """``namespace/name`` or globs; ``*`` also crosses the slash."""
    freezes: tuple[FreezeWindow, ...] = ()
    holidays: tuple[Holiday, ...] = ()

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, name: str) -> str:
        return checked_zone(name)


class ChangeCalendar(DocumentValue):
    """When nothing may be changed."""

    api_version: Literal["mendloop.dev/v1alpha1"]
    kind: Literal["ChangeCalendar"]
    metadata: PolicyMetadata
    spec: ChangeCalendarSpec

    def freezes_at(self, now: datetime) -> list[tuple[str, datetime]]:
        """Names of the freezes in force at ``now``, each with its end in UTC."""
        zone = ZoneInfo(self.spec.time_zone)
        local = now.astimezone(zone).replace(tzinfo=None)
        spans = [(w.name, span) for w in self.spec.freezes for span in w.around(local)]
        spans += [(h.name, _whole(day)) for h in self.spec.holidays if h.frozen for day in h.dates]
        found: dict[str, datetime] = {}
        for name, (start, until) in spans:
            end = instant(until, zone, last=True)
            if instant(start, zone, last=False) <= now < end:
                found[name] = max(end, found.get(name, end))
        return list(found.items())

    def holidays_at(self, now: datetime) -> list[str]:
        """Names of the holidays that the local day is."""
        today = now.astimezone(ZoneInfo(self.spec.time_zone)).date()
        return [holiday.name for holiday in self.spec.holidays if today in holiday.dates]


def calendar_at(
    calendars: Sequence[ChangeCalendar], target: str, time_zone: str, now: datetime
) -> CalendarContext:
    """What rules may read about the day: of every calendar that names the target."""
    mine = [c for c in calendars if any(fnmatchcase(target, glob) for glob in c.spec.targets)]
    frozen = [(f"{c.metadata.name}: {name}", end) for c in mine for name, end in c.freezes_at(now)]
    local = now.astimezone(ZoneInfo(time_zone))
    return CalendarContext(
        time_zone=time_zone,
        local_time=local.isoformat(timespec="seconds"),
        weekday=WEEKDAYS[local.weekday()],
        hour=local.hour,
        freezes=tuple(name for name, _ in frozen),
        frozen_until=max((end for _, end in frozen), default=None),
        holidays=tuple(f"{c.metadata.name}: {h}" for c in mine for h in c.holidays_at(now)),
    )


def _repeated(base: datetime, begin: timedelta, end: timedelta, every: timedelta) -> Iterator[Span]:
    """The occurrence that began last before ``base`` and the one after it."""
    length = end - begin if end > begin else end - begin + every
    for start in (base - every + begin, base + begin):
        yield start, start + length


def _whole(day: date) -> Span:
    start = datetime.combine(day, time())
    return start, start + timedelta(days=1)
