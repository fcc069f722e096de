"""Draws a case from a seed: which world, what happens in it, and how much goes wrong.

The same seed gives the same case for ever only as long as this file stays as it is; what a seed
found is kept as a document.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from simulations.fuzz.case import CaseSpec, CaseWorld, FuzzCase, Move
from simulations.fuzz.injector import Chance
from tools.managed_model import Metadata

STEPS = ((10, 50, 100), (25, 100), (100,), (5, 25, 50, 100), (50, 100))
RATES: tuple[Mapping[str, float], ...] = (
    {"write": 0.0, "record": 0.0, "checkpoint": 0.0, "read": 0.0},
    {"write": 0.03, "record": 0.004, "checkpoint": 0.001, "read": 0.001},
    {"write": 0.08, "record": 0.01, "checkpoint": 0.003, "read": 0.004},
    {"write": 0.2, "record": 0.0, "checkpoint": 0.0, "read": 0.0},
    {"write": 0.0, "record": 0.06, "checkpoint": 0.01, "read": 0.0},
    {"write": 0.02, "record": 0.0, "checkpoint": 0.0, "read": 0.03},
    {"write": 0.1, "record": 0.03, "checkpoint": 0.01, "read": 0.015},
)
"""How often calls of each kind go wrong; some cases concentrate on one kind."""

_DISTURBANCES = (
    ("pause", "resume"),
    ("metrics-dark", "metrics-light"),
    ("labels-stop", "labels-resume"),
    ("disk-full", "disk-free"),
    ("edit-weights", "hand-back"),
    ("edit-elsewhere", ""),
    ("move-alias", ""),
    ("drop-alias", ""),
    ("crash-server", ""),
    ("approve", ""),
    ("reject", ""),
    ("jump-clock", ""),
    ("counters-restart", ""),
    ("sleep", ""),
    ("stand-by", ""),
    ("release", ""),
    ("lose-run", ""),
)
_RELEASES = ("good", "good", "good", "bad", "slow", "worse", "skewed", "dead", "ungated")
_TRAINED = ("fitting", "ungated", "dead", "bad", "good")
BY_CALENDAR = 0.2
"""The part of the cases in which something is wrong whose target is also retrained by triggers."""


def case_of(seed: int) -> tuple[FuzzCase, Chance]:
    """The case of a seed without its injections, and the chance that makes them."""
    rng = random.Random(seed)
    story = rng.choices(("release", "feed", "drift", "nothing"), (66, 12, 7, 6))[0]
    ticks = {"release": rng.randint(8, 18), "feed": rng.randint(8, 14), "nothing": 8}
    length = ticks.get(story, rng.randint(14, 20))
    world = _world(rng, story)
    moves = _STORIES[story](rng, length)
    if story != "nothing":
        moves += _disturbances(rng, length)
    calendar = random.Random(f"{seed}: calendar")  # its own chance: other draws stay as they are
    if story != "nothing" and calendar.random() < BY_CALENDAR:
        world = world.model_copy(update={"retrain_every": timedelta(hours=1)})
        moves += _of_calendar(calendar, length)
    if world.autonomy in ("approve", "propose"):
        moves += [
            Move(tick=t, do=rng.choice(("approve", "approve", "approve", "reject")))
            for t in range(3, length, rng.randint(1, 5))
        ]
    spec = CaseSpec(
        world=world,
        quiet=6 if story == "drift" else 1,
        ticks=length,
        hours=6 if story in ("drift", "feed") else rng.choice((0, 6, 12, 12, 24)),
        every=1 if story in ("drift", "feed") else rng.choice((2, 3, 4)),
        seconds=rng.choice((5.0, 10.0, 10.0, 10.0, 16.0, 30.0)),
        answers=rng.choice(("approve", "approve", "reject")),
        moves=tuple(sorted(moves, key=lambda move: move.tick)),
    )
    case = FuzzCase(metadata=Metadata(name=f"seed-{seed}"), spec=spec)
    return case, Chance(seed, rng.choice(RATES), until=length)


def _world(rng: random.Random, story: str) -> CaseWorld:
    is_long = story not in ("drift", "feed")  # their windows are short, and cost the same
    settings: dict[str, Any] = {
        "population": rng.randrange(4),
        "rows_per_hour": 40 if story == "drift" else rng.choice((10, 20, 20, 30)),
        "window": "1d" if is_long else "6h",
        "requests_per_s": rng.choice((0, 200, 1500, 1500, 1500, 4000)),
        "steps_percent": rng.choice(STEPS),
        "shadow_percent": rng.choice((0, 0, 0, 50, 100)),
        "step_deadline": rng.choice(("1m", "3m", "5m")),
        "probation": rng.choice(("6h", "6h", "12h", "2d") if is_long else ("6h", "12h")),
        "cool_down": rng.choice(("0h", "6h", "1d", "3d") if is_long else ("0h", "6h")),
        "autonomy": rng.choices(("auto", "approve", "propose", "observe"), (14, 3, 2, 1))[0],
        "max_retrains": rng.choice((0, 1, 2, 6, 6)),
        "timeout": rng.choice(("20m", "20m", "20m", "10s")),
    }
    return CaseWorld(**settings)


def _of_release(rng: random.Random, ticks: int) -> list[Move]:
    moves = [Move(tick=rng.randint(1, 3), do="release", what=rng.choice(_RELEASES))]
    if rng.random() < 0.25:
        moves.append(Move(tick=rng.randint(2, ticks), do="release", what=rng.choice(_RELEASES)))
    return moves


def _of_feed(rng: random.Random, ticks: int) -> list[Move]:
    began = rng.randint(1, 3)
    moves = [
        Move(tick=began, do="freeze-feed"),
        Move(tick=rng.randint(began + 2, ticks), do="thaw-feed"),
    ]
    if rng.random() < 0.5:
        moves.append(Move(tick=rng.randint(1, ticks), do="release", what=rng.choice(_RELEASES)))
    return moves


def _of_drift(rng: random.Random, ticks: int) -> list[Move]:
    moves = [Move(tick=1, do="drift")]
    for made in range(rng.choice((0, 0, 1, 2))):
        what = rng.choice(_TRAINED)
        moves.append(Move(tick=1 + made, do="train", what=what))
    if rng.random() < 0.2:
        moves.append(Move(tick=rng.randint(6, ticks), do="drift-back"))
    return moves


def _of_nothing(rng: random.Random, ticks: int) -> list[Move]:
    """Nothing is wrong: the number of changes has to be zero."""
    moves = []
    if rng.random() < 0.5:
        moves.append(Move(tick=rng.randint(1, ticks), do="counters-restart"))
    if rng.random() < 0.5:
        moves.append(Move(tick=rng.randint(1, ticks), do="edit-elsewhere"))
    return moves


def _of_calendar(rng: random.Random, ticks: int) -> list[Move]:
    """Hours jump by, so that a retrained challenger is due once or twice."""
    moves = []
    for _ in range(rng.choice((1, 1, 2))):
        moves.append(Move(tick=rng.randint(2, ticks), do="jump-clock", amount=rng.choice((1, 30))))
    for _ in range(rng.choice((0, 1, 2))):
        moves.append(Move(tick=1, do="train", what=rng.choice(_TRAINED)))
    return moves


_STORIES = {
    "release": _of_release,
    "feed": _of_feed,
    "drift": _of_drift,
    "nothing": _of_nothing,
}


def _disturbances(rng: random.Random, ticks: int) -> list[Move]:
    moves: list[Move] = []
    for _ in range(rng.choices((0, 1, 2, 3), (35, 35, 20, 10))[0]):
        begin, end = rng.choice(_DISTURBANCES)
        tick = rng.randint(1, ticks)
        what, amount = _about(rng, begin)
        moves.append(Move(tick=tick, do=begin, what=what, amount=amount))  # type: ignore[arg-type]
        if end and rng.random() < 0.8:
            moves.append(Move(tick=rng.randint(tick, ticks), do=end))  # type: ignore[arg-type]
    return moves


def _about(rng: random.Random, do: str) -> tuple[str, int]:
    """What a disturbance is about, and how much of it."""
    match do:
        case "pause":
            return rng.choice(("all", "target", "all+return", "target+return")), 0
        case "edit-weights":
            return "", rng.choice((0, 5, 30, 50, 99))
        case "move-alias":
            return rng.choice(("champion", "challenger", "former")), rng.randrange(3)
        case "drop-alias":
            return rng.choice(("challenger", "former")), 0
        case "crash-server":
            return rng.choice(("champion", "challenger", "former")), 0
        case "jump-clock":
            return "", rng.choice((-30, -1, 1, 30))
        case "sleep":
            return "", rng.randint(1, 5)
        case "release":
            return rng.choice(_RELEASES), 0
        case _:
            return "", 0
