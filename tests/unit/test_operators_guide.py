"""docs/operators.md shows commands that exist, with options that they take."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from orchestrator.cli.main import COMMANDS, cli

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "operators.md"
MUST_SHOW = (
    "incidents",
    "audit",
    "policy",
    "pause",
    "resume",
    "approve",
    "reject",
    "take-over",
    "hand-back",
    "notify",
)


def typed() -> list[str]:
    """Every command line of the guide's console blocks, continued lines joined."""
    blocks = re.findall(r"```console\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line[2:] for line in lines if line.startswith("$ mendloop")]


@pytest.mark.parametrize("line", typed())
def test_each_line_of_the_guide_can_be_typed(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command is there and takes these arguments; redirections are the shell's."""
    monkeypatch.chdir(tmp_path)
    for folder in ("usb/keys", "usb/checkpoints"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("proof.json", "journal.jsonl"):
        (tmp_path / file).write_text("{}", encoding="utf-8")
    words = shlex.split(re.split(r"\s[|>]\s", line)[0])[1:]
    command: click.Command = cli
    while isinstance(command, click.Group):
        _, found, words = command.resolve_command(click.Context(command), words)
        assert found is not None
        command = found
    with click.Context(command) as context:  # closes the files that it opens
        command.parse_args(context, words)

        assert not context.args


def test_the_guide_walks_through_the_whole_night() -> None:
    """Stop it, see why, approve, reject, take over, hand back, prove it."""
    shown = {line.split()[1] for line in typed()}

    assert set(MUST_SHOW) <= shown
    assert set(MUST_SHOW) <= set(COMMANDS)
