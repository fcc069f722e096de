"""People do all they may, at random, in the middle of everything; the promises hold, it ends well.

``MENDLOOP_MEDDLERS=50 pytest tests/simulation/test_meddling.py`` plays more of them.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from stage import Play, closed

from orchestrator import approvals
from orchestrator.approvals import APPROVAL_KINDS, fold_approvals
from orchestrator.journal import kinds
from orchestrator.journal.interventions import TargetHandedBack, TargetTakenOver
from orchestrator.kill_switch import KillSwitch, Pause
from orchestrator.take_over import holder_of
from simulations.releases import Release
from simulations.world import World
from tools.errors import Refused

MEDDLERS = int(os.environ.get("MENDLOOP_MEDDLERS", "2"))
TICKS = 25


class Meddler:
    """Everything a person may do, drawn from one seed."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world, self._rng = world, rng
        self._switch = KillSwitch(world.kill_switch)
        self._releases = 0
        self.moves: list[Callable[[], None]] = [
            self.answer,
            self.answer,
            self.answer,
            self.hold,
            self.go_back,
            self.resume,
            self.resume,
            self.take_over,
            self.edit_weights,
            self.hand_back,
            self.hand_back,
            self.release,
        ]

    def move(self) -> None:
        """One of them, or nothing."""
        if self._rng.random() < 0.5:
            self._rng.choice(self.moves)()

    def answer(self, *, yes: bool | None = None) -> None:
        events = self._world.journal.events(kinds=APPROVAL_KINDS)
        for asked in [s for s in fold_approvals(events) if s.status == "pending"]:
            approve = self._rng.random() < 0.8 if yes is None else yes
            try:
                approvals.answer(
                    self._world.journal,
                    self._world.clock,
                    asked.approval,
                    by="kim",
                    approve=approve,
                    reason="no",
                )
            except Refused:
                continue  # its incident is over, or its time

    def hold(self) -> None:
        self._switch.pause(self._world.target, Pause(by="kim", reason="wait"))

    def go_back(self) -> None:
        self._switch.pause(self._world.target, Pause(by="kim", reason="back", in_flight="go-back"))

    def resume(self) -> None:
        self._switch.resume(self._world.target)

    def take_over(self) -> None:
        self._say(kinds.TARGET_TAKEN_OVER, TargetTakenOver(by="kim", reason="mine"))

    def hand_back(self) -> None:
        self._say(kinds.TARGET_HANDED_BACK, TargetHandedBack(by="kim"))

    def edit_weights(self) -> None:
        """Between the versions that have traffic: a person routes to what runs."""
        shares = dict(self._world.standing().shares)
        if len(shares) == 2:
            first, second = sorted(shares)
            percent = self._rng.choice([0, 10, 50, 70])
            left = {first: 100 - percent, second: percent}
            self._world.edit_route({v: p for v, p in left.items() if p})

    def release(self) -> None:
        if "challenger" not in self._world.standing().aliases:
            self._releases += 1
            with self._world.own():
                self._world.foundry.submit_challenger(Release(), key=f"release-{self._releases}")

    def leave(self) -> None:
        """Goes home, with everything as mendloop may have it."""
        self.resume()
        if holder_of(self._world.journal, self._world.target) == "person":
            self.hand_back()

    def _say(self, kind: str, payload: TargetTakenOver | TargetHandedBack) -> None:
        self._world.journal.append(
            kind,
            at=self._world.clock.now(),
            actor="kim",
            payload=payload,
            target=self._world.target,
        )


@pytest.mark.parametrize("seed", range(MEDDLERS))
def test_whatever_people_do_the_promises_hold_and_it_ends_well(tmp_path: Path, seed: int) -> None:
    """One champion, all traffic on it, every yes used once, and no share left behind."""
    rules = {"autonomy": "approve", "approval_valid_for": "5m"}
    play = Play.begin(tmp_path, quiet_ticks=2, guardrails=rules, rollout={"probation": "6h"})
    meddler = Meddler(play.world, random.Random(seed))
    meddler.release()
    for _ in range(TICKS):
        meddler.move()
        play.tick(hours=2)
    meddler.leave()

    def over(world: World) -> bool:
        meddler.answer(yes=True)
        return bool(closed(world))

    play.tick()
    play.until(over, ticks=60)
    play.tick(2, hours=0)

    standing = play.world.standing()
    assert dict(standing.shares) == {standing.aliases["champion"]: 100}
    # A person's no ends an incident with the challenger where it was: without traffic.
    assert "challenger" not in standing.aliases or closed(play.world)[-1].status == "escalated"
    used = Counter(
        e.payload["approval"] for e in play.world.journal.events(kinds=[kinds.APPROVAL_USED])
    )
    assert set(used.values()) <= {1}
    play.check()
