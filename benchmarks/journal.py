"""Measures the journal: append against a bare commit of the same bytes, verify, prove, judge.

Targets: append with synchronous=FULL within 1.5 times of the bare commit, verify at least 20,000
events a second, an inclusion proof from a million events under 10 ms, 20 guardrails on one step
under 5 ms. Medians, bare and journal interleaved, in
one run. Run it as ``python -m benchmarks.journal``.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from orchestrator.journal import kinds
from orchestrator.journal.event import Entry
from orchestrator.journal.merkle import MemoryTree
from orchestrator.journal.sqlite import SqliteJournal
from orchestrator.policy_files import builtin_texts
from policies.context import GuardContext
from policies.engine import judge, load_policies
from tools.values import canonical_json

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)
PAYLOAD = {
    "key": "start-canary-0123456789abcdef01234567",
    "step": 3,
    "tool": "start_canary",
    "agent": "deployer",
    "arguments": {"percent": 5, "version": "2"},
    "undo": "roll_back",
    "token": 7,
    "event_time": "2013-06-03T12:00:00",
}


def entry(number: int) -> Entry:
    """An event as the controller writes them most."""
    return Entry(
        kind=kinds.STEP_INTENDED,
        at=NOW,
        target="default/flights",
        incident=f"inc-{number % 50}",
        actor="deployer",
        payload=PAYLOAD,
    )


def timed_ms(work: Callable[[], object]) -> float:
    """Milliseconds that one call takes."""
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


class Bare:
    """SQLite with the same durability, and nothing of a journal around it."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("CREATE TABLE events (seq INTEGER PRIMARY KEY, row TEXT) STRICT")

    def commit(self, text: str) -> None:
        """One row, one commit."""
        self.connection.execute("INSERT INTO events (row) VALUES (?)", (text,))


def append_against_bare(folder: Path, appends: int) -> dict[str, float]:
    """Median milliseconds of an append, and of SQLite committing the very same row."""
    journal, bare = SqliteJournal(folder / "journal.db"), Bare(folder / "bare.db")
    text = canonical_json(journal.append_many([entry(0)])[0].model_dump())
    ours, theirs = [], []
    for number in range(appends):
        ours.append(timed_ms(partial(journal.append_many, [entry(number)])))
        theirs.append(timed_ms(partial(bare.commit, text)))
    journal.close()
    bare.connection.close()
    append, commit = statistics.median(ours), statistics.median(theirs)
    return {"append_ms": append, "bare_commit_ms": commit, "append_over_bare": append / commit}


def verify_rate(folder: Path, events: int) -> dict[str, float]:
    """Events verified a second, median of three."""
    journal = SqliteJournal(folder / "long.db")
    for begin in range(0, events, 1000):
        journal.append_many([entry(n) for n in range(begin, min(begin + 1000, events))])
    took_ms = statistics.median(timed_ms(journal.verify) for _ in range(3))
    found = journal.verify()
    journal.close()
    if not found.ok:
        raise SystemExit(f"the chain is broken: {found}")
    return {"events": events, "verify_events_per_s": events / took_ms * 1000}


def inclusion_proof(leaves: int) -> dict[str, float]:
    """Median milliseconds of one inclusion proof once the tree is built, and the building."""
    tree = MemoryTree()

    def build() -> None:
        for number in range(leaves):
            tree.add(number.to_bytes(32))

    building_ms = timed_ms(build)
    places = range(0, leaves, leaves // 101)
    took_ms = statistics.median(
        timed_ms(partial(tree.inclusion, place, leaves)) for place in places
    )
    return {"leaves": leaves, "tree_building_ms": building_ms, "inclusion_proof_ms": took_ms}


def guardrails(policies: int) -> dict[str, float]:
    """Median milliseconds to judge one step by this many policies that all match it."""
    text = builtin_texts()["builtin/retrain-budget.yaml"]
    named = {str(n): text.replace("name: retrain-budget", f"name: p{n}") for n in range(policies)}
    loaded = load_policies(named)
    context = GuardContext.model_validate(
        {
            "target": "default/flights",
            "now": NOW,
            "step": {"tool": "retrain_full", "agent": "trainer", "is_safe_return": False},
            "budget": {"retrains": 6, "max_retrains": 6},
        }
    )
    took_ms = statistics.median(timed_ms(lambda: judge(loaded, context)) for _ in range(200))
    return {"guardrails": policies, "judge_ms": took_ms}


def main() -> None:
    """Measure, print, and write the figures as JSON when asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--appends", type=int, default=1000)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = {
            **append_against_bare(folder, arguments.appends),
            **verify_rate(folder, arguments.events),
            **inclusion_proof(1_000_000),
            **guardrails(20),
        }
    for figure, value in figures.items():
        print(f"{figure:24} {value:,.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))
    held = (
        figures["append_over_bare"] <= 1.5
        and figures["verify_events_per_s"] >= 20_000
        and figures["inclusion_proof_ms"] < 10
        and figures["judge_ms"] < 5
    )
    print("targets reached" if held else "targets missed")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
