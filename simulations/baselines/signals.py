"""The figures that plain monitoring looks at: thresholds on loss, on ratios, and on drift tests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import pandas as pd

from agents.ports import Desk
from agents.windows import floor
from tools.managed_model import ManagedModel
from tools.metrics import NoReading, Reading, VersionCounters
from tools.registry import ModelVersion
from tools.statistics.drift import compare
from tools.statistics.losses import summarise
from tools.statistics.profile import Profile, current_profile, reference_profile

PSI_LIMIT = 0.25
"""Above it the shift counts as significant in the rule of thumb of credit scoring (Siddiqi,
*Credit Risk Scorecards*, 2006)."""
KS_LEVEL = 0.05
MIN_LABELLED = 50
"""Labelled rows below which nobody reads a mean loss off a dashboard."""
LOOK_BACK = timedelta(days=1)


def watermark_of(desk: Desk, model: ManagedModel) -> datetime | None:
    """The event time that the log has reached."""
    return desk.log.extent(model.target).watermark


def is_loss_up(desk: Desk, model: ManagedModel, champion: ModelVersion, now: datetime) -> bool:
    """A threshold on yesterday's mean loss: above the held-out loss by more than the tolerance."""
    until = now - model.spec.label.delay
    rows = desk.log.cohort(
        model.target, start=until - LOOK_BACK, end=until, as_of=now, version=champion.version
    )
    if not len(rows):
        return False
    window = summarise(rows["probability"].to_numpy(float), rows["label"].to_numpy(float))
    if window.labelled < MIN_LABELLED:
        return False
    held_out = float(champion.reference.get("log_loss", champion.metrics.get("log_loss", 0.0)))
    return window.loss / window.labelled > held_out + model.spec.evidence.loss_tolerance


@dataclass
class Interval:
    """What one version answered since the last look."""

    requests: int
    errors: int
    slow: int

    @property
    def is_good(self) -> bool:
        """At least 99 % answered without an error, and at least 99 % of them fast enough: P99
        within the objective."""
        return 100 * self.errors <= self.requests and 100 * self.slow <= self.requests


def interval(before: Reading | None, now: Reading | NoReading, version: str) -> Interval | None:
    """Difference of two readings; None where there is no figure or no request."""
    if before is None or isinstance(now, NoReading) or before.epoch != now.epoch:
        return None
    first, second = _counters(before, version), _counters(now, version)
    if second is None:
        return None
    grown = [
        getattr(second, name) - (getattr(first, name) if first else 0)
        for name in ("requests", "errors", "slow")
    ]
    return Interval(*grown) if grown[0] > 0 else None


def _counters(reading: Reading, version: str) -> VersionCounters | None:
    return next((c for c in reading.versions if c.version == version), None)


def profile_of(rows: pd.DataFrame, model: ManagedModel) -> Profile:
    """The reference that the textbook rule compares with."""
    schema = model.spec.schema_
    numbers = tuple(n for n in schema.names if n not in schema.categories)
    return reference_profile(rows, numbers=numbers, categories=tuple(schema.categories))


def has_drifted(desk: Desk, model: ManagedModel, reference: Profile, now: datetime) -> bool:
    """PSI > 0.25 or KS p < 0.05 on any feature of the newest complete window."""
    end = floor(now, model.spec.evidence.window)
    rows = desk.log.predictions(
        model.target,
        start=end - model.spec.evidence.window,
        end=end,
        columns=model.spec.schema_.names,
    )
    if not len(rows):
        return False
    report = compare(reference, current_profile(rows, reference))
    return any(
        feature.psi > PSI_LIMIT
        or (feature.ks_p_value is not None and feature.ks_p_value < KS_LEVEL)
        for feature in report.features.values()
    )
