"""``mendloop policy``: checks and tests guardrails, explains and replays what they said."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from pydantic import TypeAdapter, ValidationError
from rich.text import Text

from orchestrator.cli.home import config_option, home_option, open_journal
from orchestrator.cli.timeline import console
from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.payloads import GuardJudged
from orchestrator.policy_explain import ExplainedRule, explained
from orchestrator.policy_files import read_policies
from orchestrator.policy_replay import (
    Difference,
    kinds_in,
    names_in,
    replay,
    without_those_in,
)
from orchestrator.rules import Rules, load_rules
from policies.examples import ExampleResult, run_examples
from policies.policy_set import CompiledPolicy
from tools.errors import Invalid
from tools.managed_model import Duration

_file = click.argument("file", type=click.Path(path_type=Path), required=False)


@click.group()
def policy() -> None:
    """Check, test, explain and replay guardrails."""


@policy.command(name="check")
@_file
def check_file(file: Path | None) -> None:
    """Check that the policies in FILE (or a folder; default: those built in) load.

    \b
    Example: mendloop policy check freeze.yaml
    """
    loaded = _loaded(file)
    counted = "1 policy is" if len(loaded) == 1 else f"{len(loaded)} policies are"
    click.echo(f"{counted} well-formed: {', '.join(p.name for p in loaded) or 'none'}")
    others = sorted(kinds_in({} if file is None else read_policies(file)) - {"GuardrailPolicy"})
    if others:
        click.echo(f"and so are the documents of kind {', '.join(others)}")


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
    results = [result for p in _loaded(file) for result in run_examples(p)]
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
@click.argument("step", required=False)
@home_option
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the rulings as a JSON array.")
def explain(incident: str, step: str | None, home: Path, as_json: bool) -> None:
    """Show every rule on the steps of INCIDENT (or on one STEP), with the values it read.

    STEP is the name of a tool, or the number of the step in its incident.

    \b
    Examples:
      mendloop policy explain inc-0001 promote --home demo-out
      mendloop policy explain inc-0001 4 --home demo-out --json
    """
    with open_journal(home) as journal:
        events = journal.events(incident=incident, kinds=[kinds.GUARD_JUDGED, kinds.STEP_INTENDED])
    wanted = _keys_of(events, step)
    judged = [
        event
        for event in events
        if event.kind == kinds.GUARD_JUDGED
        and not event.missing
        and (step is None or event.payload["tool"] == step or event.payload["key"] in wanted)
    ]
    gone = [event for event in events if event.missing]
    if not judged and gone:
        raise Invalid(
            f"the rulings of {incident} are not there any more: event {gone[0].seq}'s"
            f" payload {gone[0].missing}"
        )
    if not judged:
        raise Invalid(f"the guardrails judged no such step in {incident}; see `mendloop incidents`")
    rules = _rules_of(home)
    told = [(event, explained(event.read(GuardJudged), rules)) for event in judged]
    if as_json:
        rows = [
            {**e.model_dump(), "rules": [r.model_dump(mode="json") for r in found]}
            for e, found in told
        ]
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    out = console()
    for event, found in told:
        said = event.read(GuardJudged)
        decision = said.ruling.decision.value.replace("_", " ")
        heading = f"event {event.seq}  {event.at[:19]}  {said.tool} ({said.stage}): {decision}"
        out.print(Text(heading, style="bold"))
        for rule in found:
            out.print(_told(rule))


@policy.command(name="replay")
@click.argument("file", type=click.Path(path_type=Path))
@home_option
@config_option
@click.option("--since", default="30d", show_default=True, help="How far back: 12h, 30d, ...")
@click.option("--json", "as_json", is_flag=True, help="Print what came of it as JSON.")
@click.pass_context
def replay_file(context: click.Context, file: Path, home: Path, since: str, as_json: bool) -> None:
    """Judge past decisions again with the rules in FILE (or a folder) added to those of the home.

    A document of FILE stands in for the one of its name in HOME/policies. Exit code 1 when a
    decision would differ. What would have come after it, nobody knows.

    \b
    Example: mendloop policy replay freeze.yaml --home demo-out --since 30d
    """
    changed = read_policies(file)
    rules = load_rules({**without_those_in(_home_texts(home), changed), **changed})
    start = (datetime.now(UTC) - _duration(since)).isoformat()
    with open_journal(home) as journal:
        recent = [e for e in journal.events(kinds=[kinds.GUARD_JUDGED]) if e.at >= start]
    events = [event for event in recent if not event.missing]
    found = replay(events, rules, replaced=kinds_in(changed))
    if as_json:
        click.echo(json.dumps(found.model_dump(mode="json"), ensure_ascii=False))
    else:
        for difference in found.differences:
            click.echo(_differs(difference))
        same = found.judged - len(found.differences)
        click.echo(f"{found.judged} decisions judged again: {same} stay as they were")
        if len(events) < len(recent):
            click.echo(f"{len(recent) - len(events)} were pruned by retention and are left out")
        if found.unreadable:
            click.echo(f"{found.unreadable} were recorded without their values and are left out")
    if found.differences:
        context.exit(1)


def _rules_of(home: Path) -> Rules:
    """Those of the home as they stand now; the shipped ones where they are broken."""
    try:
        return load_rules(_home_texts(home))
    except Invalid:
        return load_rules({})


def _home_texts(home: Path) -> dict[str, str]:
    folder = home / "policies"
    return read_policies(folder) if folder.is_dir() and any(folder.glob("*.yaml")) else {}


def _keys_of(events: list[Event], step: str | None) -> set[str]:
    """Idempotency keys of the steps with this number."""
    intents = [e for e in events if e.kind == kinds.STEP_INTENDED]
    return {e.payload["key"] for e in intents if str(e.payload["step"]) == step}


def _differs(found: Difference) -> str:
    was, now = (d.value.replace("_", " ") for d in (found.was, found.now))
    lines = [
        f"event {found.event}  {found.at[:19]}  {found.target} {found.incident}"
        f"  {found.tool} ({found.stage}): {was} -> {now}"
    ]
    lines += [f"    objects now: {said}" for said in found.gained]
    lines += [f"    no longer objects: {said}" for said in found.lost]
    return "\n".join(lines)


def _loaded(file: Path | None) -> tuple[CompiledPolicy, ...]:
    """The policies in ``file``, checked beside the shipped ones; without, the shipped ones."""
    if file is None:
        return load_rules({}).policies.policies
    own = read_policies(file)
    named = names_in(own)
    return tuple(
        p for p in load_rules(own).policies.policies if ("GuardrailPolicy", p.name) in named
    )


def _duration(text: str) -> timedelta:
    try:
        return TypeAdapter(Duration).validate_python(text)
    except ValidationError as error:
        raise Invalid(
            f"expected a duration such as 12h or 30d, got {text!r}", field="--since"
        ) from error


def _line(result: ExampleResult) -> str:
    if result.passed:
        return f"ok    {result.policy}: {result.example}"
    said = result.ruling.decision.value
    why = "; ".join(result.ruling.reasons)
    return f"FAIL  {result.policy}: {result.example}: expected {result.expected}, got {said}" + (
        f" ({why})" if why else ""
    )


def _told(rule: ExplainedRule) -> Text:
    style = {"passed": "green", "violated": "red", "error": "bold red"}[rule.result]
    text = Text("  ")
    text.append(f"{rule.result:8}", style=style)
    text.append(f" {rule.rule}")
    if rule.message:
        text.append(f": {rule.message}")
    if rule.expression:
        text.append(f"\n           {rule.expression}", style="dim")
        text.append(f"\n           {rule.substituted}", style="dim")
    for name, value in sorted(rule.values.items()):
        text.append(f"\n           {name} = {json.dumps(value, ensure_ascii=False)}", style="dim")
    return text
