"""Those who use the simulated service: their rows are predicted and logged, their calls counted.

The log holds a sample of rows; the counters count every call. Both divide by the weights that the
data plane routes by.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from simulations.metrics import MemoryMetrics
from simulations.population import Logistic, Parcels
from simulations.prediction_log import InMemoryPredictionLog
from simulations.releases import Release
from simulations.workloads import MemoryWorkloads
from tools.log_parts import shadow_of
from tools.routing import Mirror

Split = Mapping[str, int]
"""Version to percent."""


@dataclass
class Users:
    """The users of one target, and what they met so far."""

    target: str
    workloads: MemoryWorkloads
    metrics: MemoryMetrics
    log: InMemoryPredictionLog
    made: Mapping[str, Release]
    """Version to how it behaves."""
    labels_arrive: bool = True
    answered: dict[str, int] = field(default_factory=dict)
    """Calls that each version got, from the first step on."""
    failed: dict[str, int] = field(default_factory=dict)
    """Calls that each version failed; under "" those that met no server."""

    def ask(self, parcels: Parcels, split: Split, truth: Logistic, *, seed: Sequence[int]) -> None:
        """Predict the parcels and log them, with the labels that will become known."""
        rows, rng = parcels.arrived, np.random.default_rng(seed)
        versions = rng.choice(list(split), size=len(rows), p=[p / 100 for p in split.values()])
        parts = [self._served(rows[versions == version], version) for version in split]
        self.log.append_predictions(self.target, pd.concat(parts))
        if self.labels_arrive:
            labels = parcels.real[["request_id"]].assign(
                label=parcels.labels(truth), known_at=parcels.known_at()
            )
            self.log.append_labels(self.target, labels.dropna(subset=["label"]))

    def load(
        self, requests: int, split: Split, *, seed: Sequence[int], strain: float = 0.0
    ) -> None:
        """Let the calls of a while meet errors and slow answers, and count them.

        ``strain``: share of them that is slow because others use up what all share.
        """
        rng = np.random.default_rng(seed)
        counts = rng.multinomial(requests, [p / 100 for p in split.values()])
        for version, count in zip(split, (int(n) for n in counts), strict=True):
            release = self.made[version]
            errors = int(rng.binomial(count, release.error_rate))
            slow = int(rng.binomial(count - errors, min(1.0, release.slow_rate + strain)))
            missing = int(rng.binomial(count - errors, release.missing_rate))
            if not self.workloads.answers(self.target, version):
                self.failed[""] = self.failed.get("", 0) + count
                errors, slow, missing = count, 0, 0
            self.metrics.count(
                self.target, version, count, errors=errors, slow=slow, missing=missing
            )
            self.answered[version] = self.answered.get(version, 0) + count
            self.failed[version] = self.failed.get(version, 0) + errors

    def copy(self, parcels: Parcels, mirror: Mirror, *, seed: Sequence[int]) -> None:
        """Let a version answer copies of them too; nobody gets its answers."""
        rng = np.random.default_rng(seed)
        chosen = parcels.arrived[rng.random(len(parcels.arrived)) < mirror.percent / 100]
        if len(chosen) and self.workloads.answers(self.target, mirror.version):
            self.log.append_predictions(
                shadow_of(self.target), self._served(chosen, mirror.version)
            )

    def load_copies(self, requests: int, mirror: Mirror, *, seed: Sequence[int]) -> None:
        """Count the copies of a while, which meet what a version's own calls would."""
        rng, release = np.random.default_rng(seed), self.made[mirror.version]
        errors = int(rng.binomial(requests, release.error_rate))
        slow = int(rng.binomial(requests - errors, release.slow_rate))
        if not self.workloads.answers(self.target, mirror.version):
            errors, slow = requests, 0
        self.metrics.count(
            self.target, mirror.version, requests, errors=errors, slow=slow, mirrored=True
        )

    def _served(self, rows: pd.DataFrame, version: str) -> pd.DataFrame:
        release = self.made[version]
        masked = self.workloads.read(self.target, version).config.masked
        seen = rows.assign(**dict.fromkeys(masked, np.nan))
        probability = np.clip(release.model.probability(seen) + release.skew, 0.0, 1.0)
        told = pd.Series([masked] * len(rows), index=rows.index, dtype=object)
        return rows.assign(version=version, probability=probability, masked=told)
