"""Goes back to the version before whenever anything gets worse; releases come in unexamined."""

from __future__ import annotations

from datetime import datetime, timedelta

from agents.ports import Desk
from simulations.baselines.serving import Serving, release_at_once
from simulations.baselines.signals import interval, is_loss_up, watermark_of
from tools.errors import MendloopError
from tools.managed_model import ManagedModel
from tools.metrics import NoReading, Reading
from tools.registry import CHAMPION, ModelVersion

INTERVAL_S = 60.0
REST = timedelta(days=1)
"""Event time after a roll-back before its labels can say anything: the period that loss is read
over."""


class AlwaysRollBack:
    """Implements Operator.

    Worse is: errors or slow answers over 1 % of a minute's requests, or yesterday's mean loss over
    its threshold. A version that was left is not returned to, and the oldest one is kept.
    """

    def __init__(self, model: ManagedModel, desk: Desk) -> None:
        self._model, self._desk = model, desk
        self._serving = Serving(model, desk)
        self._reading: Reading | None = None
        self._rolled_at: datetime | None = None

    def tick(self) -> None:
        """See Operator."""
        try:
            champion = self._serving.alias(CHAMPION)
            if champion is not None and self._is_worse(champion):
                self._roll_back(champion)
            release_at_once(self._serving)
        except MendloopError:
            return  # met again at the next turn

    def _is_worse(self, champion: ModelVersion) -> bool:
        return self._is_failing(champion) or self._is_losing(champion)

    def _is_failing(self, champion: ModelVersion) -> bool:
        reading = self._desk.metrics.read(self._model.target)
        if isinstance(reading, NoReading):
            return False
        if self._reading is not None and reading.at_s - self._reading.at_s < INTERVAL_S:
            return False
        seen = interval(self._reading, reading, champion.version)
        self._reading = reading
        return seen is not None and not seen.is_good

    def _is_losing(self, champion: ModelVersion) -> bool:
        now = watermark_of(self._desk, self._model)
        if now is None:
            return False
        if self._rolled_at is not None and now - self._rolled_at < REST:
            return False
        return is_loss_up(self._desk, self._model, champion, now)

    def _roll_back(self, champion: ModelVersion) -> None:
        before = self._serving.before(champion)
        if before is None:
            return
        if self._serving.is_up(before):
            self._serving.make_champion(before)
            self._serving.refused.add(champion.version)
            self._rolled_at = watermark_of(self._desk, self._model)
