"""Rows that wait together are answered by one call, and failures stay with who caused them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.batcher import ROWS_PER_CALL, Batcher, PredictionFailed
from tools.errors import Unavailable

Rows = Sequence[Mapping[str, Any]]


class Model:
    """Answers a row's own ``p``; raises on ``bad`` rows; notes the size of each call."""

    def __init__(self, *, seconds: float = 0.0) -> None:
        self.calls: list[int] = []
        self.threads: list[int] = []
        self._seconds = seconds

    def predict(self, rows: Rows) -> list[float]:
        self.calls.append(len(rows))
        self.threads.append(threading.get_ident())
        time.sleep(self._seconds)
        if any(row.get("bad") for row in rows):
            raise RuntimeError("cannot take it")
        return [row["p"] for row in rows]


def ask(model: Model, *jobs: Rows, first: Rows = ({"p": 0.5},)) -> list[Any]:
    """Answers to jobs that are submitted in one turn, after a first call has set the pace."""

    async def run() -> list[Any]:
        batcher = Batcher(model.predict)
        await batcher.submit(first)
        answers = [batcher.submit(job) for job in jobs]
        found = await asyncio.gather(*answers, return_exceptions=True)
        batcher.close()
        assert batcher.waiting_rows == 0
        return list(found)

    return asyncio.run(run())


def test_requests_of_one_turn_share_a_call() -> None:
    """Three requests, one call of the model, each with its own answer."""
    model = Model()

    answers = ask(model, [{"p": 0.1}], [{"p": 0.2}, {"p": 0.3}], [{"p": 0.4}])

    assert answers == [[0.1], [0.2, 0.3], [0.4]]
    assert model.calls == [1, 4]


def test_a_quick_model_is_called_on_the_loop_and_a_slow_one_is_not() -> None:
    """A hop to a thread costs more than a quick call; a slow call must not hold up the loop."""
    quick, slow = Model(), Model(seconds=0.02)
    ask(quick, [{"p": 0.1}])
    ask(slow, [{"p": 0.1}])

    here = threading.get_ident()

    assert quick.threads[-1] == here
    assert slow.threads[-1] != here


def test_the_loop_turns_while_a_slow_model_works() -> None:
    """Health must answer during a call; requests that come meanwhile share the next call."""
    model = Model(seconds=0.05)

    async def run() -> int:
        batcher = Batcher(model.predict)
        answers = [batcher.submit([{"p": 0.5}])]
        turns = 0
        while not answers[0].done():
            await asyncio.sleep(0)
            turns += 1
            if model.calls and len(answers) < 4:
                answers.append(batcher.submit([{"p": 0.5}]))
        await asyncio.gather(*answers)
        batcher.close()
        return turns

    turns = asyncio.run(run())

    assert turns > 10
    assert model.calls == [1, 3]


def test_only_the_guilty_request_fails() -> None:
    """Rows that happened to travel with a bad one are answered."""
    model = Model()

    answers = ask(model, *[[{"p": n / 10, "bad": n == 5}] for n in range(9)])

    assert isinstance(answers.pop(5), PredictionFailed)
    assert answers == [[n / 10] for n in range(9) if n != 5]


@pytest.mark.parametrize("answer", [float("nan"), 1.5, -0.5, float("inf")])
def test_an_answer_that_is_no_probability_is_a_failure(answer: float) -> None:
    """A client must never be told that the chance is NaN."""
    [found] = ask(Model(), [{"p": answer}])

    assert isinstance(found, PredictionFailed)
    assert "no probability" in str(found)


def test_rounding_just_outside_is_put_back() -> None:
    """float32 sums may end a hair above one."""
    assert ask(Model(), [{"p": 1 + 1e-9}, {"p": -1e-9}]) == [[1.0, 0.0]]


def test_too_few_answers_are_a_failure() -> None:
    """Rows must not get each other's answers."""

    async def run() -> None:
        await Batcher(lambda rows: [0.5]).submit([{}, {}])

    with pytest.raises(PredictionFailed, match="1 values for 2 rows"):
        asyncio.run(run())


def test_too_much_waiting_is_refused_at_once() -> None:
    """An answer after everybody's deadline helps nobody."""

    async def run() -> None:
        batcher = Batcher(Model().predict)
        full = [{"p": 0.5}] * ROWS_PER_CALL
        answers = [batcher.submit(full)]
        while batcher.waiting_rows < 20_000:
            answers.append(batcher.submit(full))
        with pytest.raises(Unavailable, match="waiting"):
            batcher.submit(full)
        assert await asyncio.gather(*answers) == [[0.5] * ROWS_PER_CALL] * len(answers)
        assert await batcher.submit([{"p": 0.5}]) == [0.5]
        batcher.close()

    asyncio.run(run())


@given(
    st.lists(
        st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=120), max_size=12
    )
)
def test_every_job_gets_exactly_its_own_answers(jobs: list[list[tuple[float, bool]]]) -> None:
    """Whatever is bad, and however calls are cut: own answers, or a failure if a row was bad."""
    model = Model()
    asked = [[{"p": p, "bad": bad} for p, bad in job] for job in jobs]

    answers = ask(model, *asked)

    for job, answer in zip(jobs, answers, strict=True):
        if any(bad for _, bad in job):
            assert isinstance(answer, PredictionFailed)
        else:
            assert answer == [p for p, _ in job]
    assert max(model.calls) <= ROWS_PER_CALL
