"""The year as it happens to the service: a seeded sample of flights, and what goes wrong with them.

Faults are functions over the outgoing rows. Nothing tells mendloop about them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from examples.flights.data import FEATURES, TRAINED_BEFORE, WEATHER
from tools.errors import Invalid

Fault = Callable[[pd.DataFrame], pd.DataFrame]
"""Rows in order of time in, the rows as they arrive at the service out (same index)."""


@dataclass(frozen=True)
class Span:
    """Event time from ``start`` until before ``end``."""

    start: pd.Timestamp
    end: pd.Timestamp

    def covers(self, times: pd.Series) -> pd.Series:
        """Which of the times lie in it."""
        return (times >= self.start) & (times < self.end)


def sample_flights(flights: pd.DataFrame, *, share: float, seed: int) -> pd.DataFrame:
    """A seeded sample of all flights, in order of time; the same airline, only smaller.

    January and February are thinned by the same share as the replay. Otherwise the past would
    outweigh what happens later, and no retraining could follow the year.
    """
    if not 0 < share <= 1:
        raise Invalid(f"expected a share of the flights in (0, 1], got {share}", field="sample")
    chosen = np.random.default_rng(seed).random(len(flights)) < share
    return flights[chosen].reset_index(drop=True)


def replayed(flights: pd.DataFrame) -> pd.DataFrame:
    """The flights that are asked for over HTTP: those after the first champion's training data."""
    after = flights["scheduled_departure"] >= TRAINED_BEFORE
    return flights[after].reset_index(drop=True)


def frozen_weather(span: Span) -> Fault:
    """Each station repeats the last readings from before the span, throughout it."""

    def freeze(rows: pd.DataFrame) -> pd.DataFrame:
        arriving = rows.copy()
        times = rows["scheduled_departure"]
        inside = span.covers(times)
        columns = list(WEATHER)
        for origin in rows["origin"].unique():
            here = rows["origin"] == origin
            known = rows.loc[here & (times < span.start), columns].dropna()
            if not known.empty:
                arriving.loc[here & inside, columns] = known.iloc[-1].to_numpy()
        return arriving

    return freeze


def celsius_temperature(span: Span) -> Fault:
    """Within the span ``temp`` arrives in degrees Celsius instead of Fahrenheit."""

    def convert(rows: pd.DataFrame) -> pd.DataFrame:
        arriving = rows.copy()
        inside = span.covers(rows["scheduled_departure"])
        arriving.loc[inside, "temp"] = ((arriving.loc[inside, "temp"] - 32.0) / 1.8).round(1)
        return arriving

    return convert


def through(rows: pd.DataFrame, faults: Sequence[Fault]) -> pd.DataFrame:
    """The rows as they arrive after every fault, in turn."""
    for fault in faults:
        rows = fault(rows)
    return rows


def request_bodies(rows: pd.DataFrame) -> list[bytes]:
    """The JSON body of each row's ``POST /predict``; missing values are null."""
    names = ("scheduled_departure", *FEATURES)
    times = rows["scheduled_departure"].dt.strftime("%Y-%m-%dT%H:%M:%S").tolist()
    columns = [times, *(_with_none(rows[name]) for name in FEATURES)]
    return [
        json.dumps(dict(zip(names, values, strict=True)), separators=(",", ":")).encode()
        for values in zip(*columns, strict=True)
    ]


def _with_none(column: pd.Series) -> list[object]:
    missing = column.isna().to_numpy()
    return [None if gone else v for v, gone in zip(column.tolist(), missing, strict=True)]


class LabelFeed:
    """Hands out each replayed flight's label once, when event time has passed its landing."""

    def __init__(self, rows: pd.DataFrame) -> None:
        landed = rows.loc[rows["late"].notna(), ["flight_id", "late", "known_at"]]
        landed = landed.sort_values(["known_at", "flight_id"], ignore_index=True)
        self._labels = landed.rename(columns={"flight_id": "request_id", "late": "label"})
        self._known_at = landed["known_at"].to_numpy()
        self._next = 0

    def due(self, now: pd.Timestamp) -> pd.DataFrame:
        """Labels (request_id, label, known_at) known at ``now`` and not handed out before."""
        until = int(np.searchsorted(self._known_at, now.to_datetime64(), side="right"))
        labels = self._labels.iloc[self._next : until].reset_index(drop=True)
        self._next = max(self._next, until)
        return labels
