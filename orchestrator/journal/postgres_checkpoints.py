"""Signed checkpoints beside the journal in PostgreSQL, so that every controller finds them."""

from __future__ import annotations

from typing import Any

from orchestrator.journal.checkpoint import Checkpoint
from orchestrator.journal.note import Signer
from tools.postgres import Database


class PostgresCheckpoints:
    """Implements Checkpoints; names are those of the files that places keep."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, checkpoint: Checkpoint, signer: Signer) -> None:
        """See Checkpoints. Another controller with the same key signs the same bytes: one stays."""
        note = signer.sign(checkpoint.text())
        with self._database.connection() as connection:
            connection.execute(
                b"INSERT INTO signed_checkpoints (size, note) VALUES (%s, %s)"
                b" ON CONFLICT DO NOTHING",
                (checkpoint.size, note),
            )

    def notes(self) -> list[tuple[str, str]]:
        """See Checkpoints."""
        return self.after(-1)

    def newest(self) -> tuple[str, str] | None:
        """See Checkpoints."""
        found = self._found(b"ORDER BY size DESC LIMIT 1", ())
        return found[0] if found else None

    def newest_size(self) -> int:
        """See Checkpoints."""
        with self._database.connection() as connection:
            row = connection.execute(b"SELECT max(size) FROM signed_checkpoints").fetchone()
        return int(row[0] or 0) if row else 0

    def covering(self, event: int) -> str | None:
        """See Checkpoints."""
        found = self._found(b"WHERE size >= %s ORDER BY size LIMIT 1", (event,))
        return found[0][1] if found else None

    def after(self, size: int) -> list[tuple[str, str]]:
        """See Checkpoints."""
        return self._found(b"WHERE size > %s ORDER BY size", (size,))

    def _found(self, condition: bytes, values: tuple[Any, ...]) -> list[tuple[str, str]]:
        query = b"SELECT size, note FROM signed_checkpoints " + condition
        with self._database.connection() as connection:
            rows = connection.execute(query, values).fetchall()
        return [(f"{size:012d}.checkpoint", note) for size, note in rows]
