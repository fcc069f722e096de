"""The house itself: its names, its documents, its command line."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

from orchestrator.cli.main import COMMANDS, SUMMARIES, cli
from tools.documents import load_document
from tools.managed_model import ManagedModel

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "agents",
    "console",
    "examples",
    "infra",
    "orchestrator",
    "pipelines",
    "policies",
    "serving",
    "simulations",
    "tools",
)


def test_no_installed_distribution_provides_a_name_of_ours() -> None:
    """Packages are imported by their folder's name: nobody else may bring the same name."""
    providers = importlib.metadata.packages_distributions()

    assert {room: set(providers.get(room, ["mendloop"])) for room in ROOMS} == {
        room: {"mendloop"} for room in ROOMS
    }


def test_every_room_is_found_in_this_repository() -> None:
    """What is imported is what is read here."""
    for room in ROOMS:
        spec = importlib.util.find_spec(room)

        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).is_relative_to(ROOT)


def test_help_imports_nothing_heavy() -> None:
    """`mendloop --help` answers at once because it loads no command."""
    code = (
        "import sys; from orchestrator.cli.main import cli;"
        "cli(['--help'], standalone_mode=False);"
        "heavy = {'mlflow', 'kfp', 'sklearn', 'ibis', 'pandas', 'langgraph', 'numpy'};"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )

    assert done.stderr.strip() == "[]"


def _commands() -> list[str]:
    with click.Context(cli) as context:
        return cli.list_commands(context)


@pytest.mark.parametrize("name", _commands())
def test_every_command_explains_itself_with_an_example(name: str) -> None:
    """Help says what the command is for and shows a call of it; so does each of its parts."""
    with click.Context(cli) as context:
        command = cli.get_command(context, name)
    assert command is not None
    parts = list(command.commands) if isinstance(command, click.Group) else [""]
    for part in parts:
        shown = CliRunner().invoke(cli, [name, *([part] if part else []), "--help"])

        assert shown.exit_code == 0, shown.output
        assert "Example" in shown.output, f"mendloop {name} {part}".strip()


@pytest.mark.parametrize("name", _commands())
def test_the_summary_in_the_list_is_the_commands_own(name: str) -> None:
    """The list must not tell another story than the command."""
    summary = COMMANDS[name][1] if name in COMMANDS else SUMMARIES[name]
    with click.Context(cli) as context:
        command = cli.get_command(context, name)
    assert command is not None

    assert command.get_short_help_str(limit=200).rstrip(".") == summary.rstrip(".")


@pytest.mark.parametrize("name", _commands())
def test_every_command_is_in_the_readme(name: str) -> None:
    """A command that nobody can find is not there."""
    assert f"mendloop {name}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_published_schema_takes_the_example_document() -> None:
    """What `mendloop schema` prints describes the documents that people write."""
    printed = CliRunner().invoke(cli, ["schema", "ManagedModel"])
    schema = json.loads(printed.output)
    document = ROOT / "examples" / "flights" / "model.yaml"

    assert load_document(document, ManagedModel).metadata.name == "flights"
    assert set(yaml.safe_load(document.read_text(encoding="utf-8"))) <= set(schema["properties"])


def test_the_project_speaks_of_the_project_alone() -> None:
    """No path of a machine it was made on, and nothing that a user lacks."""
    listed = subprocess.run(
        ["git", "ls-files", "*.py", "*.md", "*.yaml", "*.toml", "Makefile"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout.split()
    words = ["/" + "work/", "." + "./shared", "/tmp/" + "exp"]
    found = [
        f"{name}: {word}"
        for name in listed
        for word in words
        if word in (ROOT / name).read_text(encoding="utf-8")
    ]

    assert not found


@pytest.mark.parametrize(
    "kind",
    [
        "ManagedModel",
        "GuardrailPolicy",
        "GuardContext",
        "ChangeCalendar",
        "JournalSettings",
        "FleetLimits",
        "NotificationChannels",
        "Platform",
        "FuzzCase",
    ],
)
def test_the_schema_in_docs_is_the_one_in_force(kind: str) -> None:
    """Editors read docs/schemas; `mendloop schema KIND > docs/schemas/KIND.json` renews it."""
    printed = CliRunner().invoke(cli, ["schema", kind])
    published = (ROOT / "docs" / "schemas" / f"{kind}.json").read_text(encoding="utf-8")

    assert json.loads(published) == json.loads(printed.output)
