"""What ``mendloop simulate`` does: finds scenarios, plays them, shows scores, writes reports."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from simulations.baselines import BASELINES
from simulations.operators import MENDLOOP
from simulations.reports.figures import as_json, document
from simulations.reports.junit import write_junit
from simulations.reports.pages import write_pages
from simulations.reports.scoreboard import write_scoreboard
from simulations.reports.terminal import show
from simulations.shipped import find
from simulations.sweep import Job, Played, sweep

WIDTH = 150
"""Of tables that go into a file or a pipe."""


@dataclass(frozen=True)
class Order:
    """What was asked for on the command line."""

    what: tuple[str, ...]
    is_all: bool = False
    seeds: tuple[int, ...] = (0,)
    jobs: int = 1
    baselines: bool = False
    report: Path | None = None
    as_json: bool = False
    junit: Path | None = None
    markdown: Path | None = None


def rehearse(order: Order) -> bool:
    """Carry the order out; whether every run passed."""
    operators = (MENDLOOP, *BASELINES) if order.baselines else (MENDLOOP,)
    jobs = [
        Job(source, scenario, seed, operators)
        for source, scenario in find(order.what, is_all=order.is_all)
        for seed in order.seeds
    ]
    begun = time.monotonic()
    played = _played(jobs, order)
    wall_s = time.monotonic() - begun
    told = document(played, wall_s)
    if order.report is not None:
        write_pages(order.report, played, wall_s)
    if order.junit is not None:
        write_junit(order.junit, played)
    if order.markdown is not None:
        write_scoreboard(order.markdown, played, wall_s, _command(order))
    if order.as_json:
        sys.stdout.write(as_json(told) + "\n")
    else:
        console = Console()
        show(console if console.is_terminal else Console(width=WIDTH), played, told, order.report)
    return all(run.mendloop.score.has_passed for run in played)


def _command(order: Order) -> str:
    """What to type to make the scoreboard again."""
    words = ["mendloop", "simulate", *(["--all"] if order.is_all else []), *order.what]
    words += ["--seeds", str(len(order.seeds)), "--jobs", str(order.jobs)]
    if order.seeds[0]:
        words += ["--seed", str(order.seeds[0])]
    words += ["--baselines"] if order.baselines else []
    return shlex.join([*words, "--markdown", str(order.markdown)])


def _played(jobs: list[Job], order: Order) -> list[Played]:
    """All results in the order of the jobs, with progress on the terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    console = Console(stderr=True)
    found: dict[tuple[str, int], Played] = {}
    with (
        Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress,
        closing(sweep(jobs, processes=order.jobs)) as results,
    ):
        task = progress.add_task("rehearsing", total=len(jobs))
        for each in results:
            found[(each.job.scenario.name, each.job.seed)] = each
            progress.update(task, advance=1, description=each.job.scenario.name)
    return [found[(job.scenario.name, job.seed)] for job in jobs]
