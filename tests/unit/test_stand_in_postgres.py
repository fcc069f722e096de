"""The throw-away PostgreSQL: every test has a database of its own."""

from __future__ import annotations

import pytest

from tests.stand_in.postgres import Postgres


@pytest.mark.parametrize("turn", [1, 2])
def test_every_test_begins_with_an_empty_database(turn: int, postgres_url: str) -> None:
    """Or tests would depend on their order."""
    import psycopg

    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE thing (a int)")
        [[found]] = connection.execute("SELECT count(*) FROM thing").fetchall()

    assert found == 0


def test_the_applications_role_is_no_superuser(postgres_server: Postgres) -> None:
    """What mendloop needs must work with what a careful administrator grants."""
    [[is_super]] = postgres_server.execute(
        "SELECT rolsuper FROM pg_roles WHERE rolname = 'mendloop'"
    )

    assert is_super is False
