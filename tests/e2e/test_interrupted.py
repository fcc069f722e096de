"""Somebody ends a long command: it says what it has, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

MENDLOOP = "from orchestrator.cli.main import main; main()"
DEADLINE_S = 60.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_campaign_tells_what_was_played_and_clears_up(
    tmp_path: Path, number: int
) -> None:
    """Of two players, in the middle of their worlds."""
    campaign = subprocess.Popen(
        [sys.executable, "-c", MENDLOOP, "simulate", "--fuzz", "--seeds", "5000", "--jobs", "2"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + DEADLINE_S
    while not any(tmp_path.glob("*/*")):
        assert time.monotonic() < deadline, "no world is played"
        threading.Event().wait(0.05)
    players = psutil.Process(campaign.pid).children(recursive=True)

    campaign.send_signal(number)
    shown, _ = campaign.communicate(timeout=DEADLINE_S)

    assert campaign.returncode == 130
    assert "interrupted: this is what was played until then" in shown
    assert " seeds in " in shown
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []
    assert psutil.wait_procs(players, timeout=DEADLINE_S)[1] == []
