"""``mendloop audit prune|seal|rotate-key``: what is done to the journal, each on record in it."""

from __future__ import annotations

import getpass
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from orchestrator.cli.home import config_option, home_option, journal_of, open_journal
from tools.errors import Invalid

_by = click.option("--by", default="", help="Who does it (default: the user of this session).")
_UNITS = {"d": "days", "h": "hours", "w": "weeks"}


def _age(context: click.Context, option: click.Parameter, value: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,6})([dhw])", value)
    if not found:
        raise Invalid(
            f"expected a number of days, hours or weeks such as 90d, got {value!r}",
            field="--older-than",
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


@click.command()
@home_option
@config_option
@click.option("--older-than", callback=_age, required=True, help="Such as 90d, 12h or 8w.")
@click.option("--reason", default="", help="Why; written to the journal.")
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@_by
def prune(home: Path, older_than: timedelta, reason: str, dry_run: bool, by: str) -> None:
    """Take old snapshots and reasonings out of the journal; their digests and all acts stay.

    Recorded as an event. The chain, checkpoints and proofs hold as before: they cover digests. The
    newest memory of each target and everything of open incidents stay.

    \b
    Example: mendloop audit prune --older-than 90d --reason "retention of 90 days" --home .mendloop
    """
    from orchestrator.journal.incidents import fold_incidents
    from orchestrator.journal.signed import SignedJournal

    now = datetime.now(UTC)
    with open_journal(home) as reader:
        incidents = fold_incidents(reader.events())
        still_open = [i.id for i in incidents if i.status in ("open", "waiting")]
        found = reader.prunable(now - older_than, still_open)
    size = f"{len(found.payloads)} payloads ({found.bytes:,} bytes) from before {found.before}"
    if dry_run or not found.payloads:
        click.echo(f"{size} would go" if found.payloads else "nothing is old enough")
        return
    address = journal_of(home)
    journal = address.open()
    try:
        taken = journal.prunable(now - older_than, still_open)
        journal.prune(taken, at=now, actor=by or getpass.getuser(), reason=reason)
    finally:
        journal.close()
    SignedJournal(address, at=now).close()
    click.echo(f"{size} are gone; the record of it is signed")


@click.command()
@home_option
@config_option
@_by
def seal(home: Path, by: str) -> None:
    """Write what is signed and not sealed yet to HOME/segments, as a file that no longer changes.

    Its SHA-256 is recorded in the journal; `mendloop audit verify` compares files that are there.
    Keep segments elsewhere if pruned payloads may be needed again.

    \b
    Example: mendloop audit seal --home .mendloop
    """
    from orchestrator.journal.payloads import JournalSealed
    from orchestrator.journal.segments import SEGMENTS, seal
    from orchestrator.journal.signed import SignedJournal

    now = datetime.now(UTC)
    with open_journal(home):
        pass  # says what is wrong with the home before anything is written
    SignedJournal(journal_of(home), at=now).close()
    address = journal_of(home)
    journal = address.open()
    try:
        last = journal.head().seq
        event = seal(journal, home / SEGMENTS, last=last, at=now, by=by or getpass.getuser())
    finally:
        journal.close()
    SignedJournal(address, at=now).close()
    sealed = event.read(JournalSealed)
    click.echo(f"events {sealed.first} to {sealed.last} are sealed in {SEGMENTS}/{sealed.file}")


@click.command(name="make-key")
@click.argument("folder", type=click.Path(path_type=Path))
def make_key(folder: Path) -> None:
    """Make a key that signs checkpoints in FOLDER, for a Secret of the cluster.

    Controllers that share a journal need the same one (journal.keyFrom of the Platform document).
    Keep the public key (journal-ID.pub) where nobody who can write the journal can write: it is
    what `mendloop audit verify --keys` believes. A key that is there already is left alone.

    \b
    Example: mendloop audit make-key keys
    """
    from orchestrator.journal.keys import SIGNING_KEY, load_or_make_signer

    signer = load_or_make_signer(folder)
    click.echo(f"{folder / SIGNING_KEY} signs as {signer.verifier}")


@click.command(name="rotate-key")
@home_option
@config_option
@_by
@click.option("--lost", is_flag=True, help="Nobody has the old key any more: go on without it.")
def rotate_key(home: Path, by: str, lost: bool) -> None:
    """Sign checkpoints with a new key from now on; the old key signs the hand-over.

    A controller may go on running: it takes the new key at its next checkpoint. Whoever holds the
    first public key can still verify everything. With --lost nothing hands over: verifiers must be
    given the new public key too.

    \b
    Example: mendloop audit rotate-key --by alice --home .mendloop
    """
    from orchestrator.journal.rotation import replace_lost_key, rotate_key

    with open_journal(home):
        pass
    if lost:
        key = replace_lost_key(journal_of(home), at=datetime.now(UTC), by=by or getpass.getuser())
        click.echo(f"checkpoints are signed now by {key}")
        return
    if not journal_of(home).keys.is_dir():
        raise Invalid(f"{home} has no key yet; `mendloop run` makes the first one")
    old, new = rotate_key(journal_of(home), at=datetime.now(UTC), by=by or getpass.getuser())
    click.echo(f"checkpoints were signed by {old}\nand are signed now by {new}")
