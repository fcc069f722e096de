"""``mendloop canary``: how long a canary's evidence will take, before it starts."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import click

from tools.errors import Invalid
from tools.statistics.time_to_decision import DecisionTime, harm_time, promotion_time


class _Number(click.FloatRange):
    """A range that refuses NaN and infinity, which every comparison lets through."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"expected a finite number, got {number}", param, ctx)
        return number


_OPEN = _Number(0.0, 1.0, min_open=True, max_open=True)
_RATE = _Number(0.0, 1.0, max_open=True)
_POSITIVE = _Number(0.0, min_open=True)

TITLES = {
    "harm": "until a canary as bad as that is proved harmful",
    "promotion": "until an equal canary is proved to be within the margin",
}


@click.group()
def canary() -> None:
    """Plan the evidence of a canary.

    Example: mendloop canary estimate --stable-rate 0.01 --canary-rate 0.02 --share 0.1
    """


@canary.command()
@click.option("--stable-rate", type=_RATE, required=True, help="Share of bad answers of stable.")
@click.option("--canary-rate", type=_RATE, required=True, help="Share of bad answers to find.")
@click.option("--share", type=_OPEN, required=True, help="The canary's part of the traffic: 0.1.")
@click.option("--alpha", type=_OPEN, default=0.05, show_default=True, help="False decisions, ever.")
@click.option("--beta", type=_OPEN, default=0.05, show_default=True, help="Missed decisions.")
@click.option("--margin", type=_OPEN, help="Excess that a promotion must rule out: 0.01.")
@click.option("--rps", type=_POSITIVE, help="Requests per second.")
@click.option("--deadline", type=_POSITIVE, help="Seconds at hand.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for a machine.")
def estimate(
    stable_rate: float,
    canary_rate: float,
    share: float,
    alpha: float,
    beta: float,
    margin: float | None,
    rps: float | None,
    deadline: float | None,
    seed: int,
    as_json: bool,
) -> None:
    """Print how many requests (of both versions) a decision takes, and how long that is.

    With a canary rate above the stable rate: until the harm is proved; with --margin also until
    an equal canary is promoted. With a canary rate that is not above it, --margin is needed.
    Exit code 1 when --deadline is too short for nine decisions in ten.

    Example: mendloop canary estimate --stable-rate 0.01 --canary-rate 0.02 --share 0.1 --rps 20
    """
    if deadline is not None and rps is None:
        raise click.UsageError("--deadline needs --rps, to tell how many requests come in time")
    rates = {"alpha": alpha, "beta": beta, "seed": seed}
    times = _times(stable_rate, canary_rate, share, margin, rates)
    report = _report(times, rps, deadline)
    report["inputs"] = {
        "stable_rate": stable_rate,
        "canary_rate": canary_rate,
        "share": share,
        "margin": margin,
        "rps": rps,
        "deadline_s": deadline,
        **rates,
    }
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _print(times, rps, deadline)
    if report["in_time"] is False:
        sys.exit(1)


def _times(
    stable_rate: float,
    canary_rate: float,
    share: float,
    margin: float | None,
    rates: dict[str, Any],
) -> list[DecisionTime]:
    """The main question first."""
    try:
        if canary_rate > stable_rate:
            harm = harm_time(stable_rate, canary_rate, share, **rates)
            if margin is None:
                return [harm]
            return [harm, promotion_time(stable_rate, stable_rate, share, margin=margin, **rates)]
        if margin is None:
            raise click.UsageError(
                f"--canary-rate {canary_rate:g} is not above --stable-rate {stable_rate:g}:"
                " no harm to prove; raise it, or give --margin for the time to a promotion"
            )
        return [promotion_time(stable_rate, canary_rate, share, margin=margin, **rates)]
    except Invalid as error:
        option = "--" + error.field.replace("_", "-")
        message = str(error).removeprefix(f"{error.field}: ")
        raise click.BadParameter(message, param_hint=f"'{option}'") from error


def _report(times: list[DecisionTime], rps: float | None, deadline: float | None) -> dict[str, Any]:
    report = _figures(times[0], rps)
    if len(times) > 1:
        report["promotion"] = _figures(times[1], rps)
    in_time = None
    if rps is not None and deadline is not None:
        in_time = all(time.p90 <= rps * deadline for time in times)
    return {**report, "in_time": in_time}


def _figures(time: DecisionTime, rps: float | None) -> dict[str, Any]:
    """The duration is that of the expected number of requests."""
    return {
        **time.model_dump(mode="json"),
        "duration_s": None if rps is None else round(time.expected / rps, 3),
        "duration_p90_s": None if rps is None else round(time.p90 / rps, 3),
    }


def _print(times: list[DecisionTime], rps: float | None, deadline: float | None) -> None:
    from rich.console import Console
    from rich.table import Table

    for time in times:
        click.echo(f"Requests (both versions) {TITLES[time.question]}")
        table = Table()
        for heading in ("", "requests", "duration"):
            table.add_column(heading, justify="left" if not heading else "right")
        rows = {
            "lower bound of any test": time.lower_bound,
            "expected": time.expected,
            "90th percentile": time.p90,
            "planned (missed with beta)": time.planned,
        }
        for name, requests in rows.items():
            table.add_row(name, f"{requests:,}", _duration(requests, rps))
        Console().print(table)
    if rps is not None and deadline is not None and any(t.p90 > rps * deadline for t in times):
        click.echo(
            f"{rps:g} requests/s bring {rps * deadline:,.0f} requests in {deadline:g} s: too few"
            " for nine decisions in ten. Widen the margin, raise the share, or allow more time."
        )


def _duration(requests: int, rps: float | None) -> str:
    if rps is None:
        return "give --rps"
    seconds = requests / rps
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
