"""The report's figures as inline SVG, readable on light and on dark pages.

Text and axes take the page's own colour (``currentColor``), backgrounds are transparent.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.dates as mpl_dates
import pandas as pd
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from examples.flights.director import WEATHER_FAULT
from examples.flights.outcome import MonthQuality, Outcome, TrafficPoint

_INK = "#010203"
"""Stands for the page's text colour until the SVG is written."""
VERSION_COLOURS = ("#6b8fb3", "#d9822b", "#2f9e77", "#b0569b", "#c9a227", "#5a6fd8", "#c0504d")
SERVED, NEVER, MAJORITY = "#2f9e77", "#d9822b", "#8a8f98"
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "mendloop",
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
}


def quality_figure(outcome: Outcome) -> str:
    """Log loss per month: served, never retrained, majority class."""
    months = outcome.quality.months
    names = [f"{pd.Timestamp(m.month):%b}" for m in months]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(9.2, 3.3), layout="constrained")
        axes = figure.subplots()
        axes.plot(names, _losses(months, "majority"), "--", color=MAJORITY, lw=1.3)
        axes.plot(names, _losses(months, "never_retrained"), "o-", color=NEVER, lw=1.8, ms=4)
        axes.plot(names, _losses(months, "served"), "o-", color=SERVED, lw=2.4, ms=5)
        axes.fill_between(
            names,
            _losses(months, "served"),
            _losses(months, "never_retrained"),
            color=SERVED,
            alpha=0.13,
            lw=0,
        )
        axes.set_ylabel("log loss (lower is better)")
        axes.grid(axis="y", alpha=0.15, color=_INK, lw=0.6)
        axes.legend(["majority class", "never retrained", "served"], ncols=3, loc="upper right")
        axes.set_ylim(top=axes.get_ylim()[1] * 1.06)
        return _svg(figure, "Log loss per month")


def traffic_figure(outcome: Outcome) -> str:
    """Share of each version over the year, and below it the incidents on the same axis."""
    points = outcome.traffic
    times = [pd.Timestamp(p.event_time) for p in points]
    versions = [v.version for v in outcome.versions if v.answers or v.failures]
    lanes = [i for i in outcome.incidents if i.event_time]
    with mpl.rc_context(_STYLE):
        height = 2.5 + 0.34 * max(1, len(lanes))
        figure = Figure(figsize=(9.2, height), layout="constrained")
        top, bottom = figure.subplots(
            2, sharex=True, height_ratios=[2.2, 0.34 * max(1, len(lanes)) + 0.2]
        )
        shares = [[p.observed.get(v, 0.0) for p in points] for v in versions]
        colours = [_colour(outcome, v) for v in versions]
        top.stackplot(times, shares, colors=colours, alpha=0.85, step="post", lw=0)
        top.set_ylabel("answered by, %")
        top.set_ylim(0, 100)
        top.legend([f"v{v}" for v in versions], ncols=8, loc="lower left", labelcolor="white")
        _lanes(bottom, outcome, times[-1] if times else WEATHER_FAULT.end)
        for axes in (top, bottom):
            axes.axvspan(WEATHER_FAULT.start, WEATHER_FAULT.end, color="#c0504d", alpha=0.16, lw=0)
        if outcome.crash.event_time:
            killed = pd.Timestamp(outcome.crash.event_time)
            top.axvline(killed, color=_INK, lw=1, ls=":")
            top.annotate("kill -9", (killed, 101), ha="center", fontsize=8, annotation_clip=False)
        top.annotate(
            "weather feed broken",
            (WEATHER_FAULT.start, 101),
            ha="left",
            fontsize=8,
            annotation_clip=False,
        )
        months: Any = mpl_dates
        bottom.xaxis.set_major_locator(months.MonthLocator())
        bottom.xaxis.set_major_formatter(months.DateFormatter("%b"))
        return _svg(figure, "Traffic and incidents over the year")


def rollout_figure(outcome: Outcome) -> str:
    """Every stretch in which versions shared the traffic: weight (line), observed (dots)."""
    rollouts = _rollouts(outcome.traffic)
    if not rollouts:
        return ""
    with mpl.rc_context(_STYLE):
        columns = min(4, len(rollouts))
        rows = -(-len(rollouts) // columns)
        figure = Figure(figsize=(9.2, 2.1 * rows + 0.3), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for axes, rollout in zip(grid, rollouts, strict=False):
            _rollout(axes, outcome, rollout)
        for axes in grid[len(rollouts) :]:
            axes.set_visible(False)
        figure.supxlabel("requests since its first", fontsize=9)
        figure.supylabel("challenger's share, %", fontsize=9)
        return _svg(figure, "Canary weights and observed shares")


def _losses(months: Sequence[MonthQuality], who: str) -> list[float]:
    return [getattr(month, who).log_loss for month in months]


def _colour(outcome: Outcome, version: str) -> str:
    bad = any(v.version == version and v.is_bad_release for v in outcome.versions)
    names = [v.version for v in outcome.versions]
    return "#c0504d" if bad else VERSION_COLOURS[names.index(version) % 6]


def _lanes(axes: Any, outcome: Outcome, end: pd.Timestamp) -> None:
    lanes = [incident for incident in outcome.incidents if incident.event_time]
    for row, incident in enumerate(lanes):
        start = pd.Timestamp(incident.event_time)
        stop = pd.Timestamp(incident.resolved_event_time or end)
        axes.barh(
            row,
            max(stop - start, pd.Timedelta(days=1)),
            left=start,
            height=0.55,
            color=VERSION_COLOURS[0],
            alpha=0.8,
        )
        label = f" {incident.diagnosis or incident.trigger}: {incident.outcome}"
        is_late = start > pd.Timestamp("2013-09-01")
        axes.annotate(
            label if not is_late else f"{label} ",
            (start if is_late else stop, row),
            ha="right" if is_late else "left",
            va="center",
            fontsize=8,
        )
    axes.set_ylim(len(lanes) - 0.4, -0.6)
    axes.set_yticks([])
    axes.set_ylabel("incidents")


def _rollouts(points: Sequence[TrafficPoint]) -> list[list[TrafficPoint]]:
    """Runs of points at which two versions had a weight, each with the point that ended it."""
    found: list[list[TrafficPoint]] = []
    was_shared = False
    for point in points:
        is_shared = len([w for w in point.weights.values() if w]) > 1
        if is_shared and not was_shared:
            found.append([])
        if is_shared or was_shared:
            found[-1].append(point)
        was_shared = is_shared
    return found


def _rollout(axes: Any, outcome: Outcome, rollout: Sequence[TrafficPoint]) -> None:
    first = rollout[0].weights
    challenger = min(first, key=lambda version: first[version])
    ends = list(pd.Series([p.requests for p in rollout]).cumsum())
    middles = [end - p.requests / 2 for end, p in zip(ends, rollout, strict=True)]
    weights = [p.weights.get(challenger, 0.0) for p in rollout]
    colour = _colour(outcome, challenger)
    axes.step([0, *ends], [weights[0], *weights], where="pre", color=_INK, lw=0.9, alpha=0.7)
    axes.plot(
        middles, [p.observed.get(challenger, 0.0) for p in rollout], "o", color=colour, ms=3.2
    )
    axes.set_ylim(-3, 103)
    axes.set_xlim(left=0)
    start = pd.Timestamp(rollout[0].event_time)
    axes.set_title(f"v{challenger}, from {start:%b} {start.day}", fontsize=9)
    axes.tick_params(labelsize=8)


def _svg(figure: Figure, title: str) -> str:
    FigureCanvasSVG(figure)
    out = io.StringIO()
    figure.savefig(out, format="svg", metadata={"Date": None, "Title": title})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    return text.replace(_INK, "currentColor")
