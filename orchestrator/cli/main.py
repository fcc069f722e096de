"""Entry point of ``mendloop``: finds the command, turns errors into messages and exit codes.

Exit codes: 0 done (or nothing found), 1 found something (drift, a broken promise, a failed run),
2 the input or the environment is wrong, 3 refused (a human is needed), 130 interrupted.
"""

from __future__ import annotations

import importlib
import signal
import sys
from importlib.metadata import entry_points

import click

from tools.errors import Invalid, MendloopError, Refused

# name -> (module:attribute, summary). The summary stands here so that `mendloop --help` imports
# no command; a test checks that it equals the command's own.
COMMANDS: dict[str, tuple[str, str]] = {
    "approve": (
        "orchestrator.cli.approvals:approve",
        "Allow one step that waits for a person.",
    ),
    "audit": ("orchestrator.cli.audit:audit", "Show and verify the journal."),
    "autonomy": (
        "orchestrator.cli.autonomy:autonomy",
        "Show the autonomy that targets have earned, or set it.",
    ),
    "canary": ("orchestrator.cli.canary:canary", "Plan the evidence of a canary."),
    "database": (
        "orchestrator.cli.database:database",
        "Show, upgrade or downgrade mendloop's tables in PostgreSQL.",
    ),
    "doctor": (
        "orchestrator.cli.doctor:doctor",
        "Check every connection and permission that mendloop will need.",
    ),
    "drift": ("orchestrator.cli.drift:drift", "Compare two files of data column by column."),
    "export": ("orchestrator.cli.export:export", "Write a version for use outside a cluster."),
    "hand-back": (
        "orchestrator.cli.take_over:hand_back",
        "Give TARGET back to mendloop, as it is now.",
    ),
    "incidents": ("orchestrator.cli.incidents:incidents", "List incidents and their outcome."),
    "notify": (
        "orchestrator.cli.notify:notify",
        "Tell people and programs what happened, by webhook.",
    ),
    "pause": (
        "orchestrator.cli.pause:pause",
        "Stop changes on TARGET, or on all; observing goes on.",
    ),
    "pipelines": (
        "orchestrator.cli.pipelines:pipelines",
        "Compile training pipelines, and submit a run.",
    ),
    "plan": ("orchestrator.cli.plan:plan", "Print what mendloop would do, without doing it."),
    "policy": ("orchestrator.cli.policy:policy", "Check, test, explain and replay guardrails."),
    "prediction-log": (
        "orchestrator.cli.prediction_log:prediction_log",
        "Show how long a model's prediction log is, archive old rows, and take them out.",
    ),
    "experiment": (
        "orchestrator.cli.experiment:experiment",
        "Divide callers over the champion and another version for good, and compare the two.",
    ),
    "release": (
        "orchestrator.cli.release:release",
        "Offer a version to the loop, and wait for what becomes of it.",
    ),
    "resume": ("orchestrator.cli.pause:resume", "Allow changes on TARGET, or on all, again."),
    "reject": (
        "orchestrator.cli.approvals:reject",
        "Forbid one step that waits for a person.",
    ),
    "run": ("orchestrator.cli.run:run", "Run the controller."),
    "score": ("orchestrator.cli.score:score", "Score a CSV or Parquet file with a model."),
    "take-over": (
        "orchestrator.cli.take_over:take_over",
        "Take TARGET in hand: mendloop ends its incidents there and changes nothing.",
    ),
    "schema": ("orchestrator.cli.schema:schema", "Print the JSON Schema of a document kind."),
}


class LazyCommands(click.Group):
    """Imports a command when it is called; floors above plug theirs in by entry point."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS | _plugged())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        where = (COMMANDS | _plugged()).get(cmd_name)
        if where is None:
            return None
        module, _, attribute = where[0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            rows = [(name, (COMMANDS | _plugged())[name][1]) for name in self.list_commands(ctx)]
            formatter.write_dl(rows)


def _plugged() -> dict[str, tuple[str, str]]:
    found = entry_points(group="mendloop.commands")
    return {entry.name: (entry.value, SUMMARIES.get(entry.name, "")) for entry in found}


# Summaries of the commands of floors above, which this one must not import.
SUMMARIES = {
    "backtest": "Replay one's own history through mendloop, and compare.",
    "demo": "Close the loop on real flights, on this machine.",
    "simulate": (
        "Rehearse incidents in virtual time, and score what mendloop did by the world's own state."
    ),
}


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mendloop")
def cli() -> None:
    """Keeps production machine-learning models healthy, and never makes things worse.

    Example: mendloop demo
    """


def main() -> None:
    """Run the command line; never a bare traceback for a user's mistake."""
    # SIGTERM ends a command like Ctrl-C does, by its own clean-up; `run` and `demo` set their own.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        code = _say("interrupted", 130)
    except click.ClickException as error:
        error.show()
        code = 2
    except Refused as error:
        code = _say(f"refused: {error}", 3)
    except (Invalid, MendloopError) as error:
        code = _say(str(error), 2)
    except KeyboardInterrupt:
        code = _say("interrupted", 130)
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def _say(message: str, code: int) -> int:
    click.echo(f"mendloop: {message}", err=True)
    return code
