"""Old rows of a prediction log: into the training history, then out of the log.

Training takes the history and the log's labelled rows from after its end, so a row counts once
wherever it is: a log may be archived at any time, and pruned once the document names the archive.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agents.data_validator.pinning import end_of_history, history_rows, logged_rows
from agents.monitor.drift import MONTH
from agents.trainer.change import LOOK_BACK
from tools.errors import Invalid, Refused
from tools.log_parts import shadow_of
from tools.values import Value

if TYPE_CHECKING:
    import pandas as pd

    from agents.memory import TargetMemory
    from tools.log_retention import LogRetention
    from tools.managed_model import ManagedModel
    from tools.prediction_log import PredictionLog


class Archived(Value):
    """A file that can be the new ``spec.data.history``."""

    output: str
    until: datetime
    """Event time, naive UTC: rows of the log before it are in the file."""
    history_rows: int
    logged_rows: int


class Pruned(Value):
    """What was taken out of the log, or would be."""

    before: datetime
    rows: int
    labels: int
    shadow_rows: int
    """Answers to copies of requests, which no user got."""


class LogArchive:
    """One target's log and history."""

    def __init__(
        self, model: ManagedModel, history: str, log: PredictionLog, memory: TargetMemory
    ) -> None:
        """``history``: path or URL of the document's; ``memory``: which rows are trusted."""
        self._model, self._history, self._log, self._memory = model, history, log, memory

    def archive(self, older_than: timedelta, output: str) -> Archived:
        """Write the history, and the rows that training takes from the log up to then.

        The file is whole or absent. Raises Invalid for an age that the evidence still needs.
        """
        import pandas as pd
        import pyarrow as pa

        from tools.table_stream import TableOutput, format_of

        format_of(output)
        if output == self._history:
            raise Invalid(
                "is the history itself; write a file beside it, then name it in spec.data.history",
                field="--output",
            )
        until = self._before(older_than)
        history, logged = self._rows(until)
        rows = pd.concat([history, logged], ignore_index=True)
        if rows.empty:
            raise Invalid(f"neither history nor log has a labelled row from before {until}")
        rows = rows.sort_values(
            self._model.spec.schema_.time_column, kind="stable", ignore_index=True
        )
        table = pa.Table.from_pandas(rows, preserve_index=False)
        with (
            tempfile.TemporaryDirectory(prefix="mendloop-archive-") as scratch,
            TableOutput(output, Path(scratch)) as file,
        ):
            file.write(table)
        return Archived(
            output=output, until=until, history_rows=len(history), logged_rows=len(logged)
        )

    def prune(
        self,
        retention: LogRetention,
        older_than: timedelta,
        *,
        forget: bool,
        record: Callable[[Pruned], None] | None,
    ) -> Pruned:
        """Take older rows out of the log. Raises Refused while training would miss some.

        ``forget``: even so. ``record`` writes down what is about to go; None: only say what would.
        """
        before = self._before(older_than)
        if not forget:
            _, missed = self._rows(before)
            if len(missed):
                first = missed[self._model.spec.schema_.time_column].min()
                raise Refused(
                    f"{len(missed):,} labelled rows since {first} are in the log only, and training"
                    " uses them: archive them, name the archive in spec.data.history, and prune"
                    " with that document; or say --forget"
                )
        target = self._model.target
        served, copies = (retention.old(t, before) for t in (target, shadow_of(target)))
        found = Pruned(
            before=before, rows=served.rows, labels=served.labels, shadow_rows=copies.rows
        )
        if record is not None and (found.rows or found.shadow_rows):
            record(found)
            for name in (target, shadow_of(target)):
                retention.forget(name, before)
        return found

    def _rows(self, until: datetime) -> tuple[pd.DataFrame, pd.DataFrame]:
        """(history, what training takes from the log before ``until``)."""
        history = history_rows(self._history, self._model)
        watermark = self._log.extent(self._model.target).watermark or until
        end = end_of_history(history[self._model.spec.schema_.time_column], watermark)
        return history, logged_rows(self._log, self._model, self._memory, after=end, until=until)

    def _before(self, older_than: timedelta) -> datetime:
        least = needed(self._model)
        if older_than < least:
            raise Invalid(
                f"expected at least {least.days}d: of this model, evidence and retrains look back"
                " as far",
                field="--older-than",
            )
        watermark = self._log.extent(self._model.target).watermark
        if watermark is None:
            raise Invalid(f"the prediction log of {self._model.target} has no rows")
        return watermark - older_than


def needed(model: ManagedModel) -> timedelta:
    """How far back from the newest row anything looks, but for a full retrain; whole days."""
    spec = model.spec
    looks = (
        MONTH,
        LOOK_BACK * spec.evidence.window,
        spec.training.recent,
        spec.training.holdout,
    )
    return timedelta(days=(max(looks) + spec.label.delay) // timedelta(days=1) + 1)
