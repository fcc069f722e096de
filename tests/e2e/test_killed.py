"""kill -9 at random moments: no approval is used twice or lost, no notification is lost.

A dozen kills by default; ``MENDLOOP_KILLS=200 pytest tests/e2e/test_killed.py`` for the long run.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

from orchestrator.approvals import APPROVAL_KINDS, fold_approvals
from orchestrator.journal import kinds
from orchestrator.journal.sqlite import SqliteJournal
from tests.stand_in.receiver import Received, receiving

KILLS = int(os.environ.get("MENDLOOP_KILLS", "12"))
SEED = int(os.environ.get("MENDLOOP_SEED", "20"))
ROOT = Path(__file__).resolve().parents[2]


def run_killed(what: str, folder: Path, *more: str) -> None:
    command = [sys.executable, "-m", "tests.stand_in.killed", what, str(folder), str(KILLS)]
    done = subprocess.run(
        [*command, str(SEED), *more],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120 + 5 * KILLS,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def acknowledged(folder: Path) -> list[str]:
    path = folder / "acknowledged"
    return path.read_text(encoding="utf-8").split() if path.exists() else []


def test_no_approval_is_used_twice_and_none_is_lost(tmp_path: Path) -> None:
    """Asked, answered and used by processes that die: each yes is good for exactly one effect."""
    run_killed("approvals", tmp_path)
    journal = SqliteJournal.open_read_only(tmp_path / "mendloop.db")
    try:
        events = journal.events()
        assert journal.verify().ok
    finally:
        journal.close()
    used = [e.payload for e in events if e.kind == kinds.APPROVAL_USED]
    intended = [e.payload["key"] for e in events if e.kind == kinds.STEP_INTENDED]
    effects = Counter((tmp_path / "effects").read_text(encoding="utf-8").split())
    standing = {
        s.approval: s for s in fold_approvals(e for e in events if e.kind in APPROVAL_KINDS)
    }

    assert effects
    assert set(effects.values()) == {1}
    assert max(Counter(u["approval"] for u in used).values()) == 1
    assert [u["key"] for u in used] == intended
    assert set(effects) <= set(intended)
    assert {standing[name].status for name in acknowledged(tmp_path)} <= {"given", "used"}


def test_no_notification_is_lost(tmp_path: Path) -> None:
    """Writer and sender die all the time, the receiver fails now and then: all of it arrives."""
    rng = random.Random(SEED)

    def moody(request: Received) -> int | None:
        return 500 if rng.random() < 0.1 else 200

    with receiving(behave=moody) as receiver:
        run_killed("notifications", tmp_path, receiver.url)
        got = [json.loads(r.body) for r in receiver.received]
    journal = SqliteJournal.open_read_only(tmp_path / "mendloop.db")
    try:
        written = [e.id for e in journal.events()]
        assert journal.verify().ok
    finally:
        journal.close()
    firsts = {target: [] for target in ("default/a", "default/b")}  # type: dict[str, list[int]]
    for body in got:
        seqs = firsts[body["subject"]]
        if body["data"]["seq"] not in seqs:
            seqs.append(body["data"]["seq"])

    assert acknowledged(tmp_path)
    assert set(acknowledged(tmp_path)) <= set(written)
    assert {body["id"] for body in got} == set(written)
    assert all(seqs == sorted(seqs) for seqs in firsts.values())
