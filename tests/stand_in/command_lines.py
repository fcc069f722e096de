"""Whether command lines of mendloop in documents and workflows would be understood."""

from __future__ import annotations

import re
import shlex

import click

from orchestrator.cli.main import cli

_END = {"|", "||", "&&", ";", ">", ">>", "<", "2>&1", "&"}


def mendloop_lines(script: str) -> list[str]:
    """The calls of mendloop in a shell script or a console session, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", script)
    found = []
    for line in joined.splitlines():
        text = re.sub(r"^\s*[$#>]\s+", "", line.strip())
        text = re.sub(r"^(\w+=\S+\s+|kubectl .*? -- |if |! )*", "", text)
        if re.match(r"(\.venv/bin/)?mendloop\s", text):
            found.append(text)
    return found


def problem(line: str) -> str:
    """What is wrong with a call of mendloop; empty when it would be understood."""
    words = shlex.split(re.sub(r"\$\{?\w+\}?", "value", line), comments=True)
    end = next((i for i, word in enumerate(words) if word in _END), len(words))
    words = [word for word in words[1:end] if not re.match(r"^\d?>", word)]
    command: click.Command = cli
    context = click.Context(cli, info_name="mendloop")
    if words[:1] == ["simulate"] and words[1:2] != ["new"]:
        words.insert(1, "run")  # what `mendloop simulate NAMES` means
    while isinstance(command, click.Group):
        if not words or words[0].startswith("-"):
            return "" if words in (["--help"], ["--version"]) else f"{line}: names no command"
        try:
            name, found, words = command.resolve_command(context, words)
        except click.UsageError:
            return f"{line}: there is no {words[0]}"
        assert found is not None
        command, context = found, click.Context(found, info_name=name, parent=context)
    if words == ["--help"]:
        return ""
    try:
        given, rest, _ = command.make_parser(context).parse_args(list(words))
    except click.UsageError as error:
        return f"{line}: {error.format_message()}"
    missing = [
        param.name
        for param in command.params
        if param.required and not isinstance(given.get(str(param.name)) or None, str | list | tuple)
    ]
    return f"{line}: missing {missing}" if missing else f"{line}: too much: {rest}" if rest else ""
