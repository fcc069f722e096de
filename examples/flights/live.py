"""The demo on the terminal and in a log file: what happens, as it happens."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import pandas as pd
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.narrative import tell
from tools.errors import Invalid

_WIDTH_IN_FILES = 150
_UNSAID = {
    kinds.MEMORY_SAVED,
    kinds.WINDOW_OBSERVED,
    kinds.LEASE_ACQUIRED,
    kinds.INCIDENT_RESUMED,
}
_STYLES = {
    kinds.INCIDENT_OPENED: "bold yellow",
    kinds.INCIDENT_RESOLVED: "bold green",
    kinds.INCIDENT_ESCALATED: "bold red",
    kinds.DIAGNOSIS_MADE: "yellow",
    kinds.TRAFFIC_SHIFTED: "bold cyan",
    kinds.PLAN_MADE: "blue",
    kinds.GUARD_JUDGED: "bold red",
    kinds.APPROVAL_REQUESTED: "bold yellow",
    kinds.APPROVAL_GIVEN: "bold green",
}
_REASONS = {
    kinds.INCIDENT_OPENED: 1,
    kinds.DIAGNOSIS_MADE: 2,
    kinds.EVIDENCE_JUDGED: 1,
    kinds.STEP_OUTCOME: 1,
    kinds.STEP_VERIFIED: 1,
    kinds.INCIDENT_WAITING: 1,
    kinds.INCIDENT_ESCALATED: 1,
    kinds.PLAN_FAILED: 1,
    kinds.GUARD_JUDGED: 1,
    kinds.APPROVAL_REQUESTED: 1,
}
"""How many of an event's reasons fit the view; the journal has them all."""
_LONG = {kinds.INCIDENT_OPENED, kinds.DIAGNOSIS_MADE, kinds.EVIDENCE_JUDGED, kinds.PLAN_FAILED}
"""Reasons of these get a line each."""
_NEXT_LINE = "\n" + 25 * " "
_REASON_LENGTH = 240
_SHORT_LENGTH = 100


class LiveView:
    """Lines that stay, and one status line below them where there is a terminal."""

    def __init__(self, log: Path | None, *, console: Console | None = None) -> None:
        """``log`` gets the same lines as plain text. Raises Invalid when it cannot be written."""
        self.console = console or Console()
        if not self.console.is_terminal:
            self.console = Console(width=_WIDTH_IN_FILES, file=self.console.file)
        self._resources = ExitStack()
        self._log: Console | None = None
        self._live = Live(Text(""), console=self.console, refresh_per_second=4, transient=True)
        self._said: dict[tuple[str, str], str] = {}
        if log is not None:
            try:
                log.parent.mkdir(parents=True, exist_ok=True)
                file = self._resources.enter_context(log.open("w", encoding="utf-8"))
            except OSError as error:
                raise Invalid(f"cannot write {log}: {error.strerror}", field="--log") from error
            self._log = Console(file=file, width=_WIDTH_IN_FILES)

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self._resources.enter_context(self._live)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._resources.close()

    def phase(self, text: str) -> None:
        """A new part of the run begins."""
        self._print(Text(f"\n== {text}", style="bold"))

    def say(self, text: str) -> None:
        """Something that the demo itself does."""
        self._print(Text(f"   {text}"))

    def world(self, when: pd.Timestamp, text: str) -> None:
        """Something that happens to the service from outside."""
        self._print(Text(f"{when:%b %d}  ** {text}", style="bold magenta"))

    def event(self, event: Event) -> None:
        """One event of the journal, if it says something new."""
        if event.kind in _UNSAID or self._is_repeated(event):
            return
        told = tell(event)
        length = _REASON_LENGTH if event.kind in _LONG else _SHORT_LENGTH
        reasons = [_cut(why, length) for why in told.why if why]
        line = Text(f"{_day(event)}  ")
        line.append(f"{event.actor:<17} ", style="dim")
        line.append(told.what, style=_STYLES.get(event.kind, ""))
        for reason in reasons[: _REASONS.get(event.kind, 0)]:
            line.append(f"{_NEXT_LINE if event.kind in _LONG else ', '}{reason}", style="dim")
        self._print(line)

    def status(self, text: str) -> None:
        """The newest state: replaces the line before on a terminal, is a line in files."""
        if self.console.is_terminal:
            self._live.update(Text(text, style="reverse"))
        else:
            self.console.print(Text(text), soft_wrap=True)
        if self._log is not None:
            self._log.print(Text(text), soft_wrap=True)

    def show(self, table: Table) -> None:
        """A table, in full."""
        self._print(table)

    def _print(self, text: Text | Table) -> None:
        self.console.print(text)
        if self._log is not None:
            self._log.print(text)
            self._log.file.flush()

    def _is_repeated(self, event: Event) -> bool:
        """Evidence is judged at every tick, and repeats what the step's verification said."""
        if event.kind == kinds.STEP_VERIFIED:
            return bool(event.payload["verdict"] != "broken")
        if event.kind == kinds.GUARD_JUDGED:
            decision = event.payload["ruling"]["decision"]
            return decision != "deny" or self._was_said(event, event.payload["tool"], decision)
        if event.kind != kinds.EVIDENCE_JUDGED:
            return False
        answer = str(event.payload["verdict"])
        return self._was_said(event, event.payload["question"], answer) or answer == "unknown"

    def _was_said(self, event: Event, about: str, answer: str) -> bool:
        before = self._said.get((event.incident, about))
        self._said[event.incident, about] = answer
        return before == answer


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _day(event: Event) -> str:
    text = str(event.payload.get("event_time", ""))
    return f"{pd.Timestamp(text):%b %d}" if text else "      "
