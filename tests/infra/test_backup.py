"""What docs/production.md says of logins, backup and restore, done with a real PostgreSQL."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from orchestrator.cli.main import cli
from orchestrator.journal import kinds
from orchestrator.journal.address import JournalAddress
from orchestrator.journal.attended import AttendedJournal
from orchestrator.journal.settings import settings_of
from tests.stand_in.postgres import PASSWORD, Postgres

BOOTSTRAP = Path(__file__).parents[2] / "infra/terraform/modules/database/bootstrap.sql"
SETTINGS = """apiVersion: mendloop.dev/v1alpha1
kind: JournalSettings
spec:
  checkpoints:
    everyEvents: 5
    places:
      - folder: {kept}
"""
NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)


def client(server: Postgres, name: str, *arguments: str) -> str:
    """Run a client program, of the server's own version where it is installed."""
    beside = server._binaries / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name} (Debian: apt-get install postgresql-client)")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def verified(home: Path, url: str) -> Result:
    """`mendloop audit verify` of a journal in a database, against the kept checkpoints."""
    kept = ["--checkpoints", str(home / "kept"), "--keys", str(home / "keys")]
    asked = ["audit", "verify", "--home", str(home), "--journal", url, *kept]
    return CliRunner().invoke(cli, asked, standalone_mode=False)


def written(home: Path, url: str, events: int) -> None:
    """Go on with a journal that keeps copies of its checkpoints outside the database."""
    home.mkdir(exist_ok=True)
    (home / "journal.yaml").write_text(SETTINGS.format(kept=home / "kept"), encoding="utf-8")
    journal = AttendedJournal(JournalAddress(home, url), at=NOW, settings=settings_of(home))
    for number in range(events):
        payload = {"by": "kim", "reason": f"reason {number}"}
        journal.append(kinds.TARGET_PAUSED, at=NOW, actor="kim", payload=payload, target="a/b")
    journal.close()


def test_a_restored_dump_verifies_and_goes_on(
    postgres_server: Postgres, postgres_url: str, tmp_path: Path
) -> None:
    """Against the checkpoints that were kept outside the database, which is what proves it."""
    home, dump = tmp_path / "home", tmp_path / "mendloop.dump"
    written(home, postgres_url, 12)
    client(postgres_server, "pg_dump", "--format=custom", f"--file={dump}", postgres_url)
    restored = postgres_server.url(postgres_server.make_database())
    listing = ("--exit-on-error", "--no-owner", f"--dbname={restored}", str(dump))
    client(postgres_server, "pg_restore", *listing)

    assert verified(home, restored).return_value in (None, 0)
    written(home, restored, 3)
    assert verified(home, restored).return_value in (None, 0)


def test_an_older_dump_is_told_by_checkpoints_that_are_newer(
    postgres_server: Postgres, postgres_url: str, tmp_path: Path
) -> None:
    """What happened between the dump and the loss is missing: copies of checkpoints kept elsewhere
    say so. Those inside the database are as old as the dump."""
    home, dump = tmp_path / "home", tmp_path / "mendloop.dump"
    written(home, postgres_url, 6)
    client(postgres_server, "pg_dump", "--format=custom", f"--file={dump}", postgres_url)
    written(home, postgres_url, 20)
    restored = postgres_server.url(postgres_server.make_database())
    listing = ("--exit-on-error", "--no-owner", f"--dbname={restored}", str(dump))
    client(postgres_server, "pg_restore", *listing)
    found = verified(home, restored)

    assert found.return_value == 1


def test_a_forged_restore_is_found(
    postgres_server: Postgres, postgres_url: str, tmp_path: Path
) -> None:
    """Somebody edited the dump: the first bad event is named."""
    home, dump = tmp_path / "home", tmp_path / "mendloop.sql"
    written(home, postgres_url, 12)
    client(postgres_server, "pg_dump", f"--file={dump}", postgres_url)
    text = dump.read_text(encoding="utf-8")
    assert "reason 3" in text
    dump.write_text(text.replace("reason 3", "reason X"), encoding="utf-8")
    restored = postgres_server.url(postgres_server.make_database())
    client(postgres_server, "psql", "--quiet", restored, "-f", str(dump))
    found = verified(home, restored)

    assert found.return_value == 1
    assert "event" in found.output


def test_the_bootstrap_makes_a_login_that_reaches_its_own_database_only(
    postgres_server: Postgres,
) -> None:
    """By an administrator who is no superuser, as RDS has it; again for a new password."""
    postgres_server.execute(f"CREATE ROLE admin LOGIN CREATEDB CREATEROLE PASSWORD '{PASSWORD}'")
    admin = postgres_server.url("postgres", "admin")
    for login, password in (("one", "first"), ("two", "first"), ("one", "second")):
        said = {"login": login, "database": f"of_{login}", "password": password}
        told = [word for name, value in said.items() for word in ("-v", f"{name}={value}")]
        client(postgres_server, "psql", "--quiet", admin, *told, "-f", str(BOOTSTRAP))
    address = f"127.0.0.1:{postgres_server.port}"
    with psycopg.connect(f"postgresql://one:second@{address}/of_one") as connection:
        connection.execute("CREATE SCHEMA mendloop")

    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(f"postgresql://one:second@{address}/of_two")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"postgresql://one:first@{address}/of_one")
    for login in ("one", "two"):
        postgres_server.drop_database(f"of_{login}")
