"""``mendloop autonomy``: which rung each target has earned, and a person's word about it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator.cli.home import config_option, home_option, open_journal
from orchestrator.cli.targets import by_option, record
from tools.errors import Invalid

if TYPE_CHECKING:
    from orchestrator.standings import TargetStanding

RUNG = click.Choice(["observe", "propose", "approve", "auto"])


@click.command()
@click.argument("target", required=False)
@click.option("--set", "rung", type=RUNG, help="Put TARGET on this rung.")
@click.option("--reason", default="", help="Why; needed with --set.")
@by_option
@home_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the standings as a JSON array.")
def autonomy(
    target: str | None, rung: str | None, reason: str, by: str, home: Path, as_json: bool
) -> None:
    """Show the autonomy that targets have earned, or set it.

    For targets whose document has spec.guardrails.ladder. A rung that is set holds from the next
    step on; mendloop goes on from there, never above spec.guardrails.autonomy.

    \b
    Examples:
      mendloop autonomy --home .mendloop
      mendloop autonomy default/flights --set approve --reason "release week"
    """
    from orchestrator.standings import standings_of

    with open_journal(home) as journal:
        found = [s for s in standings_of(journal) if target in (None, s.target)]
    if target is not None and not found:
        raise Invalid(f"the journal knows no target {target}; see `mendloop autonomy`")
    if rung is not None:
        _set(home, target, rung, found, reason=reason, by=by)
        return
    if as_json:
        click.echo(json.dumps([s.model_dump() for s in found], ensure_ascii=False))
        return
    for standing in found:
        click.echo(_told(standing))
    if not found:
        click.echo("no target so far")


def _told(standing: TargetStanding) -> str:
    if not standing.has_ladder:
        return f"{standing.target}: {standing.rung}, as its document says"
    line = f"{standing.target}: {standing.rung} (at most {standing.ceiling})"
    if standing.rung != standing.ceiling:
        line += f", {standing.clean} of {standing.needed} clean incidents towards the next rung"
    return line + (f"; {standing.reason}" if standing.reason else "")


def _set(
    home: Path,
    target: str | None,
    rung: str,
    found: list[TargetStanding],
    *,
    reason: str,
    by: str,
) -> None:
    """Write it down. Raises Invalid unless it says whom it is about and why."""
    from orchestrator.journal import kinds
    from orchestrator.journal.payloads import AutonomyChanged

    if target is None or not reason.strip():
        raise Invalid("say which TARGET and why (--reason)")
    (standing,) = found
    if not standing.has_ladder:
        raise Invalid(
            f"{target} has no ladder: change spec.guardrails.autonomy of its document",
            field="--set",
        )
    moved = AutonomyChanged.model_validate(
        {"before": standing.rung, "after": rung, "cause": "set", "reason": reason}
    )
    record(home, kinds.AUTONOMY_CHANGED, target, by, datetime.now(UTC), moved)
    click.echo(f"{target}: {standing.rung} -> {rung}")
