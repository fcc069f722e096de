"""``mendloop policy``: checks and tests guardrails, and explains what they said about a step."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.text import Text

from orchestrator.cli.home import home_option, open_journal
from orchestrator.cli.timeline import console
from orchestrator.journal import kinds
from orchestrator.journal.payloads import GuardJudged
from orchestrator.policy_files import builtin_texts, read_policies
from policies.engine import PolicySet, load_policies
from policies.examples import ExampleResult, run_examples
from policies.ruling import RuleVerdict
from tools.errors import Invalid

_file = click.argument("file", type=click.Path(path_type=Path), required=False)


@click.group()
def policy() -> None:
    """Check, test and explain guardrails."""


@policy.command(name="check")
@_file
def check_file(file: Path | None) -> None:
    """Check that the policies in FILE (or a folder; default: those built in) load.

    \b
    Example: mendloop policy check freeze.yaml
    """
    loaded = _loaded(file)
    click.echo(f"{len(loaded.policies)} policies are well-formed: {', '.join(_names(loaded))}")


@policy.command(name="test")
@_file
@click.option("--json", "as_json", is_flag=True, help="Print the results as a JSON array.")
@click.pass_context
def test_file(context: click.Context, file: Path | None, as_json: bool) -> None:
    """Run the examples inside the policies of FILE (or a folder; default: those built in).

    Exit code 1 when a policy says something else than its example expects.

    \b
    Example: mendloop policy test freeze.yaml
    """
    results = [result for p in _loaded(file).policies for result in run_examples(p)]
    if not results:
        raise Invalid("the policies have no examples; add spec.examples")
    if as_json:
        click.echo(json.dumps([r.model_dump(mode="json") for r in results], ensure_ascii=False))
    else:
        for result in results:
            click.echo(_line(result))
    if not all(result.passed for result in results):
        context.exit(1)


@policy.command()
@click.argument("incident")
@click.argument("tool", required=False)
@home_option
@click.option("--json", "as_json", is_flag=True, help="Print the rulings as a JSON array.")
def explain(incident: str, tool: str | None, home: Path, as_json: bool) -> None:
    """Show every rule on the steps of INCIDENT (or on one TOOL), with the values it read.

    \b
    Example: mendloop policy explain inc-0001 promote --home demo-out
    """
    with open_journal(home) as journal:
        events = journal.events(incident=incident, kinds=[kinds.GUARD_JUDGED])
    judged = [event for event in events if tool in (None, event.payload["tool"])]
    if not judged:
        raise Invalid(f"the guardrails judged no such step in {incident}; see `mendloop incidents`")
    if as_json:
        click.echo(json.dumps([event.model_dump() for event in judged], ensure_ascii=False))
        return
    out = console()
    for event in judged:
        said = event.read(GuardJudged)
        decision = said.ruling.decision.value.replace("_", " ")
        heading = f"event {event.seq}  {event.at[:19]}  {said.tool} ({said.stage}): {decision}"
        out.print(Text(heading, style="bold"))
        for verdict in said.ruling.verdicts:
            out.print(_told(verdict))


def _loaded(file: Path | None) -> PolicySet:
    return load_policies(builtin_texts() if file is None else read_policies(file))


def _names(loaded: PolicySet) -> list[str]:
    return [p.name for p in loaded.policies]


def _line(result: ExampleResult) -> str:
    if result.passed:
        return f"ok    {result.policy}: {result.example}"
    said = result.ruling.decision.value
    why = "; ".join(result.ruling.reasons)
    return f"FAIL  {result.policy}: {result.example}: expected {result.expected}, got {said}" + (
        f" ({why})" if why else ""
    )


def _told(verdict: RuleVerdict) -> Text:
    style = {"passed": "green", "violated": "red", "error": "bold red"}[verdict.result]
    text = Text("  ")
    text.append(f"{verdict.result:8}", style=style)
    text.append(f" {verdict.policy}[{verdict.rule}]")
    if verdict.message:
        text.append(f": {verdict.message}")
    for name, value in sorted(verdict.values.items()):
        text.append(f"\n           {name} = {json.dumps(value, ensure_ascii=False)}", style="dim")
    return text
