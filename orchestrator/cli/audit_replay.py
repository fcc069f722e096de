"""``mendloop audit replay``: makes an incident's decisions again and compares, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import click

from orchestrator.cli.home import config_option, home_option, open_journal
from tools.errors import Invalid


@click.command()
@home_option
@config_option
@click.argument("incident")
@click.option(
    "--policies",
    "folders",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    help="Folder with rules of your own, besides HOME/policies, as `mendloop run` was given.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON object.")
@click.pass_context
def replay(
    context: click.Context, home: Path, incident: str, folders: tuple[Path, ...], as_json: bool
) -> None:
    """Make an incident's decisions again from their recorded inputs, through the code of today.

    Diagnoses, plans, rulings and verdicts on evidence are compared with what was written, byte for
    byte; a decision that comes out differently is shown as a diff, and the exit code is 1.

    \b
    Example: mendloop audit replay inc-0001 --home demo-out
    """
    from orchestrator.replay import replay_incident
    from orchestrator.rule_folder import RuleFolder

    with open_journal(home) as journal:
        if not journal.events(incident=incident):
            raise Invalid(f"there is no incident {incident}; `mendloop incidents` lists them")
        rules = RuleFolder([home / "policies", *folders]).in_force
        found = replay_incident(journal, incident, {rules.digest: rules.policies})
    counts = {
        result: sum(1 for decision in found if decision.result == result)
        for result in ("same", "different", "not replayed")
    }
    if as_json:
        decisions = [decision.model_dump() for decision in found]
        told = {"incident": incident, "counts": counts, "decisions": decisions}
        click.echo(json.dumps(told, ensure_ascii=False))
    else:
        for decision in found:
            why = f" ({decision.reason})" if decision.reason else ""
            click.echo(
                f"event {decision.event}  {decision.kind}  {decision.what}: {decision.result}{why}"
            )
            for line in decision.diff:
                click.echo(f"    {line}")
        click.echo(", ".join(f"{number} {result}" for result, number in counts.items()))
    if counts["different"]:
        context.exit(1)
