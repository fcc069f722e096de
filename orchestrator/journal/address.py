"""Where a journal is: a file in the home folder, or a PostgreSQL database that several homes share.

Keys, settings and sealed segments stay in the home, whichever it is: who can rewrite the database
must not be able to sign. Controllers that share a journal share the key too.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.journal.checkpoint import CheckpointFolder, Checkpoints
from orchestrator.journal.keys import signing
from orchestrator.journal.sqlite import SqliteJournal
from tools.errors import Invalid
from tools.postgres_errors import is_postgres

if TYPE_CHECKING:
    from orchestrator.journal.stored import StoredJournal
    from tools.postgres import Database

FILE = "mendloop.db"
VARIABLE = "MENDLOOP_JOURNAL"
"""Names the database where no ``--journal`` does."""


@dataclass(frozen=True)
class JournalAddress:
    """A home folder and, where the journal is not in it, the database (``postgresql://...``)."""

    home: Path
    url: str = field(default="", repr=False)
    file: str = FILE

    def __post_init__(self) -> None:
        if self.url and not is_postgres(self.url):
            raise Invalid(
                "expected postgresql://user@host:port/database; without one the journal is a file"
                " in the home folder",
                field="--journal",
            )

    @property
    def name(self) -> str:
        """What to call it in a sentence; without a password."""
        return self.database.name if self.url else str(self.path)

    @property
    def path(self) -> Path:
        """The file, where the journal is one."""
        return self.home / self.file

    @property
    def keys(self) -> Path:
        """The folder with the key that signs, and the public ones."""
        return self.home / "keys"

    def open(self) -> StoredJournal:
        """To append; makes what is not there. Raises what the journal raises."""
        if not self.url:
            return SqliteJournal(self.path)
        from orchestrator.journal.postgres import PostgresJournal

        return PostgresJournal(self.database)

    def open_read_only(self) -> StoredJournal:
        """To read, while others may be writing."""
        if not self.url:
            return SqliteJournal.open_read_only(self.path)
        from orchestrator.journal.postgres import PostgresJournal
        from tools.postgres import Database

        return PostgresJournal(Database(self.url, read_only=True), read_only=True)

    def checkpoints(self) -> Checkpoints:
        """The signed checkpoints that are kept with the journal."""
        if not self.url:
            return CheckpointFolder(self.home / "checkpoints")
        from orchestrator.journal.postgres_checkpoints import PostgresCheckpoints

        return PostgresCheckpoints(self.database)

    @contextmanager
    def signing(self) -> Iterator[None]:
        """Nobody else signs or rotates the key meanwhile."""
        if self.url:
            with self.database.transaction(lock=_SIGNING):
                yield
        else:
            with signing(self.keys):
                yield

    @cached_property
    def database(self) -> Database:
        """This process's connections; whoever has the same address object shares them."""
        from tools.postgres import Database

        return Database(self.url)


_SIGNING = 0x6D656E64_7369676E
"""The advisory lock under which checkpoints are signed."""
