"""The demo from its first process to its last line: set up, replay, measure, tell, clean up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pandas as pd
import uvloop

from examples.flights.data import load_flights
from examples.flights.director import WEATHER_FAULT
from examples.flights.live import LiveView
from examples.flights.measure import (
    tell_crash,
    tell_incidents,
    tell_journal,
    tell_requests,
    tell_traffic,
    tell_versions,
)
from examples.flights.outcome import Outcome
from examples.flights.people import tell_approvals, tell_denials
from examples.flights.quality import measure_quality
from examples.flights.report import write_report
from examples.flights.stage import Stage, end_controller
from examples.flights.summary import summary_table
from examples.flights.world import sample_flights
from examples.flights.year import Year, replay_year
from infra.embedded.home import Home
from infra.embedded.platform import Platform, stop_platform
from orchestrator.assembly import tracking_uri
from orchestrator.journal.sqlite import SqliteJournal
from tools.artifact import load_predictor
from tools.errors import Invalid, Refused, Unavailable
from tools.registry import ModelVersion

ANSWERS = "answers.parquet"
"""In the home: every request with what came back for it."""
MARKER = ".mendloop-demo"
"""Says that a folder was made by the demo and may be removed by it."""


@dataclass(frozen=True)
class Settings:
    """What the command line said."""

    home: Path
    report: Path | None
    html: Path
    log: Path
    seed: int
    sample: float
    keep_running: bool


def run_demo(settings: Settings) -> Outcome:
    """Run it and write its report. Everything started is gone afterwards, however it ends."""
    began_s = time.monotonic()
    _check_writable(settings.report, "--report")
    home = fresh_home(settings.home)
    with LiveView(settings.log) as view, _interruptible():
        stage = Stage(home, seed=settings.seed)
        is_kept = False
        try:
            platform, flights, first = _set_up(stage, settings, view)
            year = _replay(stage, platform, flights, view)
            if not settings.keep_running:
                stage.stop_controller()
            year.rows.to_parquet(home.root / ANSWERS, index=False)
            outcome = _measure(stage, flights, first, year, began_s)
            _tell(outcome, settings, view)
            is_kept = settings.keep_running
        finally:
            if not is_kept:
                _clean_up(stage, view)
        if is_kept:
            _tell_addresses(platform, home, view)
    return outcome


def fresh_home(root: Path) -> Home:
    """An empty home at ``root``. Raises Invalid when something else than a demo lives there."""
    if root.exists() and any(root.iterdir()):
        if not (root / MARKER).exists():
            raise Invalid(
                f"{root} is not empty and was not made by the demo; choose another folder",
                field="--home",
            )
        _refuse_second(root)
        end_controller(Home(root))
        stop_platform(root)
        shutil.rmtree(root)
    home = Home(root).prepare()
    (root / MARKER).write_text(f"{os.getpid()}\n", encoding="utf-8")
    return home


def _check_writable(path: Path | None, option: str) -> None:
    """Nobody wants to learn it after four minutes."""
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise Invalid(f"cannot write {path}: {error.strerror}", field=option) from error


def _refuse_second(root: Path) -> None:
    """Two demos in one folder would stop each other's servers."""
    text = (root / MARKER).read_text(encoding="utf-8").strip()
    if text.isdecimal() and int(text) != os.getpid():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(int(text), 0)
            raise Refused(
                f"another demo (process {text}) runs in {root}; wait for it or choose another home",
            )


def _set_up(
    stage: Stage, settings: Settings, view: LiveView
) -> tuple[Platform, pd.DataFrame, ModelVersion]:
    view.phase("The service, before mendloop")
    flights = sample_flights(
        load_flights(stage.home.root / "data"), share=settings.sample, seed=settings.seed
    )
    view.say(f"{len(flights):,} of the flights that left New York in 2013")
    platform = stage.start_platform()
    view.say(f"Envoy answers at {platform.predict_url}")
    view.say("the first champion is trained on January and February (Kubeflow pipeline) ...")
    first = stage.train_first_champion(flights)
    loss = first.metrics["log_loss"]
    view.say(f"version {first.version}: log loss {loss:.4f} on its newest two weeks, held out")
    stage.serve(first)
    view.say(f"version {first.version} serves; all traffic goes to it")
    stage.start_controller()
    view.say("the controller is started: mendloop is in charge from here")
    return platform, flights, first


def _replay(stage: Stage, platform: Platform, flights: pd.DataFrame, view: LiveView) -> Year:
    view.phase("March to December, as it happens")

    async def until_done_or_told() -> Year:
        loop = asyncio.get_running_loop()
        work = asyncio.create_task(replay_year(stage, platform, flights, view))
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _interrupt, stage, work)
        return await work

    try:
        return uvloop.run(until_done_or_told())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _interrupt(stage: Stage, work: asyncio.Task[Year]) -> None:
    stage.abandon()
    work.cancel()


def _measure(
    stage: Stage, flights: pd.DataFrame, first: ModelVersion, year: Year, began_s: float
) -> Outcome:
    history = flights[flights["known_at"] < year.rows["scheduled_departure"].min()]
    folder = stage.registry.fetch(first.model, first.version, stage.home.artifacts)
    journal = SqliteJournal.open_read_only(stage.home.journal)
    try:
        events = journal.events()
        return Outcome(
            incidents=tell_incidents(events),
            versions=tell_versions(year, stage.registry.versions(first.model)),
            traffic=tell_traffic(year, first.version),
            requests=tell_requests(year),
            crash=tell_crash(year, events),
            quality=measure_quality(
                year.rows,
                year.arrived,
                load_predictor(folder),
                float(history["late"].mean()),
                WEATHER_FAULT,
            ),
            journal=tell_journal(journal),
            approvals=tell_approvals(events),
            denials=tell_denials(events),
            wall_s=round(time.monotonic() - began_s, 1),
        )
    finally:
        journal.close()


def _tell(outcome: Outcome, settings: Settings, view: LiveView) -> None:
    view.phase("What came of it")
    view.show(summary_table(outcome))
    write_report(outcome, settings.html)
    view.say(f"report: {settings.html}")
    if settings.report is not None:
        settings.report.write_text(outcome.model_dump_json(indent=2), encoding="utf-8")
        view.say(f"outcome as JSON: {settings.report}")


def _tell_addresses(platform: Platform, home: Home, view: LiveView) -> None:
    view.phase("Still running")
    view.say(f"predict:    POST {platform.predict_url}/predict (header 'host: flights')")
    view.say(f"metrics:    {platform.admin_url}/stats/prometheus")
    ui = f"mlflow ui --backend-store-uri {tracking_uri(home)}"
    view.say(f"MLflow UI:  {Path(sys.executable).with_name('mlflow').parent}/{ui}")
    view.say(f"journal:    mendloop audit show --home {home.root}")
    view.say(f"stop all:   the next `mendloop demo --home {home.root}` does it")


def _clean_up(stage: Stage, view: LiveView) -> None:
    """Stop everything; a second Ctrl-C must not leave a part of it running."""
    with _deaf():
        leftovers = stage.stop()
    view.say("everything that was started is stopped")
    if leftovers:
        raise Unavailable(f"still running: {'; '.join(leftovers)}; end them by their ids")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM ends the demo like Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {s: signal.signal(s, interrupt) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    before = {s: signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
