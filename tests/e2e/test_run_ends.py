"""How ``mendloop run --config`` begins and ends where something is in the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.database import HEAD, VERSION_TABLE
from tests.e2e.test_run_config import MENDLOOP, ROOT, free_port, platform
from tests.stand_in.postgres import PASSWORD, Postgres
from tools.postgres import SCHEMA

DEADLINE_S = 90.0
HANGING = f"""
import threading
from orchestrator.platform import command

class Hanging:
    def __init__(self, spec, stop):
        self.stop = stop
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def run(self, *, ticks=0):
        print("at work", flush=True)
        self.stop.wait()
        print("told to stop", flush=True)
        while True:
            threading.Event().wait(0.05)

command.Running = Hanging
{MENDLOOP}
"""
"""The command as it is, around a step that never ends."""


class Run:
    """One process."""

    def __init__(self, program: str, config: Path, log: Path, *more: str) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", program, "run", "--config", str(config), *more],
                cwd=ROOT,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )

    def told(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def until(self, line: str) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while line not in self.told():
            assert self.process.poll() is None, self.told()
            assert time.monotonic() < deadline, self.told()
            threading.Event().wait(0.02)

    def ended(self) -> int:
        """Its exit code."""
        return self.process.wait(DEADLINE_S)


Start = Callable[..., Run]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    begun: list[Run] = []
    (tmp_path / "models").mkdir()

    def begin(program: str, *more: str, **changes: Any) -> Run:
        document = platform(tmp_path / "home", free_port(), **changes)
        config = tmp_path / f"platform-{len(begun)}.yaml"
        config.write_text(yaml.safe_dump(document), encoding="utf-8")
        begun.append(Run(program, config, tmp_path / f"log-{len(begun)}", *more))
        return begun[-1]

    yield begin
    for run in begun:
        if run.process.poll() is None:
            run.process.kill()
        run.process.wait()


def test_a_step_that_hangs_does_not_outlast_the_grace_period(start: Start) -> None:
    """It ends by itself and says so, before whoever asked it to ends it by force."""
    run = start(HANGING, grace="300ms")
    run.until("at work")
    run.process.send_signal(signal.SIGTERM)

    assert run.ended() == 1
    assert "controller.overdue" in run.told()


def test_a_second_signal_waits_for_nothing(start: Start) -> None:
    """Ctrl-C twice: the first asks, the second ends."""
    run = start(HANGING, grace="10m")
    run.until("at work")
    run.process.send_signal(signal.SIGINT)
    run.until("told to stop")
    run.process.send_signal(signal.SIGINT)

    assert run.ended() == 130
    assert "Traceback" not in run.told()


def test_a_standby_is_at_work_once_the_first_is_gone_however_it_went(start: Start) -> None:
    """Without --standby a second one is refused; with it, it waits, and kill -9 is an end too."""
    first = start(HANGING)
    first.until("at work")
    refused = start(HANGING)
    standby = start(HANGING, "--standby")

    assert refused.ended() == 3
    assert "another controller runs on" in refused.told()
    assert "at work" not in standby.told()
    first.process.kill()
    standby.until("at work")


def test_what_is_wrong_with_the_document_is_named(start: Start) -> None:
    """All of it at once, and nothing was started; tests/unit has every kind of mistake."""
    run = start(MENDLOOP, journal={"url": "mysql://x"}, tick={"every": "soon"}, ledger={})

    assert run.ended() == 2
    for field in ("spec.journal.url", "spec.tick.every", "spec.ledger"):
        assert field in run.told()
    assert "Traceback" not in run.told()


def test_a_database_that_a_newer_mendloop_made_is_left_alone(
    start: Start, fresh_postgres: Callable[[], str], postgres_server: Postgres, tmp_path: Path
) -> None:
    """It names both versions and the two ways out."""
    url = fresh_postgres()
    database = url.rpartition("/")[2]
    postgres_server.execute(f"UPDATE {SCHEMA}.{VERSION_TABLE} SET version_num = '9999'", database)
    (tmp_path / "password").write_text(PASSWORD)
    place = url.rpartition("@")[2]
    journal = {
        "url": f"postgresql://mendloop@{place}",
        "passwordFrom": {"file": str(tmp_path / "password")},
    }
    run = start(MENDLOOP, journal=journal)

    assert run.ended() == 3
    told = run.told()
    assert f"has version 9999 of mendloop's tables, this mendloop knows up to {HEAD}" in told
    assert "database downgrade" in told
    assert PASSWORD not in told
    [[version]] = postgres_server.execute(
        f"SELECT version_num FROM {SCHEMA}.{VERSION_TABLE}", database
    )
    assert version == "9999"
