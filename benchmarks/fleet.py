"""Measures a controller's tick over a healthy fleet: time per tick and memory per model.

Every model has its own registry entry, server, route and prediction log behind the simulated ports.
Two ticks are told apart: one in which no window of data has ended (most are: a controller ticks
every few seconds, windows last hours), and one in which every model has a new window to validate
and judge. Targets for 1,000 models: the first at most 1 s, memory at most 200 KB a model.

Run it as ``python -m benchmarks.fleet [--models 1000] [--json]``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table

from simulations.healthy_fleet import HealthyFleet

TICK_LIMIT_S = 1.0
MEMORY_LIMIT_KB = 200.0


def measure(models: int, repeats: int) -> dict[str, Any]:
    """The figures of one run; seconds are medians."""
    with tempfile.TemporaryDirectory() as folder:
        fleet = HealthyFleet(Path(folder), models)
        fleet.next_window()
        tracemalloc.start()
        controller = fleet.controller()
        controller.tick()
        held_kb = tracemalloc.get_traced_memory()[0] / 1024 / models
        tracemalloc.stop()
        idle = [_timed(controller.tick) for _ in range(repeats)]
        windows = []
        for _ in range(max(1, repeats // 3)):
            fleet.next_window()
            windows.append(_timed(controller.tick))
        incidents = fleet.journal.events(kinds=["incident.opened"])
    return {
        "models": models,
        "tick_s": statistics.median(idle),
        "tick_with_a_window_each_s": statistics.median(windows),
        "memory_kb_per_model": held_kb,
        "incidents": len(incidents),
        "holds": statistics.median(idle) <= TICK_LIMIT_S
        and held_kb <= MEMORY_LIMIT_KB
        and not incidents,
    }


def _timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def main() -> None:
    """Print the table or the JSON; exit code 1 when a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--quick", action="store_true", help="200 models, and the claim scaled")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    found = measure(200 if options.quick else options.models, repeats=5 if options.quick else 9)
    if options.json:
        print(json.dumps(found))
    else:
        table = Table(title=f"A healthy fleet of {found['models']} models")
        for column in ("what", "measured", "limit"):
            table.add_column(column)
        table.add_row("tick, no window ended", f"{found['tick_s']:.3f} s", f"{TICK_LIMIT_S} s")
        table.add_row("tick, a window each", f"{found['tick_with_a_window_each_s']:.3f} s", "")
        memory = f"{found['memory_kb_per_model']:.0f} KB"
        table.add_row("controller's memory per model", memory, f"{MEMORY_LIMIT_KB:.0f} KB")
        table.add_row("incidents opened", str(found["incidents"]), "0")
        Console().print(table)
    sys.exit(0 if found["holds"] else 1)


if __name__ == "__main__":
    main()
