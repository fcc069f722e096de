"""``mendloop drift``: has this data shifted, beyond a tolerance, with a stated false-alarm rate?"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from tools.drift_files import FileDrift, compare_files
from tools.errors import Invalid
from tools.statistics.drift import DEFAULT_ALPHA, DEFAULT_TOLERANCE, FeatureDrift, Shifted

_SHOWN = 40
_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("reference", type=_PATH)
@click.argument("current", type=_PATH)
@click.option(
    "--alpha",
    type=float,
    default=DEFAULT_ALPHA,
    show_default=True,
    help="Chance that anything in the report is called shifted although it is not.",
)
@click.option(
    "--tolerance",
    type=float,
    default=DEFAULT_TOLERANCE,
    show_default=True,
    help="Distance (share of rows, 0 to 1) up to which a shift does not count.",
)
@click.option("--label", help="Column with what turned out to be true: its own verdict.")
@click.option("--score", help="Column with what was predicted: its own verdict.")
@click.option("--joint/--no-joint", default=True, help="Test the columns together as well.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a machine.")
@click.option("--html", type=_PATH, help="Write a report with plots to this file.")
def drift(
    reference: Path,
    current: Path,
    alpha: float,
    tolerance: float,
    label: str | None,
    score: str | None,
    joint: bool,
    seed: int,
    as_json: bool,
    html: Path | None,
) -> int:
    """Compare two files of data column by column.

    REFERENCE and CURRENT are CSV or Parquet files of any size; columns are matched by name. A
    column has shifted when the smallest distance consistent with both files exceeds the tolerance.
    Exit code 0: nothing shifted, 1: something did, 2: the input is wrong.

    With --label and --score, a shift of what is true and of what is predicted is told apart from
    one of the inputs.

    Example: mendloop drift january.parquet july.parquet --label late --html july.html
    """
    for name, value in (("--alpha", alpha), ("--tolerance", tolerance)):
        if not math.isfinite(value):
            raise Invalid(f"expected a finite number, got {value}", field=name)
    found = compare_files(
        reference,
        current,
        alpha=alpha,
        tolerance=tolerance,
        joint=joint,
        seed=seed,
        label=label,
        score=score,
    )
    if html is not None:
        _write_html(found, html)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, allow_nan=False))
    else:
        _print(found)
        if html is not None:
            click.echo(f"report: {html}")
    return 1 if found.has_shifted else 0


def _write_html(found: FileDrift, path: Path) -> None:
    from tools.drift_report import drift_html

    page = drift_html(found)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise Invalid(f"cannot be written: {error.strerror}", field=str(path)) from error


def _print(found: FileDrift) -> None:
    from rich.console import Console
    from rich.table import Table

    report = found.report
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("column", "shifted", "distance", "band", "PSI", "p alone", "mean", "missing"):
        is_text = heading in ("column", "shifted")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=not is_text)
    order = {Shifted.YES: 0, Shifted.UNKNOWN: 1, Shifted.NO: 2}
    ranked = sorted(
        report.features.items(), key=lambda f: (order[f[1].verdict], -f[1].distance, f[0])
    )
    for name, feature in ranked[:_SHOWN]:
        table.add_row(*_row(name, feature))
    console.print(table)
    if len(ranked) > _SHOWN:
        console.print(f"and {len(ranked) - _SHOWN} more columns (--json lists all)")
    for name, column in (("label", report.label), ("score", report.score)):
        if column is not None:
            told = f"{name}: shifted {column.verdict.value}, by {column.distance:.3f}"
            console.print(f"{told} ({column.lower:.2f}-{column.upper:.2f})", markup=False)
    for name, why in found.skipped.items():
        console.print(f"not compared: {name} ({why})", markup=False)
    console.print(_says_joint(found), markup=False)
    console.print(_summary(found), markup=False)


def _row(name: str, feature: FeatureDrift) -> list[Any]:
    from rich.markup import escape

    p = feature.chi_square_p_value if feature.ks_p_value is None else feature.ks_p_value
    missing = f"{100 * feature.null_rate_reference:.1f}>{100 * feature.null_rate:.1f}%"
    style = {Shifted.YES: "bold red", Shifted.UNKNOWN: "yellow", Shifted.NO: "green"}
    return [
        escape(name),
        f"[{style[feature.verdict]}]{feature.verdict.value}[/]",
        f"{feature.distance:.3f}",
        f"{feature.lower:.2f}-{feature.upper:.2f}",
        f"{feature.psi:.3f}",
        "-" if p is None else f"{p:.2g}",
        "-" if feature.mean_shift is None else f"{feature.mean_shift:+.2f} sd",
        missing if feature.null_rate or feature.null_rate_reference else "-",
    ]


def _says_joint(found: FileDrift) -> str:
    joint = found.report.joint
    if joint is None:
        return "columns together: not tested"
    says = f"columns together: shifted {joint.verdict.value}, at least {joint.lower:.3f} "
    says += f"(AUC {joint.auc:.3f} on {joint.rows_used:,} rows, p {joint.p_value:.2g})"
    if joint.explained_by:
        says += f"; explained by {', '.join(joint.explained_by)}"
    return says


def _summary(found: FileDrift) -> str:
    report = found.report
    sizes = f"{report.rows_reference:,} against {report.rows_current:,} rows"
    claim = f"tolerance {report.tolerance:g}, false alarms of the whole report {report.alpha:.2%}"
    if report.shifted:
        return f"{len(report.shifted)} of {len(report.features)} columns shifted ({sizes}; {claim})"
    if report.has_shifted:
        return f"no single column shifted, but they did together ({sizes}; {claim})"
    return f"nothing shifted ({sizes}; {claim})"
