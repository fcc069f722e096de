"""What happens to the service from outside: a colleague's release, a killed controller.

The director acts like the world: it releases versions and kills processes at times of its own. It
tells mendloop nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import pandas as pd

from examples.flights.releases import BAD_RELEASE
from examples.flights.replay import Replay
from examples.flights.stage import Stage
from examples.flights.story import Mode, Story
from examples.flights.world import Fault, Span, celsius_temperature, frozen_weather
from tools.registry import ModelVersion

WEATHER_FAULT = Span(pd.Timestamp("2013-09-09"), pd.Timestamp("2013-09-19"))
"""The weather feed freezes, and on the same day temperatures begin to arrive in Celsius."""

RELEASE_DAYS = (pd.Timestamp("2013-03-14"), pd.Timestamp("2013-03-28"))
"""When a colleague's team tries to release; the second day only if the gates refused the first."""

OPERATOR = "operator-on-call"
_KILL_AT_PERCENT = 25
_POLL_S = 0.1


def faults() -> list[Fault]:
    """The faults of the year, over the outgoing requests."""
    return [frozen_weather(WEATHER_FAULT), celsius_temperature(WEATHER_FAULT)]


@dataclass(frozen=True)
class Kill:
    """The controller's death, as the director saw it."""

    at: datetime
    event_time: pd.Timestamp
    split: dict[str, int]


class Director:
    """Runs beside the replay, from its start to its end."""

    def __init__(
        self,
        stage: Stage,
        story: Story,
        replay: Replay,
        flights: pd.DataFrame,
        say: Callable[[str], None],
    ) -> None:
        self.mode = Mode.WATCHING
        """How fast event time may pass for what it does itself: slowly at first, until the
        controller has looked for the first time, and during its releases and restarts."""
        self.appointment: pd.Timestamp | None = RELEASE_DAYS[0]
        """When it wants to do something next. On a busy machine weeks would pass before it saw
        that the day has come, or before the controller is there for the first time."""
        self.bad_version = ""
        self.kill: Kill | None = None
        self._stage, self._story, self._replay = stage, story, replay
        self._flights = flights
        self._say = say

    async def run(self) -> None:
        """The year's events, one after the other."""
        await self._until(lambda: self._story.is_attended)
        self.mode = Mode.FREE
        for attempt, day in enumerate(RELEASE_DAYS, start=1):
            self.appointment = day
            await self._until(lambda day=day: self._is_due(day))  # type: ignore[misc]
            self.appointment = None
            released = await self._release(f"route-history-{attempt}", BAD_RELEASE)
            if released:
                self.bad_version = released.version
                await self._until(lambda: self._story.has_model_incident)
                await self._until(lambda: not self._story.has_model_incident)
                break
        await asyncio.to_thread(self._stage.start_standby)
        self._say("a second controller waits as a standby")
        await self._until(lambda: self._story.is_judging_at_least(_KILL_AT_PERCENT))
        await self._kill_controller()

    async def answer_questions(self) -> None:
        """The operator on call: looks at what waits, and types the command that allows it."""
        while True:
            await self._until(lambda: bool(self._story.questions))
            asked = self._story.questions[0]
            self._say(f"the operator on call is asked: {asked}")
            typed, answer = await asyncio.to_thread(self._stage.approve, asked, by=OPERATOR)
            self._say(f"$ {typed}")
            self._say(answer.replace("\n", "; "))
            await self._until(lambda asked=asked: asked not in self._story.questions)  # type: ignore[misc]

    @property
    def is_late(self) -> bool:
        """Whether an appointment has come that was not seen yet."""
        return self.appointment is not None and self._is_due(self.appointment)

    def _is_due(self, after: pd.Timestamp) -> bool:
        """Teams coordinate: nobody releases into somebody else's rollout."""
        return self._replay.position >= after and not self._story.has_model_incident

    async def _release(self, name: str, model_step: str) -> ModelVersion | None:
        self.mode = Mode.WORKING
        try:
            now = self._replay.position
            known = self._flights[self._flights["known_at"] <= now]
            self._say(f"a colleague's team releases {name!r}, trained on {len(known):,} flights")
            version = await asyncio.to_thread(
                self._stage.release, known, name=name, model_step=model_step
            )
            fate = f"version {version.version}, challenger" if version else "refused by the gates"
            self._say(f"the release {name!r} is {fate}")
            return version
        finally:
            self.mode = Mode.FREE

    async def _kill_controller(self) -> None:
        self.mode = Mode.WORKING
        try:
            at, split = datetime.now(UTC), dict(self._story.split)
            await asyncio.to_thread(self._stage.kill_controller)
            self.kill = Kill(at=at, event_time=self._replay.position, split=split)
            self._say(f"kill -9: the controller is dead in the middle of a canary ({split})")
            self._story.is_attended = False
            await self._until(lambda: self._story.is_attended)
        finally:
            self.mode = Mode.FREE

    async def _until(self, happened: Callable[[], bool]) -> None:
        while not happened():
            await asyncio.sleep(_POLL_S)
