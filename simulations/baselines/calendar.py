"""Retrains every so many hours of event time and releases what passes its gates, at once."""

from __future__ import annotations

from datetime import timedelta

from agents.ports import Desk
from simulations.baselines.serving import Serving, release_at_once
from simulations.baselines.signals import watermark_of
from simulations.baselines.training import Training
from tools.errors import MendloopError
from tools.managed_model import ManagedModel

EVERY = timedelta(days=2)
"""The simulated label is known after hours: the counterpart of a month for labels after days."""


class Calendar:
    """Implements Operator: a scheduled pipeline with continuous deployment behind its gates."""

    def __init__(self, model: ManagedModel, desk: Desk, *, every: timedelta = EVERY) -> None:
        self._model, self._desk, self._every = model, desk, every
        self._serving = Serving(model, desk)
        self._training = Training(model, desk)

    def tick(self) -> None:
        """See Operator."""
        try:
            if not self._training.is_running():
                self._start_when_due()
            release_at_once(self._serving)
        except MendloopError:
            return  # met again at the next turn

    def _start_when_due(self) -> None:
        now = watermark_of(self._desk, self._model)
        if now is None:
            return
        if self._training.began is None:
            self._training.began = now  # the first period begins with the first look
        if now - self._training.began >= self._every:
            self._training.start(now)
