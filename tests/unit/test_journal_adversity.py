"""The journal against an editor and a killer at work; MENDLOOP_EDITS and MENDLOOP_KILLS ask more.

The same is measured at length by ``benchmarks/journal_tampering.py`` and ``journal_kills.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from benchmarks.journal_tampering import EDITS, unseen_edits

ROOT = Path(__file__).resolve().parents[2]


def test_every_kind_of_edit_of_an_export_is_seen(tmp_path: Path) -> None:
    """Bytes, lines, payloads, a history that was computed anew: with the first public key and the
    last checkpoint at hand, none goes unseen."""
    per_kind = int(os.environ.get("MENDLOOP_EDITS", "14"))
    counts = unseen_edits(tmp_path, per_kind, seed=3)

    assert counts == dict.fromkeys(EDITS, (per_kind, 0))


def test_kills_at_any_moment_lose_nothing_and_break_nothing() -> None:
    """While appending, signing, pruning and rotating the key; each start after a kill goes on."""
    kills = os.environ.get("MENDLOOP_KILLS", "16")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.journal_kills", "--kills", kills, "--seed", "5"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith(f"{kills} kills")
    assert "0 lost" in done.stdout
