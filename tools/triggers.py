"""What asks for a retrained challenger besides what labels show: the calendar, or new data.

Pure: when a trigger is due follows from the document, the wall clock and what was dealt with last.
A due time that was missed (mendloop was down, the target was frozen) is made up for once, and
however many were missed, once for all of them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from tools.durations import Duration
from tools.schema import DocumentValue
from tools.values import Value


class Triggers(DocumentValue):
    """When a challenger is trained although nothing is known to be wrong. None by default.

    What follows is an incident like any other: gates, canary, probation, guardrails. A challenger
    that is not better is refused, and the champion stays.
    """

    cron: str = ""
    """Minute, hour, day of month, month, day of week, in UTC, as in ``0 4 * * 1``."""
    every: Duration | None = None
    """Instead of ``cron``: so long after the last time."""
    new_rows: int | None = Field(default=None, ge=1)
    """Labelled rows since the last time; 10000 is a good first guess."""
    require: Literal["any", "all"] = "any"
    """``all``: by the calendar, once there are enough new rows too."""

    @field_validator("cron")
    @classmethod
    def _is_cron(cls, text: str) -> str:
        from cronsim import CronSim, CronSimError

        if not text:
            return text
        try:
            if len(text.split()) != 5:
                raise CronSimError("five fields")
            next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))
        except (CronSimError, StopIteration) as error:
            raise ValueError(
                f'expected five fields that come true some day, such as "0 4 * * 1", got {text!r}'
            ) from error
        return text

    @model_validator(mode="after")
    def _says_when(self) -> Self:
        if self.cron and self.every:
            raise ValueError("expected one of triggers.cron and triggers.every")
        if self.every is not None and self.every < timedelta(minutes=1):
            raise ValueError("expected triggers.every to be 1m or more")
        if not (self.cron or self.every or self.new_rows):
            raise ValueError("expected one of triggers.cron, triggers.every and triggers.newRows")
        return self


_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


class Dealt(Value):
    """What was done about the triggers so far."""

    at: str
    """Wall clock, ISO 8601 UTC: due times until then are dealt with."""
    labels: int
    """Labelled rows that there were then."""
    due: str = ""
    """Why something is due, in words; empty: nothing is."""


def is_from_the_future(triggers: Triggers, dealt: Dealt, now: datetime) -> bool:
    """Whether the clock was set back by more than a period: waiting for ``dealt.at`` to come again
    would be waiting for ever. A smaller step back is waited out, so that no time is due twice."""
    at = datetime.fromisoformat(dealt.at)
    if triggers.every is not None:
        return now < at - triggers.every
    if not triggers.cron:
        return False
    newest = last_due(triggers, at, _LONG_AGO)
    before = newest and last_due(triggers, newest - timedelta(minutes=1), _LONG_AGO)
    return before is not None and now < before


def why_due(triggers: Triggers, dealt: Dealt, now: datetime, labels: int) -> str:
    """What is due now, in words; empty when nothing is, or not all that must be."""
    asked: list[str] = []
    if triggers.cron or triggers.every:
        asked.append(_by_the_clock(triggers, dealt, now))
    if triggers.new_rows is not None:
        new = labels - dealt.labels
        asked.append(f"{new:,} new labelled rows" if new >= triggers.new_rows else "")
    is_due = all(asked) if triggers.require == "all" else any(asked)
    return " and ".join(each for each in asked if each) if is_due else ""


def _by_the_clock(triggers: Triggers, dealt: Dealt, now: datetime) -> str:
    since = datetime.fromisoformat(dealt.at)
    if triggers.every is not None:
        is_due = now - since >= triggers.every
        return f"{triggers.every} since {dealt.at}" if is_due else ""
    due = last_due(triggers, now, since)
    return f"schedule {triggers.cron!r} of {due.isoformat()}" if due is not None else ""


def last_due(triggers: Triggers, now: datetime, since: datetime) -> datetime | None:
    """The newest due time of ``cron`` in (since, now]; None without one."""
    from cronsim import CronSim

    # Searched backwards from the next minute: its own minute is due from its first second on.
    start = now.replace(second=0, microsecond=0) + timedelta(minutes=1)
    found = next(CronSim(triggers.cron, start, reverse=True), None)
    return found if found is not None and since < found else None
