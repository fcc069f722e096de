"""Renders an Outcome as one HTML file that needs nothing else: no network, no scripts."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import jinja2
import pandas as pd

from examples.flights.figures import quality_figure, rollout_figure, traffic_figure
from examples.flights.outcome import IncidentTold, Outcome
from tools.errors import Invalid

TEMPLATE = "report.html.j2"


def write_report(outcome: Outcome, path: Path) -> None:
    """Write the page to ``path``. Raises Invalid when it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render_report(outcome), encoding="utf-8")
    except OSError as error:
        raise Invalid(f"cannot write {path}: {error.strerror}", field="--html") from error


def render_report(outcome: Outcome) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"day": _day, "seconds": _seconds, "figure": _figure}
    return environment.get_template(TEMPLATE).render(
        outcome=outcome,
        gain=outcome.quality.total.never_retrained.log_loss - outcome.quality.total.served.log_loss,
        quality_svg=quality_figure(outcome),
        traffic_svg=traffic_figure(outcome),
        rollout_svg=rollout_figure(outcome),
        duration=_duration,
    )


def _day(event_time: str) -> str:
    return f"{pd.Timestamp(event_time):%d %b}" if event_time else "–"


def _seconds(at: str) -> str:
    return datetime.fromisoformat(at).strftime("%H:%M:%S") if at else "–"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _duration(incident: IncidentTold) -> str:
    if not incident.resolved_at:
        return "still open"
    took = datetime.fromisoformat(incident.resolved_at) - datetime.fromisoformat(
        incident.detected_at
    )
    return f"{took.total_seconds():.0f} s"
