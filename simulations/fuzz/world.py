"""The world of a fuzz case: the simulated platform, small and quick, with hands that meddle."""

from __future__ import annotations

import copy
import io
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from agents.ports import Desk
from simulations.effects import Ledger, Standing
from simulations.fuzz.auditor import Auditor
from simulations.fuzz.case import CaseWorld
from simulations.fuzz.wires import TwiceDelivered
from simulations.population import Logistic, Population
from simulations.world import WRITES, World
from tools.registry import ModelVersion
from tools.traffic import JsonPatch


class FuzzWorld(World):
    """A world whose every effect an auditor sees, together with who was at work."""

    def __init__(self, folder: Path, settings: CaseWorld) -> None:
        self.releases = 0
        """Challengers that somebody else registered."""
        self.foreign = 0
        """Edits of fields that are not mendloop's."""
        self.is_disk_full = False
        self.acting = ""
        """Holder of the controller at work; empty while none is."""
        self.twice = False
        """Whether the call under way is delivered a second time."""
        self.settings = settings
        self.audits = False
        self.hand_moved = False
        """Whether somebody moved or removed an alias by hand."""
        super().__init__(
            folder,
            seed=settings.population,
            rows_per_hour=settings.rows_per_hour,
            requests_per_s=settings.requests_per_s,
            rollout={
                "stepsPercent": settings.steps_percent,
                "stepDeadline": settings.step_deadline,
                "probation": settings.probation,
                "shadow": _shadow(settings.shadow_percent),
            },
            evidence={"window": settings.window},
            label={"delay": "1h"},
            guardrails={
                "coolDown": settings.cool_down,
                "autonomy": settings.autonomy,
                "maxRetrains": settings.max_retrains,
            },
            training={"timeout": settings.timeout},
            **_triggers(settings),
        )
        self.ledger = Unasked(self.document, self.journal)
        self.auditor = Auditor(self)
        self.audits = True

    @property
    def incidents(self) -> int:
        """How many were opened."""
        return self._incidents

    def desk(self) -> Desk:
        """The ports of the world, over wires that may deliver a write twice."""
        desk = super().desk()
        return Desk(
            **{
                **vars(desk),
                "traffic": TwiceDelivered(desk.traffic, self),
                "workloads": TwiceDelivered(desk.workloads, self),
                "registry": TwiceDelivered(desk.registry, self),
                "runs": TwiceDelivered(desk.runs, self),
            }
        )

    def body(self) -> dict[str, Any]:
        """The route document as it is stored."""
        with self.own():
            return copy.deepcopy(self.traffic.read(*self._route).body)

    def patch_route(self, operations: JsonPatch) -> None:
        """Somebody else's write."""
        self.traffic.edit(*self._route, operations)

    def settle(self) -> None:
        """Take what is now for granted: it is not a controller's doing."""
        self._standing = self.standing()
        if self.audits:
            self.auditor.accept(self.body())

    def standing_before(self) -> Standing:
        """What the target consisted of before the effect that is being judged."""
        return self._standing

    def mark_broken(self) -> None:
        """Tell the servers which artifacts never load."""
        self._mark_broken()

    def versions(self) -> tuple[ModelVersion, ...]:
        """Everything in the registry."""
        with self.own():
            return self.registry.versions(self.document.spec.model)

    def _call(self, call: str) -> None:
        if self._is_own:
            return
        if call in WRITES and self.audits:
            after = self.standing()
            self.auditor.judge(call, self._standing, after)
            self._standing = after
        self.fault(call)

    def _history(self, folder: Path) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        self.population = _population(self.settings.population, self.settings.rows_per_hour)
        path = folder / "history.parquet"
        path.write_bytes(_history(self.settings.population, self.settings.rows_per_hour))
        return str(path)


class Unasked(Ledger):
    """The world's own ledger keeps quiet: the auditor looks at what controllers do."""

    def check(self, standing: Standing) -> None:
        """Servers that die by themselves are nobody's broken promise."""


class RememberedPopulation(Population):
    """A population that draws each hour once, for all worlds of the process."""

    def __init__(self, *, seed: int, rows_per_hour: int) -> None:
        super().__init__(seed=seed, rows_per_hour=rows_per_hour)
        self._hours: dict[int, dict[str, Any]] = {}
        self._histories: dict[Logistic, pd.DataFrame] = {}

    def history(self, truth: Logistic) -> pd.DataFrame:
        """See Population."""
        if truth not in self._histories:
            self._histories[truth] = super().history(truth)
        return self._histories[truth].copy()

    def _hour(self, index: int) -> dict[str, Any]:
        if index not in self._hours:
            self._hours[index] = super()._hour(index)
        return self._hours[index]


def _shadow(percent: int) -> dict[str, Any] | None:
    """Short enough for a case of some minutes, long enough to be disturbed."""
    return {"percent": percent, "for": "30s", "deadline": "3m"} if percent else None


def _triggers(settings: CaseWorld) -> dict[str, Any]:
    every = settings.retrain_every
    return {} if every is None else {"triggers": {"every": every}}


@lru_cache(maxsize=64)
def _population(seed: int, rows_per_hour: int) -> RememberedPopulation:
    return RememberedPopulation(seed=seed, rows_per_hour=rows_per_hour)


@lru_cache(maxsize=64)
def _history(seed: int, rows_per_hour: int) -> bytes:
    """The file's content, made once for all worlds of the process."""
    content = io.BytesIO()
    _population(seed, rows_per_hour).history(Logistic()).to_parquet(content)
    return content.getvalue()
