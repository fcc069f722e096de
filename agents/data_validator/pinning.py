"""Pins training data: history and matured rows, without what was set aside, by content digest."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.facts import DATA_TRUST, QUARANTINE, TRAINING_DATA
from agents.memory import Pinned, TargetMemory
from agents.ports import Desk
from agents.trainer.change import changed_at
from agents.windows import parse
from tools.data_files import pin_table, read_table
from tools.errors import Invalid
from tools.managed_model import ManagedModel
from tools.prediction_log import PredictionLog

if TYPE_CHECKING:
    import pandas as pd


class PinTrainingData:
    """Writes one immutable file of trusted, matured rows for this incident's training."""

    contract = Contract(
        name="pin_training_data",
        agent="data_validator",
        purpose="Fix the training data by digest: trusted, matured, labelled rows only.",
        concern="model",
        undo="nothing to undo",
        deadline_s=120.0,
        max_attempts=2,
        changes_production=False,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return tuple(
            self.contract.operation(
                arguments={"scope": scope},
                requires=(is_(DATA_TRUST, "trusted"), is_(QUARANTINE, "none", "done")),
                achieves={TRAINING_DATA: scope},
                cost=Cost(minutes=0.5, money=0.1),
            )
            for scope in ("full", "recent")
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        scope = str(call.operation.arguments["scope"])
        frame = training_rows(desk, call.model, memory, scope=scope)
        minimum = call.model.spec.data.min_rows
        if len(frame) < minimum:
            raise Invalid(
                f"only {len(frame)} trusted, labelled rows are there, expected {minimum}; "
                "wait for labels or lower spec.data.minRows",
                field="spec.data.minRows",
            )
        since = changed_at(desk, call.model, memory) or memory.changed_at
        _must_be_news(call.model, frame, since)
        pin = pin_table(frame, desk.pins)
        return Receipt(
            detail=f"{pin.rows} rows pinned as sha256:{pin.digest[:12]}",
            after={"digest": pin.digest, "rows": pin.rows, "uri": pin.uri},
            memory=memory.model_copy(
                update={
                    "pinned": Pinned(
                        incident=call.incident,
                        scope=scope,
                        uri=pin.uri,
                        digest=pin.digest,
                        changed_at=since,
                    ),
                    "changed_at": since,
                }
            ),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        pinned = memory.pinned
        if pinned is None or pinned.incident != call.incident:
            return Verification(holds=Holds.BROKEN, detail="nothing is pinned for this incident")
        read_table(pinned.uri, digest=pinned.digest)
        return Verification(holds=Holds.HOLDS, detail=f"sha256:{pinned.digest[:12]} is readable")


def _must_be_news(model: ManagedModel, frame: pd.DataFrame, since: str) -> None:
    """Without one trusted row from after the change, a new model learns the old world again."""
    newest = frame[model.spec.schema_.time_column].max()
    if since and newest < parse(since):
        raise Invalid(
            f"the world changed at {since}, and no trusted, labelled row is newer than {newest}; "
            "find out why the rows since then are set aside",
            field="spec.data",
        )


def training_rows(
    desk: Desk, model: ManagedModel, memory: TargetMemory, *, scope: str = "full"
) -> pd.DataFrame:
    """History, then every matured and labelled row of the log that no fault covers.

    What is as old as the history is in it: a row of the log that was archived there counts once.
    ``scope`` recent: only the last ``spec.training.recent`` of event time. Columns: the time
    column, the schema's columns and the label. Ordered by event time.
    """
    import pandas as pd

    spec = model.spec
    schema = spec.schema_
    history = history_rows(desk.history, model)
    extent = desk.log.extent(model.target)
    if extent.first is None or extent.watermark is None:
        return history
    logged = logged_rows(
        desk.log,
        model,
        memory,
        after=end_of_history(history[schema.time_column], extent.watermark),
        until=extent.watermark - spec.label.delay,
    )
    rows = pd.concat([history, logged], ignore_index=True)
    rows = rows.sort_values(schema.time_column, kind="stable", ignore_index=True)
    if scope == "recent" and len(rows):
        newest = rows[schema.time_column].iloc[-1]
        rows = rows[rows[schema.time_column] > newest - spec.training.recent]
    return rows.reset_index(drop=True)


def history_rows(uri: str, model: ManagedModel) -> pd.DataFrame:
    """The labelled rows from before the log. Columns as ``training_rows``; raises Invalid."""
    import pandas as pd

    schema, label = model.spec.schema_, model.spec.label
    wanted = [schema.time_column, *schema.names, label.name]
    found = read_table(uri, text_columns=schema.categories)
    missing = [name for name in wanted if name not in found.columns]
    if missing:
        raise Invalid(f"{uri} lacks the columns {', '.join(missing)}", field="spec.data.history")
    found = found[wanted].dropna(subset=[label.name])
    try:  # times that name no zone are UTC
        times = pd.to_datetime(found[schema.time_column], utc=True)
    except (ValueError, TypeError) as error:
        raise Invalid(
            f"{uri} has values that are no times in {schema.time_column}: {error}",
            field="spec.data.history",
        ) from error
    found[schema.time_column] = times.dt.tz_convert(None)
    return found


def logged_rows(
    log: PredictionLog,
    model: ManagedModel,
    memory: TargetMemory,
    *,
    after: datetime | None,
    until: datetime,
) -> pd.DataFrame:
    """What training takes from the log: labelled, trusted rows with after < event_time < until.

    ``after`` None: from the first one on. Columns: the time column, the schema's columns and the
    label, by their names in the document.
    """
    import pandas as pd

    schema, label = model.spec.schema_, model.spec.label
    extent = log.extent(model.target)
    found = log.cohort(
        model.target,
        start=min(after or extent.first or until, until),
        end=until,
        as_of=extent.watermark or until,
        columns=schema.names,
    ).dropna(subset=["label"])
    if after is not None:
        found = found[found["event_time"] > pd.Timestamp(after)]
    found = found[~_distrusted(found, memory)]
    found = found.rename(columns={"event_time": schema.time_column, "label": label.name})
    return found[[schema.time_column, *schema.names, label.name]]


def end_of_history(times: pd.Series[Any], watermark: datetime) -> datetime | None:
    """The newest time of the history; one that the log has not reached is a slip of the pen."""
    reached = times[times <= watermark]
    return reached.max().to_pydatetime() if len(reached) else None


def _distrusted(frame: pd.DataFrame, memory: TargetMemory) -> pd.Series[bool]:
    import pandas as pd

    marked = pd.Series(False, index=frame.index)
    for span in memory.spans:
        inside = frame["event_time"] >= pd.Timestamp(span.start)
        if span.end:
            inside &= frame["event_time"] < pd.Timestamp(span.end)
        marked |= inside
    return marked
