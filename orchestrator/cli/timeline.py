"""Prints events and incidents for people, in a terminal or in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.incidents import IncidentSummary
from orchestrator.journal.narrative import tell

_WIDTH_IN_FILES = 140
_BOOKKEEPING = {kinds.MEMORY_SAVED}
_STYLES = {
    kinds.INCIDENT_OPENED: "bold yellow",
    kinds.INCIDENT_RESOLVED: "bold green",
    kinds.INCIDENT_ESCALATED: "bold red",
    kinds.TRAFFIC_SHIFTED: "cyan",
    kinds.TARGET_PAUSED: "bold red",
}


def console() -> Console:
    """Wide enough for a sentence where nobody's window says how wide."""
    wide = Console()
    return wide if wide.is_terminal else Console(width=_WIDTH_IN_FILES)


def print_timeline(events: Sequence[Event]) -> None:
    """One line per event with its reasons below; what only machines need is counted."""
    table = _table("#", "time (UTC)", "event time", "who", "what and why")
    hidden = 0
    for event in events:
        if event.kind in _BOOKKEEPING:
            hidden += 1
            continue
        table.add_row(
            str(event.seq),
            _short(event.at),
            _short(str(event.payload.get("event_time", ""))),
            event.actor,
            _told(event),
        )
    out = console()
    out.print(table)
    if hidden:
        out.print(f"({hidden} bookkeeping events are not shown; --json has them)", style="dim")


def print_incidents(incidents: Iterable[IncidentSummary]) -> None:
    """One line per incident."""
    table = _table("incident", "target", "trigger", "diagnosis", "actions", "status", "outcome")
    for incident in incidents:
        done = [a.tool for a in incident.actions if a.outcome in ("applied", "already")]
        table.add_row(
            Text(incident.id),
            Text(incident.target),
            Text(incident.trigger),
            Text(incident.diagnosis),
            Text(", ".join(done)),
            Text(incident.status),
            Text(incident.outcome),
        )
    console().print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, no_wrap=column in ("#", "time (UTC)", "incident"), overflow="fold")
    return table


def _told(event: Event) -> Text:
    told = tell(event)
    prefix = f"[{event.incident or event.target}] " if event.incident or event.target else ""
    text = Text(prefix, style="dim")
    text.append(told.what, style=_STYLES.get(event.kind, "not dim"))
    for reason in told.why:
        text.append(f"\n  {reason}", style="dim")
    return text


def _short(time: str) -> str:
    """To the second, without the zone, which is always UTC."""
    return time[:19].replace("T", " ")
