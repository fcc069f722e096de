"""Replays flights in order through the service's address and records every answer.

The record is the user's view: the demo's figures about requests and quality come from it, not from
what the controller believes.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from examples.flights.client import NO_ANSWER, Answer, Connection, http_post
from tools.errors import Unavailable

CONNECTIONS = 16
ANSWER_WITHIN_S = 10.0
_TICK_S = 0.02
_RECONNECT_FOR_S = 10.0
_DAY_S = 86_400.0
_SHORTEST_S = 1e-6


class Pacer:
    """How far event time may run ahead.

    In reality a pipeline run or a server start takes minutes and a canary step an hour: next to
    nothing of a year. Here the year passes in minutes, so a month of flights would leave while one
    model is trained, and every remediation would look a month late. Therefore event time is slowed
    down while such wall-clock work goes on: ``pace`` says how many days may pass in a second.
    """

    def __init__(self, pace: Callable[[], float]) -> None:
        """``pace`` is asked at every tick; infinity is as fast as the servers answer."""
        self._pace = pace
        self.limit_s = math.inf
        """Event time, in epoch seconds, of the last row that may be sent now."""

    def tick(self, next_row_s: float, elapsed_s: float) -> None:
        """Move the limit: ``elapsed_s`` wall seconds went by, the next row is due at its time.

        The limit runs through the hours without a flight, and never gets ahead of the next one.
        """
        at_s = min(self.limit_s, next_row_s)
        self.limit_s = at_s + self._pace() * _DAY_S * max(elapsed_s, _SHORTEST_S)


@dataclass(frozen=True)
class Answers:
    """What every request came to, aligned with the replayed rows; -1 is never sent."""

    status: NDArray[np.int16]
    version: NDArray[np.object_]
    probability: NDArray[np.float64]
    latency_s: NDArray[np.float64]
    answered_at_s: NDArray[np.float64]
    """Monotonic seconds of the replaying process; NaN while unanswered."""

    @classmethod
    def empty(cls, rows: int) -> Answers:
        """Nothing sent yet."""
        return cls(
            status=np.full(rows, -1, dtype=np.int16),
            version=np.full(rows, "", dtype=object),
            probability=np.full(rows, np.nan),
            latency_s=np.full(rows, np.nan),
            answered_at_s=np.full(rows, np.nan),
        )

    def record(self, answer: Answer, at_s: float) -> None:
        """Keep one answer."""
        row = answer.number
        self.status[row] = answer.status
        self.latency_s[row] = answer.latency_s
        self.answered_at_s[row] = at_s
        self.version[row] = answer.version
        if answer.status == 200:
            body = json.loads(answer.body)
            self.version[row] = str(body["version"])
            self.probability[row] = body["probability"]

    def frame(self, rows: pd.DataFrame) -> pd.DataFrame:
        """The answers beside the rows they belong to."""
        columns = {
            "status": self.status,
            "version": self.version,
            "probability": self.probability,
            "latency_s": self.latency_s,
            "answered_at_s": self.answered_at_s,
        }
        return rows.assign(**columns)


class Replay:
    """One pass over the rows. ``run`` returns when every row was answered, or after ``stop``."""

    def __init__(
        self,
        rows: pd.DataFrame,
        bodies: Sequence[bytes],
        *,
        address: str,
        host: str,
        pacer: Pacer,
        connections: int = CONNECTIONS,
    ) -> None:
        """``address`` is Envoy's host:port; ``host`` the service name that its route is for."""
        self.rows = rows
        self.answers = Answers.empty(len(rows))
        self._times = _epoch_seconds(rows["scheduled_departure"])
        self._ids = rows["flight_id"].tolist()
        self._bodies = bodies
        self._address, self._host, self._pacer = address, host, pacer
        self._connections = connections
        self._next = 0
        self._idle: list[Connection] = []
        self._open: list[Connection] = []
        self._stopping = False

    @property
    def sent(self) -> int:
        """How many rows were sent so far; they are the first ones."""
        return self._next

    @property
    def position(self) -> pd.Timestamp:
        """Event time of the newest row that was sent (of the first one, before that)."""
        return pd.Timestamp(self._times[max(self._next - 1, 0)], unit="s")

    @property
    def is_finished(self) -> bool:
        """Whether nothing is in flight and nothing will be sent."""
        done = self._stopping or self._next >= len(self._ids)
        return done and not any(c.is_waiting for c in self._open)

    def stop(self) -> None:
        """Send no further row; those in flight are still answered."""
        self._stopping = True

    async def run(self) -> None:
        """Send every row in order, as the pacer lets them. Raises Unavailable when nobody accepts
        connections at the address for 10 s."""
        loop = asyncio.get_running_loop()
        last_s = time.monotonic()
        try:
            while not self.is_finished:
                now_s = time.monotonic()
                next_row_s = self._times[min(self._next, len(self._times) - 1)]
                self._pacer.tick(float(next_row_s), now_s - last_s)
                last_s = now_s
                await self._keep_connected(loop)
                waiting, self._idle = self._idle, []
                for connection in waiting:
                    self._feed(connection)
                for connection in self._open:
                    connection.give_up_after(ANSWER_WITHIN_S)
                await asyncio.sleep(_TICK_S)
        finally:
            for connection in self._open:
                connection.close()

    def _feed(self, connection: Connection) -> None:
        if not connection.is_open:
            return
        row = self._next
        if self._stopping or row >= len(self._ids) or self._times[row] > self._pacer.limit_s:
            self._idle.append(connection)
            return
        self._next += 1
        request = http_post("/predict", self._host, self._ids[row], self._bodies[row])
        connection.send(row, request)

    def _answered(self, connection: Connection, answer: Answer) -> None:
        self.answers.record(answer, time.monotonic())
        if answer.status != NO_ANSWER:
            self._feed(connection)

    async def _keep_connected(self, loop: asyncio.AbstractEventLoop) -> None:
        self._open = [c for c in self._open if c.is_open]
        self._idle = [c for c in self._idle if c.is_open]
        give_up_s = time.monotonic() + _RECONNECT_FOR_S
        while len(self._open) < self._connections:
            host, port = self._address.rsplit(":", 1)
            try:
                _, connection = await loop.create_connection(
                    lambda: Connection(self._answered), host, int(port)
                )
            except OSError as error:
                if time.monotonic() > give_up_s:
                    raise Unavailable(
                        f"nobody accepts connections at {self._address}: {error}; "
                        "is the platform's Envoy running? See its log in the home directory"
                    ) from error
                await asyncio.sleep(_TICK_S)
                continue
            self._open.append(connection)
            self._feed(connection)


def _epoch_seconds(times: pd.Series) -> NDArray[np.float64]:
    return times.to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
