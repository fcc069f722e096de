"""The backtest as one HTML page with plots, to be read without mendloop and without network."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulations.backtest.chronicle import JOURNAL, write_journal
from simulations.backtest.measure import metric_of
from simulations.backtest.printing import rows_of, verdict
from tools.errors import Invalid

if TYPE_CHECKING:
    from simulations.backtest.recording import Floats
    from simulations.backtest.session import Outcome

_POINTS = 60
_OURS, _OTHERS = "#1f6feb", ("#7a869a", "#d1495b", "#e0a030", "#3a9d6e")
_MARKERS = {"promote": "^", "switch_back": "v", "withdraw": "x", "denied": "s", "leave_alone": "o"}
_MOST_ACTIONS = 300


def write_report(outcome: Outcome, folder: Path) -> None:
    """``index.html``, ``outcome.json`` and a journal in a folder that is made. Raises Invalid."""
    page = html(outcome)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "index.html").write_text(page, encoding="utf-8")
        (folder / "outcome.json").write_text(
            json.dumps(outcome.to_json(), indent=2, allow_nan=False), encoding="utf-8"
        )
        write_journal(outcome.target, outcome.actions, folder / JOURNAL)
    except OSError as error:
        raise Invalid(f"cannot be written: {error.strerror}", field=str(folder)) from error


def html(outcome: Outcome) -> str:
    """One self-contained page; names from the data are escaped."""
    from importlib.resources import files

    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    source = files("simulations.backtest").joinpath("report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        outcome=outcome,
        recording=outcome.recording,
        metric=metric_of(outcome.recording.task),
        table=rows_of(outcome),
        verdict=verdict(outcome),
        quality=_quality(outcome),
        regret=_regret(outcome),
        actions=outcome.actions[:_MOST_ACTIONS],
        more=max(0, len(outcome.actions) - _MOST_ACTIONS),
    )


def _shown(outcome: Outcome) -> list[tuple[str, Floats]]:
    """Never, the best calendar, the best of the rest, and the best trivial rule."""
    sign = 1.0 if outcome.recording.task.has_classes else -1.0
    groups: dict[str, list[tuple[str, Floats]]] = {}
    for baseline in outcome.baselines:
        kind = "never" if baseline.name == "never" else baseline.name.split()[0]
        kind = kind if kind in ("never", "every") else "detector"
        groups.setdefault(kind, []).append((baseline.name, baseline.marks))
    groups["trivial"] = list(outcome.trivial.items())
    return [max(found, key=lambda f: sign * float(f[1].mean())) for found in groups.values()]


def _quality(outcome: Outcome) -> str:
    """The figure over time, and what mendloop did when."""
    figure, axes = _figure(10, 4.2)
    recording = outcome.recording
    for colour, (name, marks) in zip(_OTHERS, _shown(outcome), strict=False):
        axes.plot(*_smooth(recording.start, marks), color=colour, lw=1, label=_plain(name))
    axes.plot(*_smooth(recording.start, outcome.marks), color=_OURS, lw=2, label="mendloop")
    low, high = axes.get_ylim()
    for action in outcome.actions:
        marker = _MARKERS.get(action.action)
        if marker is not None:
            axes.plot(action.row, low, marker, color=_OURS, ms=5, clip_on=False)
        if action.action == "promote":
            axes.axvline(action.row, color=_OURS, lw=0.5, alpha=0.25)
    axes.set_ylim(low, high)
    axes.set_xlabel("row")
    axes.set_ylabel(metric_of(recording.task))
    axes.legend(fontsize=8, frameon=False, ncols=5, loc="upper left", bbox_to_anchor=(0, 1.12))
    return _svg(figure)


def _regret(outcome: Outcome) -> str:
    """How much further ahead mendloop is than each of them, added up over the rows."""
    figure, axes = _figure(10, 3.2)
    start = outcome.recording.start
    sign = 1.0 if outcome.recording.task.has_classes else -1.0
    for colour, (name, marks) in zip(_OTHERS, _shown(outcome), strict=False):
        lead = np.cumsum(sign * (outcome.marks - marks))
        places = np.linspace(0, len(lead) - 1, num=min(len(lead), 600)).astype(int)
        axes.plot(start + places, lead[places], color=colour, lw=1.2, label=_plain(name))
    axes.axhline(0, color="#1b1f24", lw=0.8)
    axes.set_xlabel("row")
    axes.set_ylabel("lead, added up")
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure)


def _smooth(start: int, marks: Floats) -> tuple[Floats, Floats]:
    """Means of equal stretches, at their middles."""
    size = max(1, len(marks) // _POINTS)
    count = len(marks) // size
    means = marks[: count * size].reshape(count, size).mean(axis=1)
    middles = start + size * (np.arange(count) + 0.5)
    return np.asarray(middles), np.asarray(means, dtype=np.float64)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    return figure, axes


def _plain(name: str) -> str:
    """Dollars would be read as mathematics."""
    return name.replace("$", r"\$")


def _svg(figure: Any) -> str:
    import matplotlib as mpl

    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "mendloop"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]
