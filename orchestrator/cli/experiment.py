"""``mendloop experiment``: an A/B test between the champion and another gated version."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.home import (
    config_option,
    home_option,
    journal_of,
    platform_of_options,
    switch_of,
)
from orchestrator.cli.targets import by_option

if TYPE_CHECKING:
    from agents.ports import Desk
    from orchestrator.change_calendar import ChangeCalendar
    from orchestrator.experiments import Compared, Experiments
    from tools.managed_model import ManagedModel

_model = click.argument("model", type=click.Path(path_type=Path))
_json = click.option("--json", "as_json", is_flag=True, help="Print the experiment as JSON.")


@click.group()
def experiment() -> None:
    """Divide callers over the champion and another version for good, and compare the two.

    A caller keeps the version of its first answer (a cookie); the header x-mendloop-version asks
    for one. While it runs the target is yours: mendloop looks on and changes nothing.

    Example: mendloop experiment start model.yaml --version 7 --percent 20 --reason "does it sell?"
    """


@experiment.command()
@_model
@click.option("--version", required=True, help="The version beside the champion.")
@click.option("--percent", type=click.IntRange(1, 99), required=True, help="Of new callers.")
@click.option("--reason", required=True, help="What you want to find out.")
@by_option
@home_option
@config_option
def start(model: Path, version: str, percent: int, reason: str, by: str, home: Path) -> None:
    """Serve VERSION and give it PERCENT of the new callers of MODEL.

    Refused for a version that has not passed its gates, while an incident is under way, and while
    mendloop is stopped. Calling it again goes on where it was cut off.

    Example: mendloop experiment start model.yaml --version 7 --percent 20 --reason "does it sell?"
    """
    from tools.errors import Refused

    with _experiments(model, home) as (document, found):
        pause = switch_of(home).read(document.target)
        if pause.active:
            raise Refused(f"{document.target} is paused by {pause.by or 'somebody'}; resume first")
        test = found.start(version, percent, by=by, reason=reason)
    split = ", ".join(f"v{v} {p} %" for v, p in sorted(test.shares.items()))
    click.echo(f"{document.target}: new callers go to {split}; {test.header} asks for a version")
    click.echo("`mendloop experiment stop` takes everybody back to the champion")


@experiment.command()
@_model
@click.option("--stop-if-harmful", is_flag=True, help="End it when labels prove the version worse.")
@_json
@by_option
@home_option
@config_option
@click.pass_context
def status(
    context: click.Context,
    model: Path,
    stop_if_harmful: bool,
    as_json: bool,
    by: str,
    home: Path,
) -> None:
    """Compare the two on matured labels, at error rates that hold at every look.

    Every matured row counts for both: whoever did not answer it is asked again. Exit code 1 says
    that the version is proved worse.

    Example: mendloop experiment status model.yaml --stop-if-harmful
    """
    from tools.statistics.verdict import Verdict

    with _experiments(model, home) as (_, found):
        compared = found.compare()
        judgement = compared.judgement
        is_harmful = judgement is not None and judgement.verdict is Verdict.HARMFUL
        if stop_if_harmful and is_harmful and judgement is not None:
            found.stop(by=by, reason=judgement.reason)
    click.echo(compared.model_dump_json() if as_json else _told(compared))
    if is_harmful:
        context.exit(1)


@experiment.command()
@_model
@click.option("--reason", default="", help="What came of it.")
@by_option
@home_option
@config_option
def stop(model: Path, reason: str, by: str, home: Path) -> None:
    """Take everybody back to the champion, and give the target back to mendloop.

    Works while mendloop is stopped.

    Example: mendloop experiment stop model.yaml --reason "no difference"
    """
    with _experiments(model, home) as (document, found):
        was_running = found.stop(by=by, reason=reason)
    said = "everybody is back at the champion" if was_running else "no experiment was running"
    click.echo(f"{document.target}: {said}")


@contextmanager
def _experiments(path: Path, home: Path) -> Iterator[tuple[ManagedModel, Experiments]]:
    from orchestrator.experiments import Experiments
    from tools.documents import load_document
    from tools.managed_model import ManagedModel

    document = load_document(path, ManagedModel)
    journal = journal_of(home).open()
    try:
        desk = _desk(document, path, home)
        yield document, Experiments(desk, document, journal, calendars=_calendars(home))
    finally:
        journal.close()


def _calendars(home: Path) -> tuple[ChangeCalendar, ...]:
    """Those that the controller follows."""
    from infra.embedded.home import Home
    from orchestrator.rule_folder import RuleFolder

    spec = platform_of_options()
    folders = [Home(spec.home if spec else home).policies, *(spec.policies.folders if spec else ())]
    return RuleFolder(folders).in_force.calendars


def _desk(document: ManagedModel, path: Path, home: Path) -> Desk:
    from tools.clock import SystemClock

    spec = platform_of_options()
    if spec is None:
        from infra.embedded.home import Home
        from orchestrator.assembly import embedded_desk

        return embedded_desk(
            Home(home), document, document.history_path(path.parent), SystemClock()
        )
    from orchestrator.meter import Meter
    from orchestrator.model_source import ModelDocument
    from orchestrator.platform.adapters import Adapters

    adapters = Adapters(spec, clock=SystemClock(), meter=Meter())
    return adapters.desk(ModelDocument(model=document, folder=path.parent))


def _told(compared: Compared) -> str:
    if not compared.is_running or compared.judgement is None:
        return f"{compared.target}: no experiment is running"
    split = ", ".join(f"v{v} {p} %" for v, p in sorted(compared.shares.items()))
    verdict = compared.judgement.verdict.value
    return f"{compared.target}: {split} since {compared.since[:19]}\n{verdict}: " + (
        compared.judgement.reason
    )
