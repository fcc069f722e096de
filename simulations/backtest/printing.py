"""A backtest's outcome on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulations.backtest.baselines import NEEDED, is_river_there
from simulations.backtest.measure import metric_of

if TYPE_CHECKING:
    from rich.table import Table

    from simulations.backtest.session import Outcome

_SHOWN = 12


def show(outcome: Outcome) -> None:
    """What was found out, the table, and what mendloop did."""
    from rich.console import Console

    console = Console(highlight=False)
    recording = outcome.recording
    for note in recording.notes:
        console.print(f"note: {note}", markup=False)
    for name, why in list(recording.skipped.items())[:_SHOWN]:
        console.print(f"left out: {name} ({why})", markup=False)
    console.print(
        f"{recording.rows:,} rows, {len(recording.features)} features, {recording.task.value};"
        f" the first {recording.start:,} to start, labels {recording.delay} late",
        markup=False,
    )
    console.print(_table(outcome))
    if not is_river_there():
        console.print(f"drift detectors: not installed: {NEEDED}", markup=False)
    for action in outcome.actions[:_SHOWN]:
        version = f" v{action.version}" if action.version else ""
        when = action.time if recording.moments is not None else f"row {action.row:,}"
        console.print(f"{when}: {action.action}{version}: {action.reason}", markup=False)
    if len(outcome.actions) > _SHOWN:
        console.print(f"and {len(outcome.actions) - _SHOWN} more actions (--json, --report)")
    console.print(verdict(outcome), markup=False)


def rows_of(outcome: Outcome) -> list[tuple[str, float, int | None, float]]:
    """Name, figure, retrains and mendloop's lead (positive: mendloop is better), best first."""
    sign = 1.0 if outcome.recording.task.has_classes else -1.0
    found: list[tuple[str, float, int | None]] = [("mendloop", outcome.served, outcome.tried)]
    found += [(b.name, float(b.marks.mean()), b.retrains) for b in outcome.baselines]
    found += [(name, float(marks.mean()), None) for name, marks in outcome.trivial.items()]
    ranked = sorted(found, key=lambda row: (-sign * row[1], row[0] != "mendloop"))
    return [(n, value, count, sign * (outcome.served - value)) for n, value, count in ranked]


def verdict(outcome: Outcome) -> str:
    """One sentence: was it right?"""
    metric = metric_of(outcome.recording.task)
    sign = 1.0 if outcome.recording.task.has_classes else -1.0
    best = max(outcome.baselines, key=lambda b: sign * float(b.marks.mean()))
    value = float(best.marks.mean())
    lead = sign * (outcome.served - value)
    than = "better than" if lead > 0 else "as good as" if lead == 0 else "behind"
    by = f" by {abs(lead):.4g}" if lead else ""
    said = (
        f"mendloop: {metric} {outcome.served:.4f} with {outcome.tried} retrains"
        f" ({outcome.promotions} promoted, {outcome.rollbacks} rolled back); {than} the best of the"
        f" others{by}: {best.name}, {value:.4f} with {best.retrains}."
    )
    said += (
        f" The newest version alone, as production serves today: {outcome.by_champion:.4f};"
        " the rest is the blend with the versions kept warm."
    )
    name, trivial = max(
        ((n, float(m.mean())) for n, m in outcome.trivial.items()), key=lambda t: sign * t[1]
    )
    if sign * (trivial - outcome.served) > 0:
        said += f" No model here beats '{name}' ({trivial:.4f})."
    overhead = max(0.0, outcome.wall_s - outcome.fit_s)
    return f"{said} {outcome.wall_s:.0f} s, of which {overhead:.0f} s neither fitted nor predicted."


def _table(outcome: Outcome) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("policy")
    for heading in (metric_of(outcome.recording.task), "retrains", "mendloop's lead"):
        table.add_column(heading, justify="right")
    for name, value, retrains, lead in rows_of(outcome):
        style = "bold" if name == "mendloop" else None
        counted = "-" if retrains is None else str(retrains)
        shown = "" if name == "mendloop" else f"{lead:+.4f}"
        table.add_row(name, f"{value:.4f}", counted, shown, style=style)
    return table
