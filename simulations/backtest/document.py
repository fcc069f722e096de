"""The managed model that a backtest assumes where no document is given."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from simulations.backtest.recording import Recording
from tools.managed_model import (
    Data,
    EvidenceRules,
    Gate,
    Guardrails,
    Label,
    ManagedModel,
    ManagedModelSpec,
    Metadata,
    Serving,
    Training,
)
from tools.schema import Column, ColumnType, FeatureSchema

MOST_RETRAINS = 100
"""Over the whole recording: as many as the busiest calendar that it is compared with."""


def assumed_model(recording: Recording) -> ManagedModel:
    """Everything usual, and guardrails that fit a recording instead of a year."""
    name = re.sub(r"[^a-z0-9]+", "-", Path(recording.name).stem.lower()).strip("-")[:60]
    spec = ManagedModelSpec(
        model=name or "recording",
        schema=FeatureSchema(
            time_column=recording.time_column or "row",
            columns=tuple(
                Column(
                    name=feature,
                    type=ColumnType.CATEGORY if category else ColumnType.NUMBER,
                    nullable=True,
                )
                for feature, category in zip(recording.features, recording.is_category, strict=True)
            ),
        ),
        label=Label(name=recording.label, delay=timedelta(0)),
        data=Data(history=recording.name),
        training=Training(families=("hist_gradient_boosting",)),
        gates=(Gate(metric="log_loss", not_worse_than_champion_by=0.01),),
        serving=Serving(route=name or "recording", host=name or "recording"),
        evidence=EvidenceRules(),
        guardrails=Guardrails(
            max_retrains=MOST_RETRAINS,
            budget_period=timedelta(days=365 * 1000),
            cool_down=timedelta(0),
        ),
    )
    return ManagedModel(
        api_version="mendloop.dev/v1alpha1",
        kind="ManagedModel",
        metadata=Metadata(name=name or "recording"),
        spec=spec,
    )
