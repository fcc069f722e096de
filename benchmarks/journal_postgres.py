"""Measures an append on PostgreSQL beside a bare INSERT and COMMIT of the same bytes, as ratios.

One journal event is one commit with synchronous_commit on: lock, head, insert, commit. Medians,
bare and journal interleaved on the same server in one run; then several processes at once on one
chain, beside the same number each with a bare table's row. Starts a throw-away server (fsync on)
or takes ``--url``, whose database must be empty. Target: one append at most 3 times a bare commit.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.journal import entry, snapshot, timed_ms
from orchestrator.journal.postgres import PostgresJournal
from tools.postgres import Database
from tools.values import canonical_json

_TABLE = b"CREATE TABLE IF NOT EXISTS bare (seq bigint GENERATED ALWAYS AS IDENTITY, row text)"


def bare_commit(connection: Any, text: str) -> None:
    """One row, one commit."""
    connection.execute(b"BEGIN")
    connection.execute(b"INSERT INTO bare (row) VALUES (%s)", (text,))
    connection.execute(b"COMMIT")


def append_against_bare(url: str, name: str, appends: int, made: Any) -> dict[str, float]:
    """Median milliseconds of an append, and of the server committing the very same bytes."""
    database = Database(url)
    journal = PostgresJournal(database)
    event = journal.append_many([made(0)])[0]
    text = canonical_json({**event.model_dump(), "payload": event.payload})
    ours, theirs = [], []
    with database.connection() as bare:
        bare.execute(_TABLE)
        for number in range(1, appends + 1):
            ours.append(timed_ms(partial(journal.append_many, [made(number)])))
            theirs.append(timed_ms(partial(bare_commit, bare, text)))
    journal.close()
    append, commit = statistics.median(ours), statistics.median(theirs)
    return {
        f"{name}_bytes": len(text),
        f"{name}_ms": append,
        f"{name}_bare_ms": commit,
        f"{name}_over_bare": append / commit,
    }


def _append(url: str, count: int) -> None:
    journal = PostgresJournal(Database(url))
    for number in range(count):
        journal.append_many([entry(number)])


def _commit(url: str, count: int) -> None:
    with Database(url).connection() as bare:
        for number in range(count):
            bare_commit(bare, str(number) * 400)


def together(url: str, processes: int, each: int) -> dict[str, float]:
    """Events a second of several controllers on one chain, and of as many with bare rows."""
    found = {}
    for name, work in (("appends", _append), ("bare_commits", _commit)):
        context = multiprocessing.get_context("spawn")
        with context.Pool(processes) as pool:
            pool.starmap(work, [(url, 1)] * processes)  # connected and imported
            began_s = time.perf_counter()
            pool.starmap(work, [(url, each)] * processes)
            found[f"{name}_per_s_of_{processes}"] = (
                processes * each / (time.perf_counter() - began_s)
            )
    return found


def long_journal(url: str, events: int) -> dict[str, float]:
    """Verifying a journal of some length, and taking up a head at its end."""
    journal = PostgresJournal(Database(url))
    for begin in range(0, events, 1000):
        journal.append_many([entry(number) for number in range(begin, begin + 1000)])
    size = journal.head().seq
    began_s = time.perf_counter()
    found = journal.verify()
    took_s = time.perf_counter() - began_s
    if not found.ok:
        raise SystemExit(f"the chain is broken: {found}")
    head_ms = statistics.median(timed_ms(journal.head) for _ in range(200))
    return {"events": size, "verify_events_per_s": size / took_s, "head_ms": head_ms}


@contextmanager
def server(url: str) -> Iterator[str]:
    """The database named, or one of a server that ends with this process."""
    if url:
        yield url
        return
    from tests.stand_in.postgres import missing_reason, running_postgres

    if reason := missing_reason():
        print(f"not measured: {reason}")
        sys.exit(0)
    with running_postgres() as own:
        yield own.url(own.make_database())


def main() -> None:
    """Measure, print, and write the figures as JSON when asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer appends, a shorter journal")
    parser.add_argument("--url", default="", help="an empty database (postgresql://...)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    appends = 200 if arguments.quick else 1000
    with server(arguments.url) as url:
        figures = {
            **append_against_bare(url, "append", appends, entry),
            **append_against_bare(url, "append_apart", appends // 2, snapshot),
            **together(url, 2, appends // 2),
            **long_journal(url, 10_000 if arguments.quick else 100_000),
        }
    for figure, value in figures.items():
        print(f"{figure:28} {value:,.3f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2))
    held = figures["append_over_bare"] <= 3
    print("targets reached" if held else "targets missed")
    sys.exit(0 if held else 1)


if __name__ == "__main__":
    main()
