"""What ``mendloop run --config`` does: one installation's process, until it is told to stop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import structlog

from infra.embedded.home import Home
from orchestrator.cli.logs import configure_logs
from orchestrator.platform.document import read_platform
from orchestrator.platform.running import Running

log = structlog.get_logger()

OVERDUE = 1
"""Exit code where the step in hand did not end within the grace period."""
TakeHome = Callable[[Path, ExitStack, threading.Event], bool]


def run_platform(
    config: Path, stop: threading.Event, *, take_home: TakeHome, ticks: int = 0
) -> None:
    """Run what the document at ``config`` says. ``take_home`` makes this the home's only process.

    Raises Invalid for what is wrong with the document, or cannot be had.
    """
    spec = read_platform(config).spec
    configure_logs(spec.log.format, level=spec.log.level)
    place = Home(spec.home).prepare()
    with ExitStack() as held:
        if not take_home(place.root, held, stop):
            return
        running = held.enter_context(Running(spec, stop))
        grace_s = spec.grace.total_seconds()
        threading.Thread(
            target=_end_in_time, args=(stop, grace_s), name="grace", daemon=True
        ).start()
        running.run(ticks=ticks)


def _end_in_time(stop: threading.Event, grace_s: float) -> None:
    """The step in hand hangs: end as a killed process would, before the pod is killed.

    Nothing acknowledged is lost, and the next controller looks at the world.
    """
    stop.wait()
    threading.Event().wait(grace_s)
    log.error("controller.overdue", grace_s=grace_s)
    os._exit(OVERDUE)
