"""A throw-away PostgreSQL: started once per test process, an empty database for every test.

Needs the server's binaries (Debian: postgresql), on the PATH or in /usr/lib/postgresql; tests skip
where they are missing. A test takes the fixture ``postgres_url``, or ``postgres_server`` to stop
and start it (then it should start one of its own with ``running_postgres``).
"""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

ROLE, PASSWORD = "mendloop", "planted-Passw0rd"
"""The application's role; no superuser. The password stands in every URL, so that a leak shows."""
START_S = 60.0
_COUNT = itertools.count(1)

QUICK = {"fsync": "off", "full_page_writes": "off"}
"""For tests that do not claim that anything survives a power cut."""
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
    "max_wal_size": "256MB",
    "log_min_messages": "warning",
}


def missing_reason() -> str:
    """Why no PostgreSQL can be started here; empty where one can."""
    if _binaries() is None:
        return "needs PostgreSQL's server binaries (Debian: apt-get install postgresql)"
    if os.geteuid() == 0 and _account() is None:
        return "PostgreSQL refuses root, and there is no account `postgres` or `nobody`"
    return ""


class Postgres:
    """One server with a folder of its own."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        binaries = _binaries()
        assert binaries is not None, missing_reason()
        self.folder, self._binaries = folder, binaries
        self._settings = {**_SETTINGS, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        secret = folder / "password"
        secret.write_text(PASSWORD)
        self._own(folder, secret)
        self._run(
            *(str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-N"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={secret}"),
            *("-E", "UTF8", "--locale=C"),
        )

    def url(self, database: str, role: str = ROLE) -> str:
        """How a client reaches a database, over TCP and with a password."""
        return f"postgresql://{role}:{PASSWORD}@127.0.0.1:{self.port}/{database}"

    def make_database(self, template: str = "template1") -> str:
        """A new database that the application's role owns; its name. A template must be idle."""
        name = f"test_{os.getpid()}_{next(_COUNT)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}" OWNER "{ROLE}"')
        return name

    def drop_database(self, name: str) -> None:
        """Remove it, whoever is connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """As the superuser, outside a transaction."""
        import psycopg

        with psycopg.connect(self.url(database, "postgres"), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def start(self) -> None:
        """Start it, and wait until it answers."""
        import psycopg

        self._process = self._spawn()
        deadline = time.monotonic() + START_S
        while True:
            try:
                psycopg.connect(self.url("postgres", "postgres"), connect_timeout=2).close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start: {self.log()[-2000:]}") from error
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT hangs up on everybody and ends in order; SIGQUIT as if the power had gone."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """On the same port, with the same data."""
        self.stop(how)
        self.start()

    def log(self) -> str:
        """What the server wrote."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _spawn(self) -> subprocess.Popen[bytes]:
        options = {
            **self._settings,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        given = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._binaries / "postgres"), "-D", str(self.folder / "data"), *given]
        if (setpriv := shutil.which("setpriv")) is not None:  # ends with whoever started it
            command = [setpriv, "--pdeathsig", "INT", "--", *command]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **_as_account(),
            )

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TZ": "UTC"},
            **_as_account(),
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stderr[-2000:]}")

    def _own(self, *paths: Path) -> None:
        found = _account() if os.geteuid() == 0 else None
        if found is not None:
            for path in paths:
                os.chown(path, found.pw_uid, found.pw_gid)


@contextmanager
def running_postgres(**settings: str) -> Iterator[Postgres]:
    """A server of one's own; ``settings`` as in postgresql.conf. Skips where there is none."""
    reason = missing_reason()
    if reason:
        pytest.skip(reason)
    with tempfile.TemporaryDirectory(prefix="mendloop-postgres-") as made:
        server = Postgres(Path(made), settings)
        try:
            server.start()
            server.execute(f"CREATE ROLE \"{ROLE}\" LOGIN PASSWORD '{PASSWORD}'")
            yield server
        finally:
            server.stop(signal.SIGQUIT)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """The server that the tests of one process share; not to be stopped."""
    with running_postgres(**QUICK) as server:
        yield server


@pytest.fixture(scope="session")
def _prepared(postgres_server: Postgres) -> str:
    """A database that has mendloop's tables, to be copied."""
    from orchestrator.database import bring_up
    from tools.postgres import Database

    name = postgres_server.make_database()
    database = Database(postgres_server.url(name))
    bring_up(database)
    database.close()
    return name


@pytest.fixture
def fresh_postgres(postgres_server: Postgres, _prepared: str) -> Iterator[Callable[[], str]]:
    """Makes databases with mendloop's tables in them, removed afterwards; their URLs."""
    made: list[str] = []

    def make() -> str:
        made.append(postgres_server.make_database(_prepared))
        return postgres_server.url(made[-1])

    yield make
    for name in made:
        postgres_server.drop_database(name)


@pytest.fixture
def postgres_url(postgres_server: Postgres) -> Iterator[str]:
    """An empty database, removed afterwards."""
    name = postgres_server.make_database()
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


def _binaries() -> Path | None:
    """The newest server's programs."""
    found = shutil.which("postgres")
    if found is not None and (Path(found).resolve().parent / "initdb").exists():
        return Path(found).resolve().parent
    installed = sorted(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        key=lambda folder: int(folder.parent.name) if folder.parent.name.isdecimal() else 0,
    )
    return installed[-1] if installed else None


def _account() -> pwd.struct_passwd | None:
    """Whom to be, as root."""
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None


def _as_account() -> dict[str, int | list[int]]:
    found = _account() if os.geteuid() == 0 else None
    if found is None:
        return {}
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": [found.pw_gid]}


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
