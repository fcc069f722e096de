"""``mendloop simulate``: rehearses incidents in virtual time and scores what came of them."""

from __future__ import annotations

from pathlib import Path

import click

from simulations.fuzz.command import fuzz


class RunsByDefault(click.Group):
    """``simulate NAME`` means ``simulate run NAME``; the help shows the options of both."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if "--fuzz" in args:
            args = ["fuzz", *(each for each in args if each != "--fuzz")]
        if not args or args[0] not in (*self.commands, "-h", "--help"):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        run = self.commands["run"]
        records = [r for p in run.get_params(ctx) if (r := p.get_help_record(ctx)) is not None]
        with formatter.section("Options"):
            formatter.write_dl(records)
        self.format_commands(ctx, formatter)


@click.group(cls=RunsByDefault, subcommand_metavar="[NAME|FILE|DIR]... [OPTIONS]")
def simulate() -> None:
    """Rehearse incidents in virtual time, and score what mendloop did by the world's own state.

    NAME is a shipped scenario (see `mendloop simulate list`), FILE a Scenario document, DIR a
    folder of them. Exit code 1 when a scenario fails its truth or an invariant breaks.

    \b
    Examples:
      mendloop simulate concept-drift-sudden --seeds 5
      mendloop simulate --all --jobs 2 --baselines --report rehearsal
      mendloop simulate new my-incident
      mendloop simulate --fuzz --seeds 200 --minutes 2
    """


simulate.add_command(fuzz)


@simulate.command(short_help="Run scenarios (the default).")
@click.argument("what", nargs=-1, metavar="[NAME|FILE|DIR]...")
@click.option("--all", "is_all", is_flag=True, help="Run every shipped scenario.")
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1), help="Seeds each.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="First seed.")
@click.option(
    "--jobs", default=1, show_default=True, type=click.IntRange(1, 256), help="Processes at once."
)
@click.option("--baselines", is_flag=True, help="Let the other operators play them as well.")
@click.option(
    "--report",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for an HTML page per run, a scoreboard, and the JSON.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option(
    "--junit", type=click.Path(dir_okay=False, path_type=Path), help="File for JUnit XML (CI)."
)
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File for the scoreboard as Markdown (docs/scoreboard.md).",
)
@click.pass_context
def run(
    context: click.Context,
    what: tuple[str, ...],
    is_all: bool,
    seeds: int,
    seed: int,
    jobs: int,
    baselines: bool,
    report: Path | None,
    as_json: bool,
    junit: Path | None,
    markdown: Path | None,
) -> None:
    """Run scenarios: shipped ones by NAME, FILEs, folders (DIR), or --all.

    \b
    Example: mendloop simulate run frozen-feed --seeds 3 --report rehearsal
    """
    from simulations.rehearse import Order, rehearse

    order = Order(
        what=what,
        is_all=is_all,
        seeds=tuple(range(seed, seed + seeds)),
        jobs=jobs,
        baselines=baselines,
        report=report,
        as_json=as_json,
        junit=junit,
        markdown=markdown,
    )
    if not rehearse(order):
        context.exit(1)


@simulate.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_shipped(as_json: bool) -> None:
    """List the shipped scenarios.

    \b
    Example: mendloop simulate list
    """
    from simulations.shipped import shipped

    found = shipped()
    if as_json:
        import json

        rows = [
            {
                "name": s.name,
                "kind": s.spec.truth.kind,
                "labels": s.metadata.labels,
                "description": s.spec.description,
            }
            for s in found
        ]
        click.echo(json.dumps(rows, ensure_ascii=False))
        return
    for scenario in found:
        said = " ".join(scenario.spec.description.split())
        click.echo(f"{scenario.name:38} {scenario.spec.truth.kind:9} {said}")


@simulate.command()
@click.argument("name")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Folder for the document; default: here.",
)
def new(name: str, into: Path) -> None:
    """Write a commented scenario document that runs as it is, to be changed.

    \b
    Example: mendloop simulate new my-incident
    """
    from simulations.template import write_template

    path = write_template(name, into)
    click.echo(f"{path} is written; run it with `mendloop simulate {path}`")
