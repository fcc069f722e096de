"""What every prediction log promises, whichever adapter stands behind the port."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.api.types import is_numeric_dtype

from simulations.prediction_log import InMemoryPredictionLog
from tools.database_log import DatabasePredictionLog
from tools.errors import Invalid
from tools.ibis_source import IbisSource
from tools.log_parts import append_labels, append_predictions, shadow_of, target_folder
from tools.log_queries import LABELS, OWN, table_names
from tools.parquet_log import ParquetPredictionLog
from tools.postgres import Database
from tools.postgres_log import SCHEMA, PostgresLogWriter
from tools.prediction_log import PredictionLog

TARGET = "default/flights"
T0 = datetime.fromisoformat("2013-03-01")
LAST = T0 + timedelta(days=365)


class World(Protocol):
    """A log to read, and the means to write what is in it."""

    @property
    def log(self) -> PredictionLog: ...

    def predict(self, frame: pd.DataFrame, target: str = TARGET) -> None: ...

    def label(self, frame: pd.DataFrame, target: str = TARGET) -> None: ...


class ParquetWorld:
    def __init__(self, root: Path) -> None:
        self._root = root
        self.log = ParquetPredictionLog(root / "predictions", root / "labels")

    def predict(self, frame: pd.DataFrame, target: str = TARGET) -> None:
        append_predictions(target_folder(self._root / "predictions", target), frame)

    def label(self, frame: pd.DataFrame, target: str = TARGET) -> None:
        append_labels(self._root / "labels" / target, frame)


class InMemoryWorld:
    def __init__(self) -> None:
        self.log = InMemoryPredictionLog()

    def predict(self, frame: pd.DataFrame, target: str = TARGET) -> None:
        self.log.append_predictions(target, frame)

    def label(self, frame: pd.DataFrame, target: str = TARGET) -> None:
        self.log.append_labels(target, frame)


class PostgresWorld:
    """Written as servers write it, read by URL."""

    def __init__(self, url: str) -> None:
        self._database = Database(url, search_path=SCHEMA)
        self.log = DatabasePredictionLog(url)

    def predict(self, frame: pd.DataFrame, target: str = TARGET) -> None:
        features = {
            name: "float64" if is_numeric_dtype(frame[name]) else "string"
            for name in frame.columns
            if name not in OWN
        }
        rows = frame.assign(masked=["\x1f".join(names) for names in frame["masked"]])
        columns = {
            name: [None if value is None or value != value else value for value in rows[name]]
            for name in rows.columns
        }
        PostgresLogWriter(self._database, target, features).append(columns)

    def label(self, frame: pd.DataFrame, target: str = TARGET) -> None:
        PostgresLogWriter(self._database, target, {}).append_labels(
            list(frame["request_id"]), list(frame["label"]), list(frame["known_at"])
        )


class DuckdbWorld:
    """Tables that somebody else fills, of a database that Ibis connects to by URL."""

    def __init__(self, path: Path) -> None:
        self.log = DatabasePredictionLog(f"duckdb://{path}")
        self._frames: dict[str, pd.DataFrame] = {}

    def predict(self, frame: pd.DataFrame, target: str = TARGET) -> None:
        rows = frame.assign(masked=["\x1f".join(names) for names in frame["masked"]])
        merged = self._all(table_names(target)[0], rows)
        first = merged.sort_values("served_at", kind="stable").drop_duplicates("request_id")
        self._fill(target, first, self._frames.get(table_names(target)[1]))

    def label(self, frame: pd.DataFrame, target: str = TARGET) -> None:
        merged = self._all(table_names(target)[1], frame)
        labels = merged.assign(appended=range(len(merged)))
        self._fill(target, self._frames.get(table_names(target)[0]), labels)

    def _all(self, name: str, rows: pd.DataFrame) -> pd.DataFrame:
        held = self._frames.get(name)
        return rows if held is None else pd.concat([held, rows], ignore_index=True)

    def _fill(
        self, target: str, predictions: pd.DataFrame | None, labels: pd.DataFrame | None
    ) -> None:
        source = self.log._source
        assert isinstance(source, IbisSource)
        for name, frame, own in zip(
            table_names(target), (predictions, labels), (OWN, LABELS), strict=True
        ):
            kinds = dict(own)
            if frame is not None:
                self._frames[name] = frame
                others = [column for column in frame.columns if column not in own]
                kinds |= {c: "float64" if is_numeric_dtype(frame[c]) else "string" for c in others}
            duckdb = source.backend.con
            listed = ", ".join(f'"{c}" {_DUCKDB[kind]}' for c, kind in kinds.items())
            duckdb.execute(f'CREATE OR REPLACE TABLE "{name}" ({listed})')
            if frame is not None:
                duckdb.register("arrived", frame[list(kinds)])
                duckdb.execute(f'INSERT INTO "{name}" BY NAME SELECT * FROM arrived')
                duckdb.unregister("arrived")


_DUCKDB = {"string": "VARCHAR", "float64": "DOUBLE", "timestamp": "TIMESTAMP", "int64": "BIGINT"}


@pytest.fixture(params=["parquet", "in-memory", "postgres", "duckdb"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    match request.param:
        case "parquet":
            return ParquetWorld(tmp_path)
        case "postgres":
            return PostgresWorld(request.getfixturevalue("postgres_url"))
        case "duckdb":
            return DuckdbWorld(tmp_path / "log.duckdb")
        case _:
            return InMemoryWorld()


def served(
    *rows: tuple[str, float], version: str = "1", masked: Sequence[str] = (), **features: Any
) -> pd.DataFrame:
    """Predictions from pairs of (request id, hours after T0)."""
    times = [T0 + timedelta(hours=hours) for _, hours in rows]
    return pd.DataFrame(
        {
            "request_id": [name for name, _ in rows],
            "event_time": pd.Series(times, dtype="datetime64[us]"),
            "version": version,
            "probability": [0.25] * len(rows),
            "masked": [list(masked)] * len(rows),
            "served_at": pd.Series(times, dtype="datetime64[us]"),
        }
    ).assign(**features)


def labelled(*rows: tuple[str, int, float]) -> pd.DataFrame:
    """Labels from triples of (request id, label, hours after T0 at which it became known)."""
    times = [T0 + timedelta(hours=hours) for *_, hours in rows]
    return pd.DataFrame(
        {
            "request_id": [name for name, *_ in rows],
            "label": [float(label) for _, label, _ in rows],
            "known_at": pd.Series(times, dtype="datetime64[us]"),
        }
    )


def hours(start: float, end: float) -> dict[str, datetime]:
    return {"start": T0 + timedelta(hours=start), "end": T0 + timedelta(hours=end)}


EVERYTHING = {"start": T0 - timedelta(days=9999), "end": T0 + timedelta(days=9999)}


def test_a_window_holds_its_start_and_not_its_end(world: World) -> None:
    """Windows are half open, so that neighbours share no row and lose none."""
    world.predict(served(("before", -1), ("start", 0), ("inside", 1), ("end", 2)))

    assert list(world.log.predictions(TARGET, **hours(0, 2))["request_id"]) == ["start", "inside"]
    assert world.log.predictions(TARGET, **hours(1, 1)).empty
    assert world.log.predictions(TARGET, **hours(2, 0)).empty


def test_rows_come_in_event_time_order_then_by_request(world: World) -> None:
    """Whatever the order of arrival, over parts as within one."""
    world.predict(served(("d", 2), ("b", 1)))
    world.predict(served(("a", 1), ("c", 0)))

    frame = world.log.predictions(TARGET, **EVERYTHING)

    assert list(frame["request_id"]) == ["c", "a", "b", "d"]
    assert list(frame.index) == [0, 1, 2, 3]


@pytest.mark.parametrize("first_served_arrives", ["first", "last", "in the same part"])
def test_a_retried_request_counts_once_as_first_served(
    world: World, first_served_arrives: str
) -> None:
    """The answer that came first is the one that the caller may have used."""
    first = served(("a", 0), version="1")
    retry = served(("a", 0), version="2").assign(served_at=pd.Timestamp(T0 + timedelta(minutes=1)))
    parts = {
        "first": [first, retry],
        "last": [retry, first],
        "in the same part": [pd.concat([retry, first], ignore_index=True)],
    }
    for part in parts[first_served_arrives]:
        world.predict(part)
        world.log.extent(TARGET)

    frame = world.log.predictions(TARGET, **EVERYTHING)

    assert list(frame["version"]) == ["1"]
    assert world.log.extent(TARGET).rows == 1


def test_a_retry_with_another_event_time_still_counts_once(world: World) -> None:
    """One request is in one window, not in two."""
    world.predict(served(("a", 0)))
    world.predict(served(("a", 5)))

    assert list(world.log.predictions(TARGET, **hours(0, 1))["request_id"]) == ["a"]
    assert world.log.predictions(TARGET, **hours(1, 9)).empty


def test_columns_and_their_types_are_the_same_for_every_adapter(world: World) -> None:
    """Readers may rely on dtypes: naive microseconds, floats, tuples of masked names."""
    world.predict(served(("a", 0), masked=["temp"], temp=[1.5], carrier=["UA"]))
    world.predict(served(("b", 1), temp=[float("nan")], carrier=[None]))
    world.label(labelled(("a", 1, 3)))

    frame = world.log.cohort(TARGET, **EVERYTHING, as_of=LAST, columns=["carrier", "temp"])

    assert list(frame.columns) == [
        *("request_id", "event_time", "version", "probability", "masked"),
        *("carrier", "temp", "label", "known_at"),
    ]
    assert frame["event_time"].dtype == frame["known_at"].dtype == "datetime64[us]"
    assert frame["probability"].dtype == frame["temp"].dtype == frame["label"].dtype == float
    assert list(frame["masked"]) == [("temp",), ()]
    assert frame["carrier"][0] == "UA"
    assert frame["carrier"].isna()[1]
    assert frame["temp"].isna().tolist() == [False, True]


def test_predictions_give_every_feature_unless_told_which(world: World) -> None:
    """A subset comes in the order asked for, each column once, the fixed ones always."""
    world.predict(served(("a", 0), temp=[1.5], carrier=["UA"], origin=["JFK"]))
    fixed = ["request_id", "event_time", "version", "probability", "masked"]

    def columns(asked: Sequence[str] | None) -> list[str]:
        return list(world.log.predictions(TARGET, **EVERYTHING, columns=asked).columns)

    assert columns(None) == [*fixed, "temp", "carrier", "origin"]
    assert columns(["origin", "temp", "origin", "version"]) == [*fixed, "origin", "temp"]
    assert columns([]) == fixed


def test_a_feature_that_older_parts_lack_is_missing_there(world: World) -> None:
    """A newer version of the model may log more columns."""
    world.predict(served(("a", 0), temp=[1.0]))
    world.predict(served(("b", 1), temp=[2.0], visib=[10.0], carrier=["UA"]))

    frame = world.log.predictions(TARGET, **EVERYTHING)

    assert frame["temp"].tolist() == [1.0, 2.0]
    assert frame["visib"].isna().tolist() == [True, False]
    assert frame["carrier"].isna().tolist() == [True, False]


def test_only_the_version_asked_for(world: World) -> None:
    """Champion and challenger are judged apart."""
    world.predict(served(("a", 0), version="1"))
    world.predict(served(("b", 0), version="2"))

    assert list(world.log.predictions(TARGET, **EVERYTHING, version="2")["request_id"]) == ["b"]
    cohort = world.log.cohort(TARGET, **EVERYTHING, as_of=LAST, version="1")
    assert list(cohort["request_id"]) == ["a"]
    assert world.log.predictions(TARGET, **EVERYTHING, version="none").empty


def test_no_label_is_seen_before_it_is_known(world: World) -> None:
    """as_of is inclusive; one microsecond earlier the label does not exist."""
    world.predict(served(("a", 0), ("b", 0), ("never", 0)))
    world.label(labelled(("a", 1, 3), ("b", 0, 5)))
    at = T0 + timedelta(hours=3)

    before = world.log.cohort(TARGET, **EVERYTHING, as_of=at - timedelta(microseconds=1))
    known = world.log.cohort(TARGET, **EVERYTHING, as_of=at)

    assert before["label"].isna().all()
    assert before["known_at"].isna().all()
    assert known["label"].isna().tolist() == [False, True, True]
    assert known["label"][0] == 1.0
    assert known["known_at"][0] == pd.Timestamp(at)


def test_a_corrected_label_holds_from_when_it_was_known(world: World) -> None:
    """Earlier readers keep seeing what was believed then."""
    world.predict(served(("a", 0)))
    world.label(labelled(("a", 1, 9)))
    world.label(labelled(("a", 0, 3)))

    def label_after(hour: float) -> float:
        at = T0 + timedelta(hours=hour)
        return float(world.log.cohort(TARGET, **EVERYTHING, as_of=at)["label"][0])

    assert (label_after(4), label_after(9)) == (0.0, 1.0)
    assert len(world.log.cohort(TARGET, **EVERYTHING, as_of=LAST)) == 1


def test_a_label_without_a_prediction_adds_no_row(world: World) -> None:
    """Labels come for flights that nobody asked about, too."""
    world.predict(served(("a", 0)))
    world.label(labelled(("stranger", 1, 0)))

    assert list(world.log.cohort(TARGET, **EVERYTHING, as_of=LAST)["request_id"]) == ["a"]


def test_an_unknown_target_is_empty_with_the_right_columns(world: World) -> None:
    """Nothing served yet is an answer, not an error, and has the columns of one."""
    world.predict(served(("a", 0), temp=[1.0]))
    other = "default/other"

    predictions = world.log.predictions(other, **EVERYTHING)
    cohort = world.log.cohort(other, **EVERYTHING, as_of=LAST, columns=["temp"])

    fixed = ["request_id", "event_time", "version", "probability", "masked"]
    assert list(predictions.columns) == fixed
    assert sorted(cohort.columns) == sorted([*fixed, "temp", "label", "known_at"])
    assert predictions.empty
    assert cohort.empty
    assert predictions["event_time"].dtype == cohort["known_at"].dtype == "datetime64[us]"
    assert cohort["label"].dtype == float


def test_an_unknown_column_is_refused_by_name(world: World) -> None:
    """A misspelled feature must not read as an all-missing one."""
    world.predict(served(("a", 0), temp=[1.0]))

    with pytest.raises(Invalid, match="tmep") as predictions:
        world.log.predictions(TARGET, **EVERYTHING, columns=["temp", "tmep"])
    with pytest.raises(Invalid, match="tmep"):
        world.log.cohort(TARGET, **hours(50, 51), as_of=LAST, columns=["tmep"])
    assert predictions.value.field == "tmep"


def test_times_with_a_zone_are_refused(world: World) -> None:
    """Event times are naive UTC; comparing them with local times would shift windows silently."""
    aware = datetime(2013, 3, 1, tzinfo=UTC)

    with pytest.raises(Invalid, match="start"):
        world.log.predictions(TARGET, start=aware, end=LAST)
    with pytest.raises(Invalid, match="as_of"):
        world.log.cohort(TARGET, **EVERYTHING, as_of=aware)


def test_the_extent_follows_what_is_appended(world: World) -> None:
    """Counts and the watermark are of event time, and grow with each part."""
    empty = world.log.extent(TARGET)
    world.label(labelled(("a", 1, 3), ("b", 1, 3), ("a", 0, 4)))
    world.predict(served(("late", 5), ("early", -2)))
    reached = world.log.extent(TARGET)
    world.predict(served(("later", 7)))

    assert (empty.rows, empty.first, empty.watermark, empty.labels) == (0, None, None, 0)
    assert (reached.rows, reached.labels) == (2, 2)
    assert (reached.first, reached.watermark) == tuple(hours(-2, 5).values())
    assert world.log.extent(TARGET).watermark == T0 + timedelta(hours=7)


request_ids = st.sampled_from("abcdef")
some_hours = st.integers(0, 6)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    parts=st.lists(
        st.lists(st.tuples(request_ids, some_hours, some_hours), min_size=1, max_size=5), max_size=4
    ),
    labels=st.lists(st.tuples(request_ids, st.integers(0, 1), some_hours), max_size=8),
    start=some_hours,
    length=some_hours,
    as_of=some_hours,
)
def test_both_adapters_answer_alike(
    tmp_path_factory: pytest.TempPathFactory,
    parts: list[list[tuple[str, int, int]]],
    labels: list[tuple[str, int, int]],
    start: int,
    length: int,
    as_of: int,
) -> None:
    """Any history of parts, retries and corrections reads the same from files and from memory."""
    worlds: tuple[World, World] = (
        ParquetWorld(tmp_path_factory.mktemp("log")),
        InMemoryWorld(),
    )
    ticks = 0
    for part in parts:
        frame = served(*[(name, hour) for name, hour, _ in part])
        frame["version"] = [f"{i}" for i in range(len(part))]
        delays = [
            timedelta(hours=delay, microseconds=ticks + i) for i, (*_, delay) in enumerate(part)
        ]
        ticks += len(part)
        frame["served_at"] = pd.Series([T0 + delay for delay in delays], dtype="datetime64[us]")
        for world in worlds:
            world.predict(frame)
    for world in worlds:
        if labels:
            world.label(labelled(*labels))
    question = {**hours(start, start + length), "as_of": T0 + timedelta(hours=as_of)}

    from_files, from_memory = (world.log.cohort(TARGET, **question) for world in worlds)

    pd.testing.assert_frame_equal(from_files, from_memory)
    assert worlds[0].log.extent(TARGET) == worlds[1].log.extent(TARGET)


def test_answers_to_copies_are_a_log_of_their_own(world: World) -> None:
    """A shadow's answers bear the same request ids and are in no answer about the target."""
    world.predict(served(("a", 1), ("b", 2), temp=1.0))
    world.predict(served(("a", 1), ("b", 2), ("c", 9), version="2", temp=1.0), shadow_of(TARGET))

    assert world.log.extent(TARGET).rows == 2
    assert world.log.extent(shadow_of(TARGET)).rows == 3
    rows = world.log.predictions(TARGET, start=T0, end=LAST, columns=())
    copies = world.log.predictions(shadow_of(TARGET), start=T0, end=LAST, columns=())
    assert list(rows["version"]) == ["1", "1"]
    assert list(copies["version"]) == ["2", "2", "2"]
