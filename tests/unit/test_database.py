"""The version of mendloop's tables in PostgreSQL: made once, brought up, taken down, refused."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from orchestrator.checkpointer import postgres_checkpointer
from orchestrator.cli.main import cli
from orchestrator.database import (
    HEAD,
    bring_up,
    known_versions,
    must_be_current,
    schema_state,
    take_down,
)
from orchestrator.journal import kinds
from orchestrator.journal.postgres import PostgresJournal
from tools.errors import MendloopError, Refused
from tools.postgres import Database

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def tables(database: Database) -> set[str]:
    with database.connection() as connection:
        rows = connection.execute(
            b"SELECT table_name FROM information_schema.tables WHERE table_schema = 'mendloop'"
        ).fetchall()
    return {str(name) for (name,) in rows}


def test_the_newest_version_is_the_one_that_the_code_knows() -> None:
    """Whoever adds a migration says that the code reads it."""
    assert known_versions()[-1] == HEAD


def test_an_empty_database_is_made_and_then_left_alone(postgres_url: str) -> None:
    """The second start changes nothing."""
    database = Database(postgres_url)
    assert schema_state(database).version == ""
    with pytest.raises(Refused, match="mendloop database upgrade"):
        must_be_current(database)

    assert bring_up(database)
    assert not bring_up(database)
    assert schema_state(database).is_current
    must_be_current(database)


def test_controllers_that_start_at_once_make_it_once(postgres_url: str) -> None:
    """LangGraph's tables too, whose index is built while others wait."""
    failures: list[MendloopError] = []

    def start() -> None:
        try:
            database = Database(postgres_url)
            bring_up(database)
            postgres_checkpointer(database)
        except MendloopError as error:
            failures.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert {"events", "backlog", "checkpoints", "checkpoint_blobs"} <= tables(
        Database(postgres_url)
    )


def test_it_goes_down_and_up_again_with_the_journal_in_place(postgres_url: str) -> None:
    """A downgrade drops what the older version does not know, and no event."""
    database = Database(postgres_url)
    journal = PostgresJournal(database)
    payload = {"by": "kim", "reason": "fair"}
    event = journal.append(kinds.TARGET_PAUSED, at=NOW, actor="kim", payload=payload)
    take_down(database, to="0001")

    assert schema_state(database).version == "0001"
    assert "backlog" not in tables(database)
    with pytest.raises(Refused, match="there is a journal"):
        take_down(database, to="base")
    with pytest.raises(Refused, match="version 0001"):
        PostgresJournal(Database(postgres_url, read_only=True), read_only=True)
    bring_up(database)
    assert journal.events() == [event]
    assert journal.verify().ok


def test_an_empty_journal_can_be_taken_down_altogether(postgres_url: str) -> None:
    """Every migration has a way back."""
    database = Database(postgres_url)
    bring_up(database)
    take_down(database, to="base")

    assert tables(database) == {"schema_version"}


def test_a_newer_database_is_refused(postgres_url: str) -> None:
    """What this mendloop does not know it must not write."""
    database = Database(postgres_url)
    bring_up(database)
    with database.connection() as connection:
        connection.execute(b"UPDATE schema_version SET version_num = '0999'")
    for use in (bring_up, must_be_current, PostgresJournal):
        with pytest.raises(Refused, match="version 0999"):
            use(database)
    with pytest.raises(Refused, match="version 0999"):
        take_down(database, to="0001")


def test_an_operator_sees_and_sets_the_version(postgres_url: str) -> None:
    """With the role that owns the tables, where the controller's own may not make any."""
    place = ["--journal", postgres_url]

    def run(*words: str) -> str:
        found = CliRunner().invoke(cli, ["database", *words, *place], catch_exceptions=False)
        assert found.exit_code == 0
        return found.output

    assert "nothing" in run("show")
    assert f"version {HEAD}" in run("upgrade")
    assert "already" in run("upgrade")
    assert '"is_current": true' in run("show", "--json").replace('":true', '": true')
    assert "version 0001" in run("downgrade", "--to", "0001")
    assert "0001" in run("show")
