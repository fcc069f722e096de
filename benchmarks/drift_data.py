"""Data, textbook rules and peers that the drift benchmarks share."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import warnings
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from tools.statistics.drift import DriftReport, compare
from tools.statistics.profile import current_profile, reference_profile


def has_evidently() -> bool:
    """Whether the peer is installed (the dependency group ``bench`` brings it)."""
    return importlib.util.find_spec("evidently") is not None


def normals(rng: np.random.Generator, rows: int, columns: int, shift: float = 0.0) -> pd.DataFrame:
    """Independent standard normals; the first column is shifted."""
    values = rng.normal(size=(rows, columns))
    values[:, 0] += shift
    return pd.DataFrame(values, columns=[f"x{i}" for i in range(columns)])


def report(
    before: pd.DataFrame, now: pd.DataFrame, *, alpha: float = 0.01, tolerance: float = 0.05
) -> DriftReport:
    """mendloop's report of two frames: numbers as they are, text as categories."""
    names = [str(c) for c in before.columns]
    numbers = tuple(c for c in names if pd.api.types.is_numeric_dtype(before[c]))
    categories = tuple(c for c in names if c not in numbers)
    reference = reference_profile(before, numbers=numbers, categories=categories)
    return compare(reference, current_profile(now, reference), alpha=alpha, tolerance=tolerance)


def ks_p_values(before: pd.DataFrame, now: pd.DataFrame) -> list[float]:
    """p-values of scipy's two-sample Kolmogorov-Smirnov test, column by column."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # exact p-values that underflow
        return [float(stats.ks_2samp(before[c], now[c], method="asymp").pvalue) for c in before]


def textbook_alarm(before: pd.DataFrame, now: pd.DataFrame) -> bool:
    """PSI > 0.25 or KS p < 0.05 on any column."""
    if min(ks_p_values(before, now)) < 0.05:
        return True
    return any(_psi(before[c].to_numpy(), now[c].to_numpy()) > 0.25 for c in before)


def _psi(before: Any, now: Any) -> float:
    edges = np.r_[-np.inf, np.quantile(before, np.arange(0.1, 1, 0.1)), np.inf]
    first = np.histogram(before, edges)[0] / len(before) + 1e-6
    second = np.histogram(now, edges)[0] / len(now) + 1e-6
    return float(((second - first) * np.log(second / first)).sum())


def evidently_report(before: pd.DataFrame, now: pd.DataFrame) -> dict[str, Any]:
    """The JSON of Evidently's drift preset with its defaults."""
    from evidently import Report
    from evidently.presets import DataDriftPreset

    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        result: dict[str, Any] = Report([DataDriftPreset()]).run(now, before).dict()
    return result


def evidently_drifted(result: dict[str, Any]) -> int:
    """How many columns Evidently's preset calls drifted."""
    for metric in result["metrics"]:
        if "DriftedColumnsCount" in str(metric.get("metric_name", metric.get("metric_id", ""))):
            return int(metric["value"]["count"])
    raise KeyError("Evidently's report holds no DriftedColumnsCount: its format changed")
