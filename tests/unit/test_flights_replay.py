"""The replay's client: every row once and in order, every kind of answer kept, the pace obeyed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples.flights import replay as replay_module
from examples.flights.client import NO_ANSWER
from examples.flights.replay import Pacer, Replay
from tools.errors import Unavailable

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
ROWS = 40


def rows(count: int = ROWS) -> pd.DataFrame:
    """One flight an hour."""
    times = pd.date_range("2013-03-01", periods=count, freq="h")
    ids = [f"flight-{n}" for n in range(count)]
    return pd.DataFrame({"flight_id": ids, "scheduled_departure": times})


def answer(status: str, body: bytes = b"", headers: str = "") -> bytes:
    """One HTTP/1.1 answer."""
    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{headers}\r\n"
    return head.encode() + body


GOOD = answer("200 OK", b'{"request_id":"x","version":"7","probability":0.25,"prediction":0}')


async def next_request(reader: asyncio.StreamReader) -> str:
    """The request id of the next request; empty at the end of the connection."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    except asyncio.IncompleteReadError:
        return ""
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
    await reader.readexactly(int(headers["content-length"]))
    return headers["x-request-id"]


def run(handler: Handler, pace: float = math.inf, connections: int = 4) -> Replay:
    """A replay of ROWS rows against a server on this machine."""

    async def served() -> Replay:
        server = await asyncio.start_server(handler, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        replay = Replay(
            rows(),
            [b"{}"] * ROWS,
            address=f"127.0.0.1:{port}",
            host="flights",
            pacer=Pacer(lambda: pace),
            connections=connections,
        )
        async with server:
            await asyncio.wait_for(replay.run(), timeout=20)
        return replay

    return asyncio.run(served())


def test_every_row_is_sent_once_and_in_order() -> None:
    """Over several connections, with the flight's id as request id."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await next_request(reader):
            seen.append(request)
            writer.write(GOOD)
        writer.close()

    replay = run(serve, connections=1)

    assert seen == [f"flight-{n}" for n in range(ROWS)]
    assert (replay.answers.status == 200).all()
    assert set(replay.answers.version) == {"7"}
    assert np.allclose(replay.answers.probability, 0.25)


def test_failures_are_kept_with_the_version_that_failed() -> None:
    """The header names it where no body does; nothing is asked a second time."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await next_request(reader):
            seen.append(request)
            bad = request == "flight-3"
            header = "x-model-version: 9\r\n"
            writer.write(answer("500 Oops", b'{"error":[]}', header) if bad else GOOD)
        writer.close()

    replay = run(serve)

    assert replay.answers.status[3] == 500
    assert replay.answers.version[3] == "9"
    assert math.isnan(replay.answers.probability[3])
    assert len(seen) == len(set(seen)) == ROWS


def test_broken_connection_counts_and_the_replay_goes_on() -> None:
    """A request in flight when its connection dies has no answer; the next rows get a new one."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await next_request(reader):
            if request == "flight-5":
                break
            writer.write(GOOD)
        writer.close()

    replay = run(serve)

    assert replay.answers.status[5] == NO_ANSWER
    assert (np.delete(replay.answers.status, 5) == 200).all()


def test_unanswered_request_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that never answers holds up neither the others nor the end."""
    monkeypatch.setattr(replay_module, "ANSWER_WITHIN_S", 0.2)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await next_request(reader):
            if request != "flight-8":
                writer.write(GOOD)
        writer.close()

    replay = run(serve)

    assert replay.answers.status[8] == NO_ANSWER
    assert (np.delete(replay.answers.status, 8) == 200).all()


def test_server_that_closes_after_each_answer_loses_nothing() -> None:
    """``connection: close`` is an answer, not a failure."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await next_request(reader):
            body = b'{"request_id":"x","version":"7","probability":0.25,"prediction":0}'
            writer.write(answer("200 OK", body, "connection: close\r\n"))
        writer.close()

    replay = run(serve)

    assert (replay.answers.status == 200).all()


def test_nobody_at_the_address_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the address and where to look."""
    monkeypatch.setattr(replay_module, "_RECONNECT_FOR_S", 0.1)
    replay = Replay(
        rows(), [b"{}"] * ROWS, address="127.0.0.1:1", host="h", pacer=Pacer(lambda: math.inf)
    )

    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1.*Envoy"):
        asyncio.run(replay.run())


@given(
    st.lists(st.floats(min_value=0.001, max_value=0.5), min_size=2, max_size=40),
    st.lists(st.floats(min_value=0.0, max_value=50_000.0), min_size=40, max_size=40),
)
def test_event_time_never_runs_faster_than_its_pace(ticks: list[float], gaps: list[float]) -> None:
    """However ticks and gaps between flights fall, over any stretch of the replay."""
    pacer = Pacer(lambda: 0.5)
    times = np.cumsum(gaps)
    sent, next_row = [float(times[0])], 0
    pacer.tick(float(times[0]), 0.0)
    for elapsed in ticks:
        pacer.tick(float(times[next_row]), elapsed)
        while next_row < len(times) - 1 and times[next_row] <= pacer.limit_s:
            next_row += 1
        sent.append(float(times[max(0, next_row - 1)]))

    allowed = 0.5 * 86_400 * (sum(ticks) + 1e-5)
    assert sent[-1] - sent[0] <= allowed


def test_pace_may_change_at_any_tick() -> None:
    """From as fast as possible to slow: the limit starts at the row that is due."""
    paces = iter([math.inf, 1.0])
    pacer = Pacer(lambda: next(paces))
    pacer.tick(1000.0, 0.1)
    assert math.isinf(pacer.limit_s)

    pacer.tick(5000.0, 0.1)

    assert pacer.limit_s == pytest.approx(5000.0 + 8640.0)
