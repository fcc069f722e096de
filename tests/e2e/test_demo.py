"""``mendloop demo`` as a process: Ctrl-C leaves nothing running, wrong input is said at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

DEADLINE_S = 180.0
MENDLOOP = "from orchestrator.cli.main import main; main()"


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home that nothing may use after the test."""
    return tmp_path / "home"


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts the demo with a small sample; ends what a failed test left."""
    started: list[subprocess.Popen[str]] = []

    def run(*options: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", MENDLOOP, "demo", "--home", str(home)]
        demo = subprocess.Popen(
            [*command, "--sample", "0.05", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(demo)
        return demo

    yield run
    for demo in started:
        demo.terminate()
        demo.communicate(timeout=DEADLINE_S)
    assert users_of(home) == []


def users_of(home: Path) -> list[str]:
    """Processes that have something to do with the home."""
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline"])
        if any(str(home) in argument for argument in process.info["cmdline"] or [])
    ]


def wait_for(log: Path, text: str) -> None:
    """Poll the demo's own log file."""
    deadline = time.monotonic() + DEADLINE_S
    while not (log.exists() and text in log.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, f"{text!r} does not come"
        threading.Event().wait(0.05)


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("Envoy answers at", signal.SIGINT),
        ("mendloop is in charge", signal.SIGTERM),
    ],
)
def test_stopped_demo_leaves_nothing_running(
    home: Path, start: Start, moment: str, number: int
) -> None:
    """While the first champion is trained, and during the replay."""
    demo = start()
    wait_for(home / "demo.log", moment)

    demo.send_signal(number)
    shown, _ = demo.communicate(timeout=DEADLINE_S)

    assert demo.returncode == 130, shown
    assert "everything that was started is stopped" in shown
    assert "Traceback" not in shown


def test_folder_of_somebody_else_is_left_alone(home: Path, start: Start) -> None:
    """The demo makes its home anew, so it must be sure that the old one was its own."""
    home.mkdir()
    (home / "thesis.txt").write_text("mine", encoding="utf-8")

    demo = start()
    shown, _ = demo.communicate(timeout=DEADLINE_S)

    assert demo.returncode == 2
    assert "was not made by the demo" in shown
    assert [path.name for path in home.iterdir()] == ["thesis.txt"]


def test_report_that_cannot_be_written_is_said_at_once(
    home: Path, start: Start, tmp_path: Path
) -> None:
    """Not after four minutes."""
    (tmp_path / "file").write_text("", encoding="utf-8")

    demo = start("--report", str(tmp_path / "file" / "outcome.json"))
    shown, _ = demo.communicate(timeout=DEADLINE_S)

    assert demo.returncode == 2
    assert "--report" in shown
    assert not home.exists()
