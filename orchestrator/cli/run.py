"""``mendloop run``: the controller, until it is told to stop."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import FrameType

import click
from click.core import ParameterSource

from orchestrator.cli.home import home_option, journal_of

TICK_S = 0.5
_STANDBY_POLL_S = 0.1
_STANDBY_WARM_S = 5.0
"""How long what a standby has read counts as fresh enough."""


@click.command()
@home_option
@click.option(
    "--spec",
    "specs",
    multiple=True,
    type=click.Path(path_type=Path),
    help="ManagedModel document; may be given several times.",
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Platform document: everything else is said there.",
)
@click.option(
    "--tick",
    "tick_s",
    default=TICK_S,
    show_default=True,
    type=click.FloatRange(0.05, 3600),
    help="Seconds from the beginning of one look to that of the next.",
)
@click.option(
    "--standby",
    is_flag=True,
    help="Wait until the home's controller has ended, however it ended, and take over at once.",
)
@click.option(
    "--policies",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder with rules of your own, besides HOME/policies; followed while it runs.",
)
@click.option(
    "--notifications",
    type=click.Path(path_type=Path),
    help="NotificationChannels document.  [default: notifications.yaml in the home, if there]",
)
@click.option("--ticks", default=0, hidden=True, help="Stop after so many ticks (0: never).")
def run(
    home: Path,
    specs: tuple[Path, ...],
    config: Path | None,
    tick_s: float,
    standby: bool,
    folders: tuple[Path, ...],
    notifications: Path | None,
    ticks: int,
) -> None:
    """Run the controller.

    It observes the managed models, opens incidents, and carries them to their end. SIGTERM or
    Ctrl-C end it after the step in hand; open incidents wait for the next run. A home has one
    controller; a second one is refused, or waits as a standby.

    Rules (GuardrailPolicy, ChangeCalendar, FleetLimits documents) in HOME/policies and in the
    folders of --policies are read again when their files change. Broken ones leave those before in
    force, and the journal says so.

    With --config a Platform document says what stands behind each port (Kubernetes, Istio,
    Kubeflow, MLflow, Prometheus, PostgreSQL, or this machine), and health, readiness and metrics
    are served.

    \b
    Example: mendloop run --home .mendloop --spec model.yaml
             mendloop run --config platform.yaml
    """
    if config is not None:
        _run_config(config, standby, ticks)
        return
    if not specs:
        raise click.UsageError("expected --spec FILE (this machine) or --config FILE (a platform)")
    from infra.embedded.home import Home
    from orchestrator.assembly import (
        embedded_controller,
        embedded_notifier,
        embedded_targets,
        notified_channels,
        warm_up,
    )
    from orchestrator.cli.logs import configure_logs
    from tools.documents import load_document
    from tools.managed_model import ManagedModel

    configure_logs()
    models = [(load_document(path, ManagedModel), path) for path in specs]
    place = Home(home).prepare()
    channels = notified_channels(place, notifications)
    stop = _stop_on_signal()
    targets = embedded_targets(
        place, [(model, model.history_path(path.parent)) for model, path in models]
    )
    meanwhile = (lambda: warm_up(targets)) if standby else None
    url = journal_of(place.root).url
    with ExitStack() as held:
        if not _take_home(place.root, held, stop, meanwhile=meanwhile):
            return
        controller = embedded_controller(place, targets, policies=folders, url=url)
        if channels is not None:
            held.enter_context(embedded_notifier(place, channels, url=url))
        controller.start()
        _tick_until(controller.tick, stop, tick_s, ticks)
        controller.stop("told to stop")
        controller.journal.close()


def _run_config(config: Path, standby: bool, ticks: int) -> None:
    from orchestrator.platform.command import run_platform

    context = click.get_current_context()
    options = {
        "home": "--home",
        "specs": "--spec",
        "tick_s": "--tick",
        "folders": "--policies",
        "notifications": "--notifications",
    }
    given = [
        option
        for name, option in options.items()
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise click.UsageError(f"{', '.join(given)}: with --config the document says it")
    meanwhile = (lambda: None) if standby else None
    run_platform(
        config,
        _stop_on_signal(),
        take_home=partial(_take_home, meanwhile=meanwhile),
        ticks=ticks,
    )


def _take_home(
    home: Path, held: ExitStack, stop: threading.Event, *, meanwhile: Callable[[], None] | None
) -> bool:
    """Become the home's only controller; False when told to stop while waiting for that.

    ``meanwhile`` is what a standby does while it waits; None: do not wait.
    """
    from tools.durable_files import locked
    from tools.errors import Refused, Unavailable

    warm_until_s = 0.0
    while not stop.is_set():
        try:
            held.enter_context(locked(home / "controller.lock", timeout_s=0.0))
            return True
        except Unavailable as error:
            if meanwhile is None:
                raise Refused(
                    f"another controller runs on {home}, or its lock cannot be taken ({error}); "
                    "stop it, choose another --home, or wait for its end with --standby"
                ) from error
        if time.monotonic() >= warm_until_s:
            meanwhile()
            warm_until_s = time.monotonic() + _STANDBY_WARM_S
        stop.wait(_STANDBY_POLL_S)
    return False


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()

    def told(_signal: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            sys.exit(130)  # a second Ctrl-C does not wait for the step in hand
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    return stop


def _tick_until(tick: Callable[[], None], stop: threading.Event, tick_s: float, ticks: int) -> None:
    done = 0
    while not stop.is_set():
        began_s = time.monotonic()
        tick()
        done += 1
        if ticks and done >= ticks:
            return
        stop.wait(max(0.0, tick_s - (time.monotonic() - began_s)))
