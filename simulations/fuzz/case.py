"""``kind: FuzzCase``: one rehearsal that can be run again to the byte, small enough to be read.

A case is a world, what happens to it (moves), and what goes wrong at the controller's own calls
(injections). Everything else follows from them: the same case gives the same journal.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import yaml
from pydantic import Field

from simulations.crashes import Point
from tools.managed_model import Duration, Metadata
from tools.schema import DocumentValue

Doing = Literal[
    "release",
    "train",
    "freeze-feed",
    "thaw-feed",
    "drift",
    "drift-back",
    "metrics-dark",
    "metrics-light",
    "counters-restart",
    "labels-stop",
    "labels-resume",
    "pause",
    "resume",
    "edit-weights",
    "hand-back",
    "edit-elsewhere",
    "move-alias",
    "drop-alias",
    "crash-server",
    "approve",
    "reject",
    "jump-clock",
    "lose-run",
    "sleep",
    "stand-by",
    "disk-full",
    "disk-free",
]
"""What can happen: ``train`` says what the next pipeline run makes, ``sleep`` that the controller
does not tick for a while, ``stand-by`` that a second one ticks beside it from now on."""

Happening = Literal[
    "crash",
    "take-over",
    "unavailable",
    "uncertain",
    "refused",
    "invalid",
    "conflict",
    "duplicate",
    "delay",
    "pause",
    "edit",
]
"""What can go wrong at a call. ``take-over``: the controller is held up there until another one
took over, then goes on; ``conflict``: somebody else writes the object in between, harmlessly;
``edit``: writes the weights; ``duplicate``: the call is delivered twice; ``delay``: time passes
inside it; ``pause``: somebody pulls the kill switch during it."""


class Move(DocumentValue):
    """Something that the world, its people or its platform do at the beginning of a tick."""

    tick: int = Field(ge=1)
    do: Doing
    what: str = ""
    """Which release, alias or server; see ``simulations/fuzz/moves.py``."""
    amount: int = 0
    """Percent, hours or ticks, where the move has one."""


class Injection(DocumentValue):
    """Something that goes wrong at one call of a controller."""

    tick: int = Field(ge=1)
    call: str
    """Port, verb and moment, such as ``traffic.patch:before``."""
    number: int = Field(ge=1)
    """The how-manieth such call of the tick."""
    happening: Happening
    seconds: float = 0.0
    """Virtual time that passes, where some does."""

    @property
    def point(self) -> Point:
        """Where in its tick it strikes."""
        return Point(call=self.call, number=self.number)


class CaseWorld(DocumentValue):
    """The world in which the case plays: small, so that a seed costs a fraction of a second."""

    population: int = Field(default=0, ge=0)
    """Seed of its parcels and weather."""
    rows_per_hour: int = Field(default=20, ge=1, le=500)
    requests_per_s: int = Field(default=1500, ge=0)
    steps_percent: tuple[int, ...] = (10, 50, 100)
    shadow_percent: int = Field(default=0, ge=0, le=100)
    """Requests that are copied to a challenger before it gets any; 0: no shadow."""
    step_deadline: Duration = timedelta(minutes=5)
    probation: Duration = timedelta(hours=6)
    window: Duration = timedelta(hours=6)
    cool_down: Duration = timedelta(days=1)
    autonomy: Literal["observe", "propose", "approve", "auto"] = "auto"
    max_retrains: int = Field(default=6, ge=0)
    timeout: Duration = timedelta(minutes=20)
    """Of a pipeline run, which takes 20 seconds."""
    retrain_every: Duration | None = None
    """``triggers.every``; on the wall clock, on which only jumps make hours pass here."""


class CaseSpec(DocumentValue):
    """What is played."""

    world: CaseWorld = CaseWorld()
    quiet: int = Field(default=2, ge=0)
    """Ticks of one window each before the first: a trusted past."""
    ticks: int = Field(ge=1, le=500)
    """Of moves and injections; afterwards nothing goes wrong, and all must come to rest."""
    hours: int = Field(default=2, ge=0)
    """Event time that passes at once, every so many ticks (``every``)."""
    every: int = Field(default=1, ge=1)
    seconds: float = Field(default=10.0, gt=0)
    """Wall-clock time per tick; a lease lasts 15 seconds."""
    answers: Literal["approve", "reject", "nobody"] = "approve"
    """What becomes of requests for approval once nothing goes wrong any more."""
    moves: tuple[Move, ...] = ()
    injections: tuple[Injection, ...] = ()


class FuzzCase(DocumentValue):
    """One rehearsal of the crash fuzzer."""

    api_version: Literal["mendloop.dev/v1alpha1"] = "mendloop.dev/v1alpha1"
    kind: Literal["FuzzCase"] = "FuzzCase"
    metadata: Metadata
    spec: CaseSpec

    def as_yaml(self) -> str:
        """The document as people read it: defaults left out."""
        body = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        head = {"apiVersion": self.api_version, "kind": self.kind}
        return yaml.safe_dump(head | body, sort_keys=False, default_flow_style=None, width=100)
