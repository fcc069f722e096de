"""The prediction log in a database: what it costs to ask, and what servers write to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from serving.log_sinks import DatabaseSink
from serving.log_writer import LogEntry, LogWriter
from tests.stand_in.postgres import PASSWORD, QUICK, ROLE, Postgres, running_postgres
from tools import log_queries
from tools.database_log import DatabasePredictionLog
from tools.errors import Invalid, Refused, Unavailable
from tools.log_parts import feature_types, prediction_schema
from tools.log_queries import LABELS, OWN, table_names, unbound
from tools.postgres import Database
from tools.postgres_log import SCHEMA, PostgresLogWriter, PostgresSource
from tools.schema import Column, ColumnType, FeatureSchema

TARGET = "default/flights"
T0 = datetime.fromisoformat("2013-03-01")
WINDOW = {"start": T0, "end": T0 + timedelta(days=1)}
TYPES = feature_types(
    FeatureSchema(
        time_column="departure",
        columns=(
            Column(name="temp", type=ColumnType.NUMBER, nullable=True),
            Column(name="carrier", type=ColumnType.CATEGORY),
        ),
    )
)


def entries(start: int, count: int, carrier: str = "UA") -> list[LogEntry]:
    return [
        LogEntry(
            f"r{n:05d}",
            T0 + timedelta(seconds=n),
            0.5,
            ("temp",) if n % 2 else (),
            T0,
            {"temp": None if n % 3 else 1.5, "carrier": carrier},
        )
        for n in range(start, start + count)
    ]


def writer(url: str, *, bound: int = 10_000) -> LogWriter:
    schema = prediction_schema(TYPES)
    return LogWriter(
        DatabaseSink(url, TARGET, schema), schema, version="3", flush_s=0.01, bound=bound
    )


def rows_of(n: int, *, hours: float = 0.0) -> dict[str, list[object]]:
    return {
        "request_id": [f"r{i:06d}" for i in range(n)],
        "event_time": [T0 + timedelta(hours=hours, seconds=i) for i in range(n)],
        "version": ["1"] * n,
        "probability": [0.5] * n,
        "masked": [""] * n,
        "served_at": [T0] * n,
    }


def append(url: str, rows: dict[str, list[object]], target: str = TARGET) -> None:
    PostgresLogWriter(Database(url, search_path=SCHEMA), target, {}).append(rows)


def test_what_a_server_accepted_is_read_back(postgres_url: str) -> None:
    """Rows, values, what was masked, the version; written in parts, off the request path."""
    log = writer(postgres_url)
    log.warm_up()
    log.start()
    log.append(entries(0, 250))
    log.append(entries(250, 5))
    status = log.close()
    frame = DatabasePredictionLog(postgres_url).predictions(TARGET, **WINDOW)

    assert (status.queued, status.written, status.lost, status.problem) == (0, 255, 0, "")
    assert list(frame["request_id"]) == [f"r{n:05d}" for n in range(255)]
    assert list(frame["masked"][:2]) == [(), ("temp",)]
    assert frame["temp"].notna().sum() == 85
    assert set(frame["version"]) == {"3"}


def test_odd_characters_do_not_keep_a_part_out(postgres_url: str) -> None:
    """What the database cannot hold is replaced, what it can hold is kept."""
    log = writer(postgres_url)
    log.append(entries(0, 1, carrier="a\x00bü'\"%s;--"))
    log.close()
    frame = DatabasePredictionLog(postgres_url).predictions(TARGET, **WINDOW)

    assert list(frame["carrier"]) == ["a\ufffdbü'\"%s;--"]


def test_a_database_that_is_gone_costs_no_request_and_loses_only_what_is_counted() -> None:
    """Rows wait, the overflow is counted, and the rest is written once it is back."""
    with running_postgres(**QUICK) as server:
        url = server.url(server.make_database())
        log = writer(url, bound=100)
        log.append(entries(0, 10))
        log.start()
        until(lambda: log.status().written == 10)
        server.stop()
        began_s = time.perf_counter()
        for n in range(10, 170, 10):
            log.append(entries(n, 10))
        took_s = time.perf_counter() - began_s
        until(lambda: bool(log.status().problem))
        down = log.status()
        server.start()
        until(lambda: log.status().queued == 0)
        back = log.close()

    assert took_s < 1.0
    assert (down.lost, down.queued) == (60, 100)
    assert "does not answer" in down.problem
    assert PASSWORD not in down.problem
    assert (back.written, back.lost, back.problem) == (110, 60, "")


def test_two_servers_of_one_target_count_each_request_once(postgres_url: str) -> None:
    """Tables made at the same moment, the same rows written by both."""
    threads = [threading.Thread(target=append, args=(postgres_url, rows_of(200))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    extent = DatabasePredictionLog(postgres_url).extent(TARGET)

    assert (extent.rows, extent.first) == (200, T0)
    assert extent.watermark == T0 + timedelta(seconds=199)


def test_many_targets_are_asked_about_at_once(postgres_url: str) -> None:
    """Some questions for all of them; a target without a log is empty."""
    names = [f"team/model-{n}" for n in range(6)]
    for n, name in enumerate(names[1:], 1):
        append(postgres_url, rows_of(n), name)
    found = DatabasePredictionLog(postgres_url).extents(names)

    assert [found[name].rows for name in names] == [0, 1, 2, 3, 4, 5]
    assert found[names[0]].watermark is None


def test_a_window_and_an_extent_read_an_index_and_not_the_table(postgres_url: str) -> None:
    """Their cost does not grow with the log's length."""
    append(postgres_url, rows_of(20_000))
    database = Database(postgres_url, search_path=SCHEMA)
    table = unbound(table_names(TARGET)[0], OWN)
    narrow = {"start": T0, "end": T0 + timedelta(seconds=50), "version": None}
    import ibis

    query = ibis.to_sql(log_queries.window(table, [], **narrow), dialect="postgres")
    with database.connection() as connection:
        connection.execute(b"ANALYZE")
        plan = connection.execute(f"EXPLAIN {query}".encode()).fetchall()
        ends = connection.execute(
            f'EXPLAIN SELECT max(event_time) FROM "{table_names(TARGET)[0]}"'.encode()
        ).fetchall()
    seen = [str(plan), str(ends)]

    assert all("Index" in text and "Seq Scan" not in text for text in seen)
    assert len(PostgresSource(database).rows(log_queries.window(table, [], **narrow))) == 50


@pytest.mark.parametrize("dialect", ["postgres", "databricks", "trino", "bigquery", "snowflake"])
def test_the_same_questions_compile_for_other_databases(dialect: str) -> None:
    """Spark (as Databricks spells it), Trino, BigQuery, Snowflake: filters and aggregates there."""
    import ibis

    predictions, labels = table_names(TARGET)
    table = unbound(predictions, {**OWN, "temp": "float64"})
    window = {**WINDOW, "version": "3"}
    known = unbound(labels, LABELS)
    questions = {
        "window": log_queries.window(table, ["temp"], **window),
        "cohort": log_queries.cohort(table, known, ["temp"], as_of=T0, **window),
        "extent": log_queries.extent(table, known),
    }
    told = {name: str(ibis.to_sql(q, dialect=dialect)) for name, q in questions.items()}

    assert all(predictions in query for query in told.values())
    for name in ("window", "cohort"):
        assert "2013" in told[name]
        assert "event_time" in told[name].partition("WHERE")[2]
    assert "ROW_NUMBER()" in told["cohort"]
    assert "LEFT" in told["cohort"]
    assert "MAX(" in told["extent"]
    assert "COUNT(DISTINCT" in told["extent"]


def test_a_column_of_another_type_is_told_by_name(postgres_url: str) -> None:
    """A feature that was a number and is now a category needs another name."""
    database = Database(postgres_url, search_path=SCHEMA)
    PostgresLogWriter(database, TARGET, {"temp": "float64"}).prepare()
    with pytest.raises(Invalid, match="temp: the prediction log of default/flights has it as"):
        PostgresLogWriter(database, TARGET, {"temp": "string"}).prepare()


@pytest.mark.parametrize("name", ['we"ird', "per%cent", "Temp", "select", "a,b", "x" * 63])
def test_features_may_be_called_anything_that_fits(postgres_url: str, name: str) -> None:
    """Names are quoted, never pasted."""
    database = Database(postgres_url, search_path=SCHEMA)
    PostgresLogWriter(database, TARGET, {name: "float64"}).append({**rows_of(1), name: [2.5]})
    frame = DatabasePredictionLog(postgres_url).predictions(TARGET, **WINDOW, columns=[name])

    assert list(frame[name]) == [2.5]


def test_names_of_tables_fit_and_differ() -> None:
    """PostgreSQL cuts a name off at 63 bytes without a word."""
    long = ["a" * 60 + "/" + "b" * 60, "a" * 60 + "/" + "b" * 59 + "c", "a--b/c", "a/b--c"]
    names = [name for target in long for name in table_names(target)]

    assert len(set(names)) == len(names)
    assert max(len(name) for name in names) <= 63
    with pytest.raises(Invalid, match="namespace/name"):
        table_names("no target")


def test_a_log_that_cannot_be_reached_is_unavailable(tmp_path: Path) -> None:
    """With the kind of trouble and without the password."""
    for url in (
        f"postgresql://reader:{PASSWORD}@127.0.0.1:1/predictions",
        f"duckdb://{tmp_path}/no/such/folder/{PASSWORD}.db",
    ):
        with pytest.raises(Unavailable) as told:
            DatabasePredictionLog(url).predictions(TARGET, **WINDOW)
        assert PASSWORD not in str(told.value)


def until(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


def test_a_missing_right_is_not_an_empty_log(postgres_server: Postgres, postgres_url: str) -> None:
    """A reader's role that may not look is told so, or a model would seem to serve nobody."""
    append(postgres_url, rows_of(3))
    name = postgres_url.rpartition("/")[2]
    postgres_server.execute("CREATE ROLE onlooker LOGIN PASSWORD 'x'")
    url = postgres_url.replace(f"{ROLE}:{PASSWORD}", "onlooker:x")
    try:
        with pytest.raises(Refused, match="a right is missing"):
            DatabasePredictionLog(url).extent(TARGET)
        postgres_server.execute(f"GRANT USAGE ON SCHEMA {SCHEMA} TO onlooker", name)
        with pytest.raises(Refused, match="a right is missing"):
            DatabasePredictionLog(url).predictions(TARGET, **WINDOW)
        postgres_server.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {SCHEMA} TO onlooker", name)

        assert DatabasePredictionLog(url).extent(TARGET).rows == 3
        assert len(DatabasePredictionLog(url).predictions(TARGET, **WINDOW)) == 3
    finally:
        postgres_server.execute("DROP OWNED BY onlooker", name)
        postgres_server.execute("DROP ROLE onlooker")
