"""Replays the year while mendloop looks after the service: requests, labels, journal, director."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd

from examples.flights.director import Director, faults
from examples.flights.live import LiveView
from examples.flights.replay import Pacer, Replay
from examples.flights.stage import Stage
from examples.flights.story import JournalFollower, Mode, Story
from examples.flights.world import LabelFeed, replayed, request_bodies, through
from infra.embedded.platform import Platform
from tools.log_parts import append_labels, target_folder

DAYS_PER_S = {Mode.WORKING: 0.1, Mode.WATCHING: 2.0, Mode.FREE: 6.0}
"""Most event time that may pass in a second (see ``Pacer``). FREE leaves the controller, which
looks twice a second, about three windows of a day to take in at each look."""

MOST_BEHIND = pd.Timedelta(days=4)
"""Event time that the replay may be ahead of what mendloop has looked at."""

_LABELS_EVERY_S = 0.3
_FOLLOW_EVERY_S = 0.1
_STATUS_EVERY_S = 5.0
_STATUS_ON_TERMINAL_EVERY_S = 0.5
_RECENT_REQUESTS = 1000


@dataclass(frozen=True)
class Year:
    """What there is to measure after the replay."""

    rows: pd.DataFrame
    """Replayed flights with what came back for each (see ``Answers.frame``)."""
    arrived: pd.DataFrame
    """The same flights as they were sent."""
    director: Director
    story: Story
    began: datetime
    began_s: float
    """Monotonic seconds at ``began``: where ``answered_at_s`` meets the wall clock."""

    def sent_at(self) -> pd.Series:
        """Wall clock (UTC, naive) at which each request was sent; NaT where it got no answer.

        Rows are sent in order, so it never falls; answers come in any order.
        """
        sent_s = self.rows["answered_at_s"] - self.rows["latency_s"] - self.began_s
        start = pd.Timestamp(self.began).tz_localize(None)
        # The clock is read a moment after sending and again after parsing: milliseconds of jitter.
        return start + pd.to_timedelta(sent_s.cummax(), unit="s")


async def replay_year(
    stage: Stage, platform: Platform, flights: pd.DataFrame, view: LiveView
) -> Year:
    """Send every flight after the first champion's training data, in order.

    Raises what the replay, the director or the controller's end raised.
    """
    rows = replayed(flights)
    arrived = through(rows, faults())
    story = Story()
    replay = Replay(
        rows,
        request_bodies(arrived),
        address=platform.predict_url.removeprefix("http://"),
        host=stage.model.spec.serving.host,
        pacer=Pacer(lambda: _days_per_s(replay, story, director)),
    )
    director = Director(
        stage, story, replay, flights, lambda text: view.world(replay.position, text)
    )
    began, began_s = datetime.now(UTC), time.monotonic()
    follower = JournalFollower(stage.home.journal)
    beside = [
        director.run(),
        director.answer_questions(),
        _deliver_labels(stage, rows, replay),
        _follow(follower, story, stage, view),
        _tell_status(replay, story, view),
    ]
    try:
        await _until_first_is_done([replay.run(), *beside])
    finally:
        _take_in(follower, story, view)
        follower.close()
    return Year(
        rows=replay.answers.frame(rows),
        arrived=arrived,
        director=director,
        story=story,
        began=began,
        began_s=began_s,
    )


def _days_per_s(replay: Replay, story: Story, director: Director) -> float:
    """How fast event time may pass now.

    A controller that looks twice a second sees a day within a second of its end; one that is kept
    busy here may need a few, in which a real day would not have passed: event time waits for it.
    """
    mode = Mode.WORKING if director.is_late else director.mode
    allowed = min(DAYS_PER_S[mode], DAYS_PER_S[story.mode])
    if not story.looked_until:
        return allowed
    behind = replay.position - pd.Timestamp(story.looked_until)
    return min(allowed, DAYS_PER_S[Mode.WATCHING]) if behind > MOST_BEHIND else allowed


async def _until_first_is_done(work: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run all of them until the first is done, then end the others; raises what any raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        running = set(tasks)
        while not tasks[0].done():
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _deliver_labels(stage: Stage, rows: pd.DataFrame, replay: Replay) -> None:
    """Append each label once event time has passed the landing."""
    feed = LabelFeed(rows)
    folder = target_folder(stage.home.labels, stage.model.target)
    while True:
        due = feed.due(replay.position)
        if len(due):
            await asyncio.to_thread(append_labels, folder, due)
        await asyncio.sleep(_LABELS_EVERY_S)


async def _follow(follower: JournalFollower, story: Story, stage: Stage, view: LiveView) -> None:
    """Show what mendloop writes, and notice when its controller ends unasked."""
    while True:
        _take_in(follower, story, view)
        stage.check_controller()
        await asyncio.sleep(_FOLLOW_EVERY_S)


def _take_in(follower: JournalFollower, story: Story, view: LiveView) -> None:
    events = follower.new_events()
    story.take(events)
    for event in events:
        view.event(event)


async def _tell_status(replay: Replay, story: Story, view: LiveView) -> None:
    every_s = _STATUS_ON_TERMINAL_EVERY_S if view.console.is_terminal else _STATUS_EVERY_S
    sent, at_s = 0, time.monotonic()
    while True:
        await asyncio.sleep(every_s)
        now_s = time.monotonic()
        rate = (replay.sent - sent) / (now_s - at_s)
        sent, at_s = replay.sent, now_s
        view.status(_status(replay, story, rate))


def _status(replay: Replay, story: Story, rate: float) -> str:
    answers = replay.answers
    recent = slice(max(0, replay.sent - _RECENT_REQUESTS), replay.sent)
    met = Counter(version for version in answers.version[recent] if version)
    total = sum(met.values()) or 1
    observed = ", ".join(f"v{v} {count / total:.0%}" for v, count in sorted(met.items()))
    wanted = ", ".join(f"v{v} {percent} %" for v, percent in sorted(story.split.items()) if percent)
    failed = int(((answers.status != 200) & (answers.status >= 0)).sum())
    latency_ms = np.nanpercentile(answers.latency_s[recent], 99) * 1000 if replay.sent else 0.0
    return (
        f"{replay.position:%b %d}  {replay.sent:,} requests ({rate:,.0f}/s), {failed} failed, "
        f"p99 {latency_ms:.0f} ms | answered by {observed}"
        + (f" | route says {wanted}" if wanted else "")
        + f" | mendloop {story.mode.value}"
    )
