"""PostgreSQL gone, restarted, slow, hung, read-only, full: what is told, and what does not leak."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.checkpointer import postgres_checkpointer
from orchestrator.database import bring_up
from orchestrator.durable import open_durable
from orchestrator.journal import kinds
from orchestrator.journal.event import Event
from orchestrator.journal.journal import Journal
from orchestrator.journal.postgres import PostgresJournal
from tests.stand_in.postgres import PASSWORD, ROLE, Postgres, running_postgres
from tools.errors import Invalid, MendloopError, Refused, Unavailable
from tools.postgres import Database
from tools.postgres_errors import meaning_of, url_with_password

NOW = datetime(2013, 6, 3, 12, tzinfo=UTC)
LIMIT_S = 1.0


def pause(journal: Journal, reason: str = "fair") -> Event:
    payload = {"by": "kim", "reason": reason}
    return journal.append(kinds.TARGET_PAUSED, at=NOW, actor="kim", payload=payload)


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """One that may be stopped; its writes survive that."""
    with running_postgres(max_connections="12", superuser_reserved_connections="3") as own:
        yield own


@pytest.fixture
def url(server: Postgres) -> Iterator[str]:
    name = server.make_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def journal(url: str) -> Iterator[PostgresJournal]:
    opened = PostgresJournal(Database(url, answer_s=LIMIT_S))
    yield opened
    opened.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT])
def test_a_restart_in_the_middle_costs_nothing_that_was_acknowledged(
    server: Postgres, journal: PostgresJournal, how: signal.Signals
) -> None:
    """While it is gone nothing can be recorded; then it goes on by itself on the same chain."""
    before = pause(journal)
    server.stop(how)
    try:
        with pytest.raises(Unavailable, match=r"does not answer .*nothing was written"):
            pause(journal)
        with pytest.raises(Unavailable, match="does not answer"):
            journal.head()
    finally:
        server.start()

    assert pause(journal).prev_hash == before.hash
    assert journal.verify().ok


def test_a_restart_between_two_appends_is_not_even_noticed(
    server: Postgres, journal: PostgresJournal
) -> None:
    """A connection that ended while it lay idle is replaced."""
    pause(journal)
    server.restart()

    assert pause(journal).seq == 2


def test_an_append_whose_answer_was_lost_is_looked_up(
    server: Postgres, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Committed, but the connection broke before it was said: it is found, not written again."""
    import psycopg

    database = Database(url)
    journal = PostgresJournal(database)
    pause(journal)
    real = psycopg.Connection.execute
    commits: list[int] = []

    def losing(self: psycopg.Connection[object], query: bytes, *args: object) -> object:
        answer = real(self, query, *args)  # type: ignore[call-overload]
        if query == b"COMMIT" and not commits:
            commits.append(1)
            self.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return answer

    monkeypatch.setattr(psycopg.Connection, "execute", losing)
    event = pause(journal, "once")

    assert commits
    assert journal.events() == [*journal.events(until=1), event]
    journal.close()


def test_a_commit_that_did_not_happen_is_told_as_not_written(
    server: Postgres, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection broke before the commit arrived."""
    import psycopg

    journal = PostgresJournal(Database(url))
    real = psycopg.Connection.execute
    lost: list[int] = []

    def losing(self: psycopg.Connection[object], query: bytes, *args: object) -> object:
        if query == b"COMMIT" and not lost:
            lost.append(1)
            self.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return real(self, query, *args)  # type: ignore[call-overload]

    monkeypatch.setattr(psycopg.Connection, "execute", losing)
    with pytest.raises(Unavailable, match="nothing was written"):
        pause(journal)

    assert journal.head().seq == 0
    journal.close()


def test_whoever_holds_the_lock_too_long_is_waited_for_within_a_limit(
    server: Postgres, journal: PostgresJournal, url: str
) -> None:
    """A stuck writer costs the others a refusal, not a hang; then they go on."""
    pause(journal)
    other = Database(url)
    with other.connection() as connection:
        connection.execute(b"BEGIN; LOCK TABLE mendloop.events IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(Unavailable, match="took too long"):
            pause(journal)
        connection.execute(b"ROLLBACK")

    assert pause(journal).seq == 2
    other.close()


def test_a_server_that_hangs_is_given_up(server: Postgres, url: str) -> None:
    """It took the question and never answers: the connection is ended, a new one works."""
    database = Database(url, answer_s=LIMIT_S, connections=1)
    with database.connection() as connection:
        pid = connection.info.backend_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable, match="does not answer"), database.connection() as held:
            held.execute(b"SELECT 1")
    finally:
        os.kill(pid, signal.SIGCONT)
    fresh = Database(url, answer_s=LIMIT_S)
    with fresh.connection() as connection:
        assert connection.execute(b"SELECT 1").fetchone() == (1,)
    database.close()
    fresh.close()


def test_after_a_long_failure_others_are_told_at_once(server: Postgres, url: str) -> None:
    """A tick of many targets must not wait for each of them."""
    database = Database(url, answer_s=LIMIT_S, connections=1)
    with database.connection() as connection:
        pid = connection.info.backend_pid
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable), database.connection() as held:
            held.execute(b"SELECT 1")
        with pytest.raises(Unavailable, match="does not answer") as told, database.connection():
            pass
    finally:
        os.kill(pid, signal.SIGCONT)

    assert 0 < told.value.retry_after_s <= 5
    database.close()


def test_a_read_only_database_is_read_and_not_acted_upon(
    server: Postgres, journal: PostgresJournal, url: str
) -> None:
    """As after a failover to a standby, or where an administrator says so."""
    pause(journal)
    name = url.rpartition("/")[2]
    server.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
    journal.close()  # the setting holds for new connections

    with pytest.raises(Unavailable, match="is read-only"):
        pause(journal)
    assert len(journal.events()) == 1
    server.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = off')
    journal.close()
    assert pause(journal).seq == 2


def test_too_many_connections_are_told_as_that(
    server: Postgres, journal: PostgresJournal, url: str
) -> None:
    """The message names the remedy, and it works again once some have ended."""
    import psycopg

    pause(journal)
    journal.close()
    others = [psycopg.connect(url) for _ in range(9)]  # the others are a superuser's
    with pytest.raises(Unavailable, match=r"takes no more connections|does not answer.*slots"):
        pause(journal)
    for other in others:
        other.close()

    assert wait_until(lambda: pause(journal).seq >= 2)


def test_more_threads_than_connections_wait_their_turn(server: Postgres, url: str) -> None:
    """The pool has bounds, and nobody is turned away for a moment's rush."""
    journal = PostgresJournal(Database(url, connections=2))
    threads = [threading.Thread(target=pause, args=(journal,)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert journal.head().seq == 12
    assert len(server.execute(f"SELECT 1 FROM pg_stat_activity WHERE usename = '{ROLE}'")) <= 2
    journal.close()


def test_a_full_disk_means_that_nothing_is_done() -> None:
    """SQLSTATE 53100, as the server says it; a test machine's disk is not filled for it."""
    import psycopg

    error = psycopg.errors.DiskFull("could not extend file: No space left on device")
    found = meaning_of(error, "postgresql://db", {})

    assert isinstance(found, Unavailable)
    assert "the disk is full" in str(found)


def test_a_missing_right_is_a_humans_business(
    server: Postgres, url: str, journal: PostgresJournal
) -> None:
    """The role may read and not write: granting it is not mendloop's."""
    server.execute("CREATE ROLE reader LOGIN PASSWORD 'x'")
    name = url.rpartition("/")[2]
    server.execute("GRANT USAGE ON SCHEMA mendloop TO reader", name)
    server.execute("GRANT SELECT ON ALL TABLES IN SCHEMA mendloop TO reader", name)
    reader = PostgresJournal(Database(url.replace(f"{ROLE}:{PASSWORD}", "reader:x")))
    with pytest.raises(Refused, match="a right is missing"):
        pause(reader)

    assert reader.events() == []
    reader.close()
    server.execute("DROP OWNED BY reader", name)
    server.execute("DROP ROLE reader", name)


WRONG: dict[str, Callable[[str], str]] = {
    "password": lambda url: url.replace(PASSWORD, PASSWORD + "-wrong"),
    "database": lambda url: url.rpartition("/")[0] + "/nowhere",
    "port": lambda url: url.replace("127.0.0.1:", "127.0.0.1:1"),
    "parameter": lambda url: url + "?sslmood=require",
    "tls": lambda url: url + "?sslmode=require",
    "not a url": lambda url: url.replace("@127", "@@[127"),
    "escape": lambda url: url.replace(PASSWORD, PASSWORD + "%zz"),
    "other scheme": lambda url: "mysql" + url.removeprefix("postgresql"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_password_is_in_no_message(server: Postgres, url: str, case: str) -> None:
    """Neither in what is said nor in the traceback of what caused it."""
    wrong = WRONG[case](url)
    with pytest.raises((Unavailable, Invalid)) as told:
        PostgresJournal(Database(wrong))
    text = "".join(traceback.format_exception(told.value)) + repr(told.value)

    assert PASSWORD not in text


def test_the_password_is_not_kept_where_people_look(
    server: Postgres, url: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not in the journal, in files of the home, in logs, in a repr or in the server's activity."""
    with open_durable(tmp_path, url, at=NOW) as durable:
        pause(durable.journal, f"because {url} said so")
        told = repr(durable.address) + repr(durable.address.database) + durable.address.name
        told += "".join(str(event) for event in durable.journal.events())
    told += "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    told += "".join(capfd.readouterr())
    [[activity]] = server.execute("SELECT string_agg(a::text, ' ') FROM pg_stat_activity a")

    assert PASSWORD not in told
    assert PASSWORD not in str(activity)


def test_connections_say_whose_they_are_and_commit_for_good(server: Postgres, url: str) -> None:
    """An administrator finds them by name; a role that commits lazily is not believed."""
    server.execute(f"ALTER ROLE {ROLE} SET synchronous_commit = off")
    try:
        database = Database(url)
        with database.connection() as connection:
            found = connection.execute(
                b"SELECT current_setting('application_name'),"
                b" current_setting('synchronous_commit'),"
                b" current_setting('statement_timeout'), current_setting('search_path')"
            ).fetchone()
    finally:
        server.execute(f"ALTER ROLE {ROLE} RESET synchronous_commit")

    assert found == ("mendloop", "on", "10s", "mendloop")
    database.close()


def test_threads_are_refused_while_the_database_is_gone(server: Postgres, url: str) -> None:
    """LangGraph's checkpointer says Unavailable too, and goes on afterwards."""
    database = Database(url)
    bring_up(database)
    threads = postgres_checkpointer(database)
    config = {"configurable": {"thread_id": "inc-1", "checkpoint_ns": ""}}
    server.stop()
    try:
        with pytest.raises(MendloopError, match="does not answer"):
            threads.get_tuple(config)  # type: ignore[arg-type]
    finally:
        server.start()

    assert threads.get_tuple(config) is None  # type: ignore[arg-type]
    database.close()


def wait_until(done: Callable[[], bool]) -> bool:
    """Whether it came about while the server was letting go of sessions."""
    for _ in range(200):
        try:
            if done():
                return True
        except Unavailable:
            threading.Event().wait(0.02)
    return False


@pytest.mark.parametrize(
    "form", ["postgresql://{role}@{place}", "postgresql://{place}?user={role}"]
)
def test_a_password_from_a_secret_is_put_in(server: Postgres, url: str, form: str) -> None:
    """However the URL is written, and whatever characters it has."""
    planted = "p@ss/w:rd?#%&= é"
    server.execute(f"CREATE ROLE other LOGIN PASSWORD '{planted}'")
    place = url.partition("@")[2]
    database = Database(url_with_password(form.format(role="other", place=place), planted))
    try:
        with database.connection() as connection:
            assert connection.execute(b"SELECT current_user").fetchone() == ("other",)
    finally:
        database.close()
        server.execute("DROP ROLE other")
    assert url_with_password(url, "another") == url
