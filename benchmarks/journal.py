"""Measures the journal: append against a bare commit of the same bytes, verify, prove, judge.

Targets: append with synchronous=FULL within 1.5 times of the bare commit, verify at least 20,000
events a second (file and export), an inclusion proof from a million events under 10 ms on a
journal that was just opened, 20 guardrails on one step under 5 ms. Medians, bare and journal
interleaved, in one run. ``--quick`` builds a journal of 100,000 events instead of a million.
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
from orchestrator.journal.audit import root_text
from orchestrator.journal.checkpoint import Checkpoint
from orchestrator.journal.event import Entry
from orchestrator.journal.export import ExportedJournal, json_lines
from orchestrator.journal.journal import Verification
from orchestrator.journal.proof import prove
from orchestrator.journal.signed import SignedJournal
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


def snapshot(number: int) -> Entry:
    """A memory of the size that the demo's have: stored apart."""
    counts = {f"window {n}": [number, n, 0.5, 0.25] for n in range(200)}
    payload = {"memory": counts}
    return Entry(kind=kinds.MEMORY_SAVED, at=NOW, target="a/b", actor="monitor", payload=payload)


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


def append_against_bare(
    folder: Path, name: str, appends: int, made: Callable[[int], Entry]
) -> dict[str, float]:
    """Median milliseconds of an append, and of SQLite committing the very same bytes."""
    journal, bare = SqliteJournal(folder / f"{name}.db"), Bare(folder / f"bare-{name}.db")
    event = journal.append_many([made(0)])[0]
    text = canonical_json({**event.model_dump(), "payload": event.payload})
    ours, theirs = [], []
    for number in range(1, appends + 1):
        ours.append(timed_ms(partial(journal.append_many, [made(number)])))
        theirs.append(timed_ms(partial(bare.commit, text)))
    journal.close()
    bare.connection.close()
    append, commit = statistics.median(ours), statistics.median(theirs)
    return {
        f"{name}_bytes": len(text),
        f"{name}_ms": append,
        f"{name}_bare_ms": commit,
        f"{name}_over_bare": append / commit,
    }


def must_be_whole(found: Verification) -> None:
    """A benchmark of a broken chain would mean nothing."""
    if not found.ok:
        raise SystemExit(f"the chain is broken: {found}")


def long_journal(folder: Path, events: int) -> dict[str, float]:
    """Verifying, exporting and proving a long journal; every tenth event has its payload apart."""
    journal = SqliteJournal(folder / "long.db")
    batch = 1000

    def build() -> None:
        for begin in range(0, events, batch):
            numbers = range(begin, min(begin + batch, events))
            journal.append_many([snapshot(n // 100) if n % 10 == 0 else entry(n) for n in numbers])

    building_ms = timed_ms(build)
    verify_ms = timed_ms(lambda: must_be_whole(journal.verify()))
    some = events // 10
    exported = folder / "long.jsonl"
    with exported.open("w", encoding="utf-8") as file:
        export_ms = timed_ms(lambda: file.writelines(json_lines(journal)))
    export_verify_ms = timed_ms(lambda: must_be_whole(ExportedJournal(exported).verify()))
    size = journal.head().seq
    root = root_text(journal.tree().root(size))
    journal.close()
    checkpoint = Checkpoint(origin="benchmark", size=size, root=root)
    opens, proofs = [], []
    for place in range(1, events, max(1, events // 51)):
        begin_s = time.perf_counter()
        cold = SqliteJournal.open_read_only(folder / "long.db")
        opened_s = time.perf_counter()
        (event,) = cold.events(after=place - 1, until=place)
        prove(cold, event, checkpoint=checkpoint, note="")
        proofs.append((time.perf_counter() - opened_s) * 1000)
        opens.append((opened_s - begin_s) * 1000)
        cold.close()
    (folder / "home").mkdir()
    (folder / "long.db").rename(folder / "home" / "mendloop.db")
    signed = SignedJournal(folder / "home" / "mendloop.db", at=NOW)  # verifies all, signs
    signed.close()
    restart_ms = timed_ms(lambda: SignedJournal(folder / "home" / "mendloop.db", at=NOW).close())
    return {
        "events": size,
        "building_s": building_ms / 1000,
        "verify_events_per_s": size / verify_ms * 1000,
        "export_events_per_s": size / export_ms * 1000,
        "export_verify_events_per_s": size / export_verify_ms * 1000,
        "cold_open_ms": statistics.median(opens),
        "inclusion_proof_ms": statistics.median(proofs),
        "inclusion_proof_worst_ms": max(proofs),
        "restart_ms": restart_ms,
        "sampled_proofs": len(proofs) if some else 0,
    }


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
    parser.add_argument("--quick", action="store_true", help="a journal of 100,000 events")
    parser.add_argument("--appends", type=int, default=1000)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        figures = {
            **append_against_bare(folder, "append", arguments.appends, entry),
            **append_against_bare(folder, "append_apart", arguments.appends // 2, snapshot),
            **long_journal(folder, 100_000 if arguments.quick else 1_000_000),
            **guardrails(20),
        }
    for figure, value in figures.items():
        print(f"{figure:28} {value:,.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))
    held = (
        figures["append_over_bare"] <= 1.5
        and figures["verify_events_per_s"] >= 20_000
        and figures["export_verify_events_per_s"] >= 20_000
        and figures["inclusion_proof_ms"] < 10
        and figures["judge_ms"] < 5
    )
    print("targets reached" if held else "targets missed")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
