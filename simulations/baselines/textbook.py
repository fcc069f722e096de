"""Retrains whenever a drift test fires on any feature, and releases without a canary."""

from __future__ import annotations

from datetime import datetime

from agents.data_validator.pinning import training_rows
from agents.ports import Desk
from agents.windows import floor
from simulations.baselines.serving import Serving, release_at_once
from simulations.baselines.signals import has_drifted, profile_of, watermark_of
from simulations.baselines.training import UNSUSPECTING, Training
from tools.data_files import read_table
from tools.errors import MendloopError
from tools.managed_model import ManagedModel
from tools.registry import CHAMPION


class Textbook:
    """Implements Operator: PSI > 0.25 or KS p < 0.05 on any feature of the last window.

    The reference is what the champion was trained on: the history at first, then all labelled
    rows. Each window is tested once, and no run is started while one is under way.
    """

    def __init__(self, model: ManagedModel, desk: Desk) -> None:
        self._model, self._desk = model, desk
        self._serving = Serving(model, desk)
        self._training = Training(model, desk)
        history = read_table(desk.history, text_columns=model.spec.schema_.categories)
        self._reference = profile_of(history, model)
        self._champion = ""
        self._tested: datetime | None = None

    def tick(self) -> None:
        """See Operator."""
        try:
            self._follow_champion()
            if not self._training.is_running():
                self._test_newest_window()
            release_at_once(self._serving)
        except MendloopError:
            return  # met again at the next turn

    def _follow_champion(self) -> None:
        champion = self._serving.alias(CHAMPION)
        if champion is None or champion.version == self._champion:
            return
        if self._champion:
            rows = training_rows(self._desk, self._model, UNSUSPECTING)
            self._reference = profile_of(rows, self._model)
        self._champion = champion.version

    def _test_newest_window(self) -> None:
        now = watermark_of(self._desk, self._model)
        if now is None:
            return
        window = floor(now, self._model.spec.evidence.window)
        if window == self._tested:
            return
        is_drifted = has_drifted(self._desk, self._model, self._reference, now)
        self._tested = window
        if is_drifted:
            self._training.start(now)
