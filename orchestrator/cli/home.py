"""The options ``--home`` and ``--journal``, and the journal that readers find there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from orchestrator.journal.address import VARIABLE, JournalAddress
from orchestrator.journal.stored import StoredJournal
from orchestrator.kill_switch import STOP_FILE, KillSwitch
from tools.errors import Invalid

if TYPE_CHECKING:
    from orchestrator.platform.document import PlatformSpec

_URL = "mendloop.journal"
_PLATFORM = "mendloop.platform"
_Command = TypeVar("_Command", bound=Callable[..., Any])


def home_option(command: _Command) -> _Command:
    """``--home``, which the command is given, and ``--journal``, which ``journal_of`` knows."""
    return _home(_journal(command))


def _keep_url(context: click.Context, option: click.Parameter, value: str) -> None:
    context.meta[_URL] = value


def _home_of(context: click.Context, option: click.Parameter, value: Path) -> Path:
    """Where segments and keys are: with ``--config``, in the home that the document names."""
    spec = context.meta.get(_PLATFORM)
    if spec is None:
        return value
    home: Path = spec.home
    return home


_home = click.option(
    "--home",
    callback=_home_of,
    envvar="MENDLOOP_HOME",
    default=".mendloop",
    show_default=True,
    show_envvar=True,
    type=click.Path(path_type=Path),
    help="Folder in which mendloop keeps its state.",
)
_journal = click.option(
    "--journal",
    envvar=VARIABLE,
    default="",
    show_envvar=True,
    metavar="URL",
    expose_value=False,
    callback=_keep_url,
    help="Database with the journal (postgresql://user@host/name); default: a file in the home.",
)


def _keep_platform(context: click.Context, option: click.Parameter, value: Path | None) -> None:
    if value is not None:
        from orchestrator.platform.document import read_platform

        context.meta[_PLATFORM] = read_platform(value).spec


config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    expose_value=False,
    is_eager=True,  # read before --home, whose place the document's own takes
    callback=_keep_platform,
    help="Platform document: its kill switch, journal and home, instead of --home and --journal.",
)


def platform_of_options() -> PlatformSpec | None:
    """What ``--config`` named; None where it was not given."""
    context = click.get_current_context(silent=True)
    found: PlatformSpec | None = context.meta.get(_PLATFORM) if context else None
    return found


def switch_of(home: Path) -> KillSwitch:
    """The kill switch, by the options of the command that runs."""
    spec = platform_of_options()
    if spec is None:
        return KillSwitch(home / STOP_FILE)
    from orchestrator.platform import reach

    return reach.kill_switch(spec, reach.kubernetes(spec.kubernetes) if spec.kubernetes else None)


def journal_of(home: Path) -> JournalAddress:
    """Where the journal is, by the options of the command that runs."""
    spec = platform_of_options()
    if spec is not None:
        from orchestrator.platform import reach

        return reach.journal(spec)
    context = click.get_current_context(silent=True)
    return JournalAddress(home, context.meta.get(_URL, "") if context else "")


@contextmanager
def open_journal(home: Path) -> Iterator[StoredJournal]:
    """The journal of ``home``, to read; writers may go on meanwhile."""
    address = journal_of(home)
    if not address.url and not address.home.is_dir():
        raise Invalid(
            f"there is no home folder {address.home}; say --home DIR or set MENDLOOP_HOME"
        )
    if not address.url and not address.path.is_file():
        raise Invalid(
            f"there is no journal {address.path}; has `mendloop run` or the demo used this home?"
            f" One in PostgreSQL is named by --journal or {VARIABLE}"
        )
    journal = address.open_read_only()
    try:
        yield journal
    finally:
        journal.close()
