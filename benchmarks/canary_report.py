"""Command line and table that the canary and performance benchmarks share."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


def run(purpose: str, measure: Callable[[bool, int], Sequence[Row]]) -> int:
    """Measure, print, and exit 1 if a row's ``holds`` is false.

    ``measure(quick, seed)`` returns rows of equal keys; ``holds`` says whether a claim held (None:
    a baseline, nothing is claimed).
    """
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--quick", action="store_true", help="fewer paths, under a minute")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    asked = parser.parse_args()
    rows = list(measure(asked.quick, asked.seed))
    if asked.json:
        print(json.dumps({"purpose": purpose, "seed": asked.seed, "rows": rows}, indent=2))
    else:
        _print(purpose, rows)
    return int(any(row["holds"] is False for row in rows))


def _print(purpose: str, rows: Sequence[Row]) -> None:
    table = Table()
    for heading in rows[0]:
        table.add_column(heading)
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    print(purpose)
    Console(width=140).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, float):
        return f"{value:,.4f}" if abs(value) < 10 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
