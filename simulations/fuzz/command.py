"""``mendloop simulate --fuzz``: a campaign over seeds, or one case played again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


@click.command()
@click.argument("case", type=click.Path(path_type=Path, exists=True), required=False)
@click.option(
    "--seeds",
    default=1000,
    show_default=True,
    type=click.IntRange(1),
    help="How many seeds to play.",
)
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--minutes", default=0.0, help="Stop after so long; 0: when all seeds are played.")
@click.option(
    "--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes that play."
)
@click.option("--report", type=click.Path(path_type=Path), help="Folder for the cases found.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def fuzz(
    case: Path | None,
    seeds: int,
    first: int,
    minutes: float,
    jobs: int,
    report: Path | None,
    as_json: bool,
) -> None:
    """Let random things go wrong at every call, and look for a broken promise.

    \b
    Example: mendloop simulate --fuzz --seeds 200 --minutes 2
    """
    sys.exit(
        replay(case, as_json=as_json)
        if case is not None
        else campaign(
            seeds=seeds,
            first=first,
            minutes=minutes,
            jobs=jobs,
            report=report,
            as_json=as_json,
        )
    )


def campaign(
    *,
    seeds: int,
    first: int = 0,
    minutes: float = 0.0,
    jobs: int = 1,
    report: Path | None = None,
    as_json: bool = False,
) -> int:
    """Run a campaign and say what it found; the exit code: 1 when it found anything."""
    from simulations.fuzz.campaign import run

    def say(line: str) -> None:
        click.echo(line, err=as_json)

    found = run(seeds=seeds, first=first, minutes=minutes, jobs=jobs, report=report, say=say)
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2))
    else:
        click.echo(
            f"{found.seeds} seeds in {found.wall_s:g} s: {found.ticks} ticks,"
            f" {found.injections} injections, {found.effects} effects,"
            f" {found.incidents} incidents; {len(found.findings)} findings"
        )
    if found.interrupted:
        click.echo("interrupted: this is what was played until then", err=True)
    return 1 if found.findings else 130 if found.interrupted else 0


def replay(path: Path, *, as_json: bool = False) -> int:
    """Play one case and say which promises it breaks; the exit code: 1 when any."""
    from simulations.fuzz.case import FuzzCase
    from simulations.fuzz.play import play
    from tools.documents import load_document

    played = play(load_document(path, FuzzCase))
    if as_json:
        click.echo(json.dumps(played.model_dump(mode="json"), indent=2))
    else:
        for line in played.broken or ("every promise held",):
            click.echo(line)
    return 1 if played.broken else 0
