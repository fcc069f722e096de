"""Somebody ends a long command: it says what it has, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

# Whoever runs the tests in the background has SIGINT ignored, and so would every child.
MENDLOOP = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from orchestrator.cli.main import main
main()
"""
DEADLINE_S = 60.0


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[psutil.Popen]:
    """A long one by two players, in the middle of their worlds; ended whatever a test finds."""
    started = psutil.Popen(
        [sys.executable, "-c", MENDLOOP, "simulate", "--fuzz", "--seeds", "5000", "--jobs", "2"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with started:
        try:
            deadline = time.monotonic() + DEADLINE_S
            while not any(tmp_path.glob("*/*")):
                assert time.monotonic() < deadline, "no world is played"
                threading.Event().wait(0.05)
            yield started
        finally:
            if started.poll() is None:
                for process in [*started.children(recursive=True), started]:
                    process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_campaign_tells_what_was_played_and_clears_up(
    tmp_path: Path, campaign: psutil.Popen, number: int
) -> None:
    """By Ctrl-C, or by whatever ends a job."""
    players = campaign.children(recursive=True)
    assert len(players) >= 2

    campaign.send_signal(number)
    shown, _ = campaign.communicate(timeout=DEADLINE_S)

    assert campaign.returncode == 130
    assert "interrupted: this is what was played until then" in shown
    assert " seeds in " in shown
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []
    assert psutil.wait_procs(players, timeout=DEADLINE_S)[1] == []
