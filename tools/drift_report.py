"""The drift report as one HTML page with plots, to be read without mendloop and without network."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from tools.statistics import distances
from tools.statistics.drift import FeatureDrift, Shifted
from tools.statistics.profile import CategoryProfile, NumberProfile

if TYPE_CHECKING:
    from tools.drift_files import FileDrift

MOST_PLOTS = 30
"""Columns with a plot of their own, furthest first; the table and the overview hold all."""
_BEFORE, _NOW, _LIMIT = "#7a869a", "#d1495b", "#1b1f24"
_COLOURS = {Shifted.YES: "#d1495b", Shifted.UNKNOWN: "#e0a030", Shifted.NO: "#3a9d6e"}
_BARS = 12


def drift_html(found: FileDrift) -> str:
    """One self-contained page; names from the data are escaped."""
    from importlib.resources import files

    from jinja2 import Environment

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    ranked = _ranked(found.columns)
    page = files("tools").joinpath("drift_report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(page).render(
        found=found,
        report=found.report,
        ranked=ranked,
        overview=_overview([(found.title(n), f) for n, f in ranked], found.report.tolerance),
        plots=[(name, _plot(found, name)) for name, _ in ranked[:MOST_PLOTS]],
        most_plots=MOST_PLOTS,
    )


def _ranked(features: dict[str, FeatureDrift]) -> list[tuple[str, FeatureDrift]]:
    order = {Shifted.YES: 0, Shifted.UNKNOWN: 1, Shifted.NO: 2}
    return sorted(features.items(), key=lambda f: (order[f[1].verdict], -f[1].distance, f[0]))


def _svg(figure: Any) -> str:
    """The figure as an SVG element whose text stays text."""
    import matplotlib as mpl

    out = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "mendloop"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def _figure(width: float, height: float, columns: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns)
    for one in np.atleast_1d(axes):
        one.spines[["top", "right"]].set_visible(False)
        one.tick_params(labelsize=8)
    return figure, axes


def _overview(ranked: list[tuple[str, FeatureDrift]], tolerance: float) -> str:
    """Distances with their bands, against the tolerance."""
    shown = ranked[:60]
    figure, axes = _figure(8, 0.8 + 0.22 * len(shown))
    for row, (_, feature) in enumerate(shown):
        colour = _COLOURS[feature.verdict]
        axes.plot([feature.lower, feature.upper], [row, row], color=colour, lw=2, alpha=0.6)
        axes.plot(feature.distance, row, "o", color=colour, ms=4)
    axes.axvline(tolerance, color=_LIMIT, ls="--", lw=1)
    axes.text(tolerance, -0.9, f" tolerance {tolerance:g}", fontsize=8, va="bottom")
    names = [_plain(name, 28) for name, _ in shown]
    axes.set_yticks(range(len(shown)), names)
    axes.set_ylim(len(shown) - 0.5, -1)
    axes.set_xlim(0, 1)
    axes.set_xlabel("distance to the reference, with its band (share of rows)", fontsize=8)
    return _svg(figure)


def _plot(found: FileDrift, name: str) -> str:
    reference = found.reference.features[name]
    current = found.current.features[name]
    if isinstance(reference, NumberProfile) and isinstance(current, NumberProfile):
        return _number_plot(reference, current)
    assert isinstance(reference, CategoryProfile)
    assert isinstance(current, CategoryProfile)
    return _category_plot(reference, current)


def _number_plot(reference: NumberProfile, current: NumberProfile) -> str:
    figure, (left, right) = _figure(8, 2.3, 2)
    edges = np.array(reference.edges)
    if not len(edges):
        left.text(0.5, 0.5, "all values of the reference are missing", ha="center", fontsize=8)
        return _svg(figure)
    grid = _grid(edges)
    for profile, colour, label in ((reference, _BEFORE, "reference"), (current, _NOW, "current")):
        shares = distances.shares(distances.number_counts(profile))
        left.stairs(_spread(shares[1:], edges, grid), grid, fill=True, color=colour, alpha=0.45)
        right.step(edges, np.cumsum(shares)[1:-1], where="post", color=colour, label=label, lw=1.5)
    left.set_title("share of rows", fontsize=8, loc="left")
    right.set_title("share at or below (missing counted below all)", fontsize=8, loc="left")
    right.set_ylim(-0.02, 1.02)
    right.legend(frameon=False, fontsize=8)
    return _svg(figure)


def _grid(edges: np.ndarray[Any, np.dtype[np.float64]]) -> Any:
    low, high = float(edges[0]), float(edges[-1])
    margin = (high - low) * 0.05 or max(1.0, abs(low) * 0.05)
    if not np.isfinite(high - low):
        low, high, margin = low / 4, high / 4, 0.0
    return np.linspace(low - margin, high + margin, 41)


def _spread(shares: Any, edges: Any, grid: Any) -> Any:
    """Shares of the bins laid out on even steps; the open ends go to the outermost steps."""
    starts = np.r_[grid[0], edges]
    ends = np.r_[edges, grid[-1]]
    heights = np.zeros(len(grid) - 1)
    for share, start, end in zip(shares, starts, ends, strict=True):
        first, last = np.clip(np.searchsorted(grid, [start, end], side="left") - 1, 0, 39)
        heights[first : last + 1] += share / (last - first + 1)
    return heights


def _category_plot(reference: CategoryProfile, current: CategoryProfile) -> str:
    first, second = distances.category_counts(reference, current, _BARS)
    names = sorted(reference.counts, key=lambda c: (-reference.counts[c], c))[:_BARS]
    labels = ["(missing)", "(others)", *(_plain(name, 16) for name in names)]
    keep = [i for i in (*range(2, len(labels)), 1, 0) if first[i] or second[i]]
    figure, axes = _figure(8, 2.3)
    places = np.arange(len(keep))
    axes.bar(places - 0.2, distances.shares(first)[keep], 0.4, color=_BEFORE, label="reference")
    axes.bar(places + 0.2, distances.shares(second)[keep], 0.4, color=_NOW, label="current")
    axes.set_xticks(places, [labels[i] for i in keep], rotation=30, ha="right")
    axes.set_title("share of rows", fontsize=8, loc="left")
    axes.legend(frameon=False, fontsize=8)
    return _svg(figure)


def _plain(name: str, most: int) -> str:
    """A name short enough for an axis, with matplotlib's formula sign taken literally."""
    short = name if len(name) <= most else name[: most - 1] + "\u2026"
    printable = "".join(c if c.isprintable() else "\ufffd" for c in short)
    return printable.replace("$", r"\$")
