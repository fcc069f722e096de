"""One pipeline run at a time on all the labelled data there is, gated as the document says."""

from __future__ import annotations

from datetime import datetime

from agents.data_validator.pinning import training_rows
from agents.memory import TargetMemory
from agents.ports import Desk
from agents.trainer.retraining import PIPELINE
from tools.data_files import pin_table
from tools.managed_model import ManagedModel
from tools.pipeline_runs import RunPhase, RunRequest
from tools.registry import CHALLENGER, CHAMPION

UNSUSPECTING = TargetMemory()
"""Nothing is known to be wrong with any row."""


class Training:
    """Starts runs and knows whether one is under way."""

    def __init__(self, model: ManagedModel, desk: Desk) -> None:
        self._model = model
        self._desk = desk
        self._run = ""
        self._count = 0
        self.began: datetime | None = None
        """Event time at which the newest run began."""

    def is_running(self) -> bool:
        """Whether a run is under way; one that is past its time is cancelled, as a person would."""
        if not self._run:
            return False
        state = self._desk.runs.read(self._run)
        if state.phase is not RunPhase.RUNNING:
            self._run = ""
            return False
        if state.seconds > self._model.spec.training.timeout.total_seconds():
            self._desk.runs.cancel(self._run)
            self._run = ""
            return False
        return True

    def start(self, event_time: datetime) -> None:
        """A new run on everything labelled so far; nothing when there is too little of it."""
        rows = training_rows(self._desk, self._model, UNSUSPECTING)
        self.began = event_time
        if len(rows) < self._model.spec.data.min_rows:
            return
        champion = self._desk.registry.by_alias(self._model.spec.model, CHAMPION)
        if champion is None:
            return
        pin = pin_table(rows, self._desk.pins)
        folder = self._desk.registry.fetch(champion.model, champion.version, self._desk.artifacts)
        arguments = {
            **self._desk.pipeline_arguments,
            "data_uri": pin.uri,
            "data_digest": pin.digest,
            "spec": self._model.spec.model_dump(mode="json", by_alias=True),
            "champion_artifact": str(folder),
            "champion_digest": champion.artifact_digest,
            "alias": CHALLENGER,
        }
        self._count += 1
        key = f"baseline-run-{self._count}"
        self._desk.runs.submit(RunRequest(pipeline=PIPELINE, arguments=arguments), key=key)
        self._run = key
