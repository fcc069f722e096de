"""Kills processes that append, sign, prune and rotate the key; counts what they had promised.

Target: over at least 200 kills no acknowledged event is lost, no chain broken, and every start
after a kill goes on. The children are forked, so that a kill costs milliseconds and comes at any
instruction: before, in and after the commit, the checkpoint, the pruning, the hand-over.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.journal import kinds
from orchestrator.journal.audit import audit
from orchestrator.journal.checkpoint import CheckpointFolder
from orchestrator.journal.keys import read_verifiers
from orchestrator.journal.rotation import rotate_key
from orchestrator.journal.signed import SignedJournal
from orchestrator.journal.sqlite import SqliteJournal

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def _append(home: Path, acknowledge: int) -> None:
    journal = SignedJournal(home / "mendloop.db", at=NOW, every_events=2)
    while True:
        small = {"by": "kim", "reason": "fair"}
        big = {"memory": {"at": journal.head().seq, "notes": ["x"] * 800}}
        for kind, payload in ((kinds.TARGET_PAUSED, small), (kinds.MEMORY_SAVED, big)):
            event = journal.append(kind, at=NOW, actor="kim", payload=payload)
            os.write(acknowledge, f"{event.seq} {event.hash}\n".encode())


def _prune(home: Path, acknowledge: int) -> None:
    journal = SqliteJournal(home / "mendloop.db")
    while True:
        taken = journal.prunable(datetime.now(UTC), [])
        journal.prune(taken, at=NOW, actor="kim", reason="retention")
        payload = {"memory": {"at": journal.head().seq, "notes": ["y"] * 800}}
        journal.append(kinds.MEMORY_SAVED, at=NOW, actor="kim", payload=payload)
        event = journal.append(kinds.MEMORY_SAVED, at=NOW, actor="kim", payload={"memory": {}})
        os.write(acknowledge, f"{event.seq} {event.hash}\n".encode())


def _rotate(home: Path, acknowledge: int) -> None:
    while True:
        rotate_key(home / "mendloop.db", at=NOW, by="kim")
        journal = SqliteJournal(home / "mendloop.db")
        head = journal.head()
        journal.close()
        os.write(acknowledge, f"{head.seq} {head.hash}\n".encode())


WORK = {"append": _append, "prune": _prune, "rotate": _rotate}


def killed(home: Path, work: str, after_s: float) -> dict[int, str]:
    """Run the work in a child, kill it after a while; what it had acknowledged by then."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            WORK[work](home, writing)
        finally:
            os._exit(1)  # the work never ends by itself: something went wrong
    os.close(writing)
    # The clock starts with the first sign of life: opening alone may take longer under load.
    said = b""
    if select.select([reading], [], [], 20.0)[0]:
        said = os.read(reading, 65_536)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    while part := os.read(reading, 65_536):
        said += part
    os.close(reading)
    status = os.waitpid(child, 0)[1]
    if not os.WIFSIGNALED(status):
        raise SystemExit(f"{work} ended by itself with {status}: a start after a kill failed")
    whole = [line.split() for line in said.decode().splitlines(keepends=True) if line[-1] == "\n"]
    return {int(seq): linked for seq, linked in whole}


def rounds(home: Path, kills: int, seed: int) -> dict[str, int]:
    """Kill, again and again, over one home; then look at what is left."""
    rng, acknowledged = random.Random(seed), dict[int, str]()
    first_keys: Path | None = None
    for number in range(kills):
        work = "append" if number == 0 else rng.choice(["append"] * 4 + ["prune", "rotate"])
        acknowledged |= killed(home, work, rng.random() * 0.02)
        if first_keys is None:
            (public,) = (home / "keys").glob("*.pub")
            first_keys = home / "first.pub"
            first_keys.write_bytes(public.read_bytes())
    SignedJournal(home / "mendloop.db", at=NOW).close()
    journal = SqliteJournal.open_read_only(home / "mendloop.db")
    stored = {event.seq: event.hash for event in journal.events()}
    assert first_keys is not None
    found = audit(
        journal, CheckpointFolder(home / "checkpoints").notes(), read_verifiers(first_keys)
    )
    journal.close()
    lost = sum(1 for seq, linked in acknowledged.items() if stored.get(seq) != linked)
    if not found.ok:
        print(f"broken: {found.reason} (event {found.first_bad})")
    return {
        "kills": kills,
        "events": len(stored),
        "acknowledged": len(acknowledged),
        "lost": lost,
        "checkpoints": found.checkpoints,
        "broken": 0 if found.ok else 1,
    }


def main() -> None:
    """Kill, count, and say whether the promise held."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="60 kills")
    parser.add_argument("--kills", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        figures = rounds(Path(name), 60 if arguments.quick else arguments.kills, arguments.seed)
    print(", ".join(f"{value} {figure}" for figure, value in figures.items()))
    if arguments.json:
        arguments.json.write_text(json.dumps(figures))
    sys.exit(1 if figures["lost"] or figures["broken"] else 0)


if __name__ == "__main__":
    main()
