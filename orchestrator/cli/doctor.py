"""``mendloop doctor``: what will mendloop need here, what is missing, and how to get it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.cli.home import home_option, journal_of
from tools.errors import Invalid


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Platform document; without one the home on this machine is looked at.",
)
@click.option(
    "--timeout",
    "timeout_s",
    default=30.0,
    show_default=True,
    type=click.FloatRange(1, 600),
    help="Seconds after which what has not answered counts as unknown.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as a JSON object.")
@home_option
@click.pass_context
def doctor(
    context: click.Context, config: Path | None, timeout_s: float, as_json: bool, home: Path
) -> None:
    """Check every connection and permission that mendloop will need.

    Nothing is changed, and nothing is sent to a person. What is missing is said with the way to get
    it; missing permissions with the rules to apply. Exit code 0 when mendloop can work like that,
    1 when something is missing or cannot be told, 2 when the document itself is wrong.

    \b
    Examples:
      mendloop doctor --config platform.yaml
      kubectl -n mendloop exec deploy/mendloop -- mendloop doctor --config /etc/mendloop/x.yaml
      mendloop doctor --home .mendloop --json
    """
    from orchestrator.cli.logs import configure_logs
    from orchestrator.doctor.check import examine
    from orchestrator.doctor.examination import of_home, of_platform
    from orchestrator.doctor.report import as_json as told
    from orchestrator.doctor.report import in_words, is_sound
    from orchestrator.platform.document import read_platform

    configure_logs()

    def now() -> datetime:
        return datetime.now(UTC)

    if config is not None:
        checks = of_platform(read_platform(config), now=now)
    elif home.is_dir():
        checks = of_home(home, journal_of(home), now=now)
    else:
        raise Invalid(
            f"there is no home folder {home}; say --home DIR, or --config FILE for a cluster"
        )
    findings = examine(checks, timeout_s=timeout_s)
    if as_json:
        click.echo(json.dumps(told(findings), ensure_ascii=False, indent=2))
    else:
        click.echo(in_words(findings))
    if not is_sound(findings):
        context.exit(1)
