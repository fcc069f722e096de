"""The ``--home`` option, and the journal that readers find there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Invalid

JOURNAL = "mendloop.db"

home_option = click.option(
    "--home",
    envvar="MENDLOOP_HOME",
    default=".mendloop",
    show_default=True,
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="Folder in which mendloop keeps its state.",
)


@contextmanager
def open_journal(home: Path) -> Iterator[SqliteJournal]:
    """The journal of ``home``, to read; writers may go on meanwhile."""
    if not home.is_dir():
        raise Invalid(f"there is no home folder {home}; say --home DIR or set MENDLOOP_HOME")
    path = home / JOURNAL
    if not path.is_file():
        raise Invalid(f"there is no journal {path}; has `mendloop run` or the demo used this home?")
    journal = SqliteJournal.open_read_only(path)
    try:
        yield journal
    finally:
        journal.close()
