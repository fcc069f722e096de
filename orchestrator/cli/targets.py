"""The TARGET argument of commands by which a person steps in, and their line in the journal."""

from __future__ import annotations

import getpass
import re
from datetime import datetime
from pathlib import Path

import click

from orchestrator.cli.home import journal_of, platform_of_options
from tools.errors import Invalid
from tools.values import Value

_TARGET = re.compile(r"^[a-z0-9][-a-z0-9]*/[a-z0-9][-a-z0-9]*$")

by_option = click.option(
    "--by", default=getpass.getuser, help="Who decides; default: the login name."
)


def check_target(target: str, home: Path) -> str:
    """The target as it was written. Raises Invalid when home or name cannot be right."""
    if platform_of_options() is None and not home.is_dir() and not journal_of(home).url:
        raise Invalid(f"there is no home folder {home}; say --home DIR or set MENDLOOP_HOME")
    if not _TARGET.match(target):
        raise Invalid(f"expected namespace/name, got {target!r}", field="TARGET")
    return target


def record(
    home: Path, kind: str, target: str | None, by: str, now: datetime, payload: Value
) -> None:
    """Write what a person did; the controller may be down."""
    journal = journal_of(home).open()
    try:
        journal.append(kind, at=now, actor=by, target=target or "", payload=payload)
    finally:
        journal.close()
