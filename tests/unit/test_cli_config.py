"""What reads or writes the journal takes the Platform document that the controller runs by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from orchestrator.cli.main import cli

MACHINE = Path(__file__).parents[2] / "examples" / "platforms" / "machine.yaml"


@pytest.fixture
def config(tmp_path: Path, fresh_postgres) -> Path:  # type: ignore[no-untyped-def]
    """A platform whose journal is in PostgreSQL, its password in a file, its keys in the home."""
    url = fresh_postgres()
    address, password = url.replace(":planted-Passw0rd@", "@"), tmp_path / "password"
    password.write_text("planted-Passw0rd\n")
    document = yaml.safe_load(MACHINE.read_text())
    document["spec"]["home"] = str(tmp_path / "home")
    document["spec"]["journal"] = {"url": address, "passwordFrom": {"file": str(password)}}
    path = tmp_path / "platform.yaml"
    path.write_text(yaml.safe_dump(document))
    return path


@pytest.mark.parametrize(
    "command",
    [
        ("incidents", "--json"),
        ("audit", "show", "--json"),
        ("audit", "verify", "--json"),
        ("autonomy", "--json"),
    ],
    ids=" ".join,
)
def test_journals_are_read_where_the_document_says(command: tuple[str, ...], config: Path) -> None:
    """No --home, no --journal, no password on the command line."""
    found = CliRunner().invoke(cli, [*command, "--config", str(config)], standalone_mode=False)

    assert found.exception is None, found.output
    json.loads(found.output)


def test_a_key_is_rotated_in_the_home_that_the_document_names(config: Path, tmp_path: Path) -> None:
    """Wherever the command is typed."""
    from datetime import UTC, datetime

    from orchestrator.journal.signed import SignedJournal
    from orchestrator.platform import reach
    from orchestrator.platform.document import read_platform

    address = reach.journal(read_platform(config).spec)
    address.home.mkdir(parents=True)
    SignedJournal(address, at=datetime(2026, 1, 1, tzinfo=UTC)).close()
    asked = ["audit", "rotate-key", "--by", "kim", "--config", str(config)]
    found = CliRunner().invoke(cli, asked, standalone_mode=False)

    assert found.exception is None, found.output
    assert len(list((tmp_path / "home" / "keys").glob("*.pub"))) == 2


def test_a_key_from_a_secret_is_the_one_that_signs(config: Path, tmp_path: Path) -> None:
    """A pod's own disk begins empty: two pods with one Secret sign as one, and after a rotation the
    new Secret stands."""
    from datetime import UTC, datetime

    from orchestrator.journal.signed import SignedJournal
    from orchestrator.platform import reach
    from orchestrator.platform.document import read_platform

    made = CliRunner().invoke(cli, ["audit", "make-key", str(tmp_path / "keys")])
    again = CliRunner().invoke(cli, ["audit", "make-key", str(tmp_path / "keys")])
    assert made.output == again.output
    document = yaml.safe_load(config.read_text())
    document["spec"]["journal"]["keyFrom"] = {"file": str(tmp_path / "keys" / "journal.key")}
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for pod in ("first", "second"):
        document["spec"]["home"] = str(tmp_path / pod)
        config.write_text(yaml.safe_dump(document))
        address = reach.journal(read_platform(config).spec)
        SignedJournal(address, at=now).close()
        assert (tmp_path / pod / "keys" / "journal.key").stat().st_mode & 0o077 == 0

    CliRunner().invoke(cli, ["audit", "make-key", str(tmp_path / "new")])
    document["spec"]["journal"]["keyFrom"] = {"file": str(tmp_path / "new" / "journal.key")}
    config.write_text(yaml.safe_dump(document))
    reach.journal(read_platform(config).spec)
    key = (tmp_path / "second" / "keys" / "journal.key").read_text()
    assert key == (tmp_path / "new" / "journal.key").read_text()
