"""Measures the rehearsal: wall time of all shipped scenarios, and how fast time runs in them.

One seed each, on two processes, without baselines. Targets on two quiet cores: at most 90 s for all
of them, and in the median scenario time at least 1,000 times as fast as on a clock.

Run it as ``python -m benchmarks.rehearsal [--jobs 2] [--quick] [--json]``; ``--quick`` takes every
tenth scenario.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from contextlib import closing

from rich.console import Console
from rich.table import Table

from simulations.shipped import find
from simulations.sweep import Job, Played, sweep

WALL_LIMIT_S = 90.0
SPEED_LIMIT = 1000.0
SLOWEST = 10
"""Scenarios that are named one by one."""


def measure(jobs: list[Job], processes: int) -> dict[str, object]:
    """Play the jobs once; what it took."""
    begun = time.monotonic()
    with closing(sweep(jobs, processes=processes)) as results:
        played = list(results)
    wall_s = time.monotonic() - begun
    speeds = sorted(each.mendloop.simulated_s / each.mendloop.wall_s for each in played)
    return {
        "scenarios": len(played),
        "processes": processes,
        "wall_s": round(wall_s, 2),
        "wall_limit_s": WALL_LIMIT_S,
        "speed_median": round(statistics.median(speeds), 1),
        "speed_least": round(speeds[0], 1),
        "speed_limit": SPEED_LIMIT,
        "seconds_median": round(statistics.median(e.mendloop.wall_s for e in played), 3),
        "slowest": {e.job.scenario.name: round(e.mendloop.wall_s, 2) for e in _slowest(played)},
    }


def _slowest(played: list[Played]) -> list[Played]:
    return sorted(played, key=lambda each: -each.mendloop.wall_s)[:SLOWEST]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="every tenth scenario")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = find((), is_all=True)
    jobs = [Job(source, scenario, 0) for source, scenario in found[:: 10 if given.quick else 1]]
    figures = measure(jobs, given.jobs)
    if given.json:
        print(json.dumps(figures))
    else:
        table = Table(box=None, show_header=False)
        for name, value in figures.items():
            table.add_row(name, json.dumps(value))
        Console().print(table)
    is_slow = not given.quick and float(str(figures["wall_s"])) > WALL_LIMIT_S
    sys.exit(1 if is_slow or float(str(figures["speed_median"])) < SPEED_LIMIT else 0)


if __name__ == "__main__":
    main()
