"""``mendloop plan``: what would be done about a model now, and why; nothing is changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.home import home_option, open_journal

if TYPE_CHECKING:
    from orchestrator.preview import Preview


@click.command()
@click.argument("spec", type=click.Path(path_type=Path))
@home_option
@click.option("--goal", default="", help="Plan for this goal even when nothing breaks it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def plan(spec: Path, home: Path, goal: str, as_json: bool) -> None:
    """Print what mendloop would do, without doing it.

    SPEC is the ManagedModel document. Facts are read from the platform under --home; each broken
    goal gets its plan, the runner-up, and the reason why every other option was rejected: a
    guardrail among the shipped ones or those in HOME/policies, an attempt, or the price.

    Example: mendloop plan model.yaml --home .mendloop
    """
    from infra.embedded.home import Home
    from orchestrator.assembly import embedded_desk
    from orchestrator.preview import preview
    from tools.clock import SystemClock
    from tools.documents import load_document
    from tools.managed_model import ManagedModel

    model = load_document(spec, ManagedModel)
    with open_journal(home) as journal:
        history = model.history_path(spec.parent)
        desk = embedded_desk(Home(home), model, history, SystemClock(), acts_on_read=False)
        found = preview(desk, model, journal, home=home, goal=goal)
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), indent=2))
        return
    _print(found)


def _print(found: Preview) -> None:
    click.echo(f"{found.target} at {found.event_time or 'an unknown event time'}")
    for fact, value in found.facts.items():
        click.echo(f"  {fact} is {value}")
    if not found.plans:
        click.echo("No goal is broken: mendloop would do nothing.")
    for planned in found.plans:
        click.echo(f"\nGoal: {planned.goal}")
        if planned.missing:
            click.echo(f"  no plan: {'; '.join(planned.missing)}")
        for number, step in enumerate(planned.steps, start=1):
            click.echo(f"  {number}. {step}")
        if planned.steps:
            click.echo(f"  cost {planned.cost:.1f}")
        if planned.runner_up:
            click.echo(f"  runner-up (cost {planned.runner_up_cost:.1f}): ")
            click.echo(f"    {' -> '.join(planned.runner_up)}")
        for option, reason in planned.rejected.items():
            click.echo(f"  not {option}: {reason}")
