"""Compares two files of data column by column and jointly: what ``mendloop drift`` does."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.errors import Invalid
from tools.profile_query import SAMPLE_ROWS, query_profile, reference_query_profile
from tools.statistics.drift import (
    JOINT_SHARE,
    DriftReport,
    FeatureDrift,
    check_rates,
    compare,
)
from tools.statistics.joint import MAX_ROWS, joint_shift
from tools.statistics.joint_shift import JointShift
from tools.statistics.profile import Profile, current_profile, reference_profile
from tools.table_files import ColumnKind, TableFile, TableReader


@dataclass(frozen=True)
class FileDrift:
    """The comparison of two files, with the profiles that it rests on."""

    reference_path: Path
    current_path: Path
    reference: Profile
    current: Profile
    report: DriftReport
    skipped: dict[str, str]
    """Columns that were not compared, and why."""

    def to_json(self) -> dict[str, Any]:
        """The stable form for machines."""
        report = self.report
        features = {name: _figures(feature) for name, feature in report.features.items()}
        return {
            "rows": {"reference": report.rows_reference, "current": report.rows_current},
            "alpha": report.alpha,
            "tolerance": report.tolerance,
            "shifted": list(report.shifted),
            "joint": None if report.joint is None else report.joint.model_dump(mode="json"),
            "features": features,
            "skipped": self.skipped,
        }


def _figures(feature: FeatureDrift) -> dict[str, Any]:
    return feature.model_dump(mode="json") | {"null_shift": feature.null_shift}


def compare_files(
    reference: Path, current: Path, *, alpha: float, tolerance: float, joint: bool, seed: int
) -> FileDrift:
    """Compare two CSV or Parquet files of any size.

    Memory stays within the query engine's limit and a sample of the rows. Raises Invalid, naming
    the file, for what cannot be read or compared.
    """
    check_rates(alpha, tolerance)
    with TableReader() as reader:
        before, now = reader.open(reference), reader.open(current)
        numbers, categories, skipped = _columns(before, now)
        profile = _reference(before, numbers, categories)
        latest = _current(now, profile)
        together = None
        if joint:
            together = _joint(before, now, numbers, categories, alpha, tolerance, seed)
    report = compare(profile, latest, alpha=alpha, tolerance=tolerance, joint=together)
    return FileDrift(reference, current, profile, latest, report, skipped)


def _reference(file: TableFile, numbers: tuple[str, ...], categories: tuple[str, ...]) -> Profile:
    """Small files are counted in memory: building the query takes longer than they do."""
    if file.rows > SAMPLE_ROWS:
        return reference_query_profile(file.table, numbers=numbers, categories=categories)
    frame = file.typed(numbers, categories).to_pandas()
    return reference_profile(frame, numbers=numbers, categories=categories)


def _current(file: TableFile, reference: Profile) -> Profile:
    if file.rows > SAMPLE_ROWS:
        return query_profile(file.table, reference)
    table = file.typed(tuple(reference.numbers), tuple(reference.categories))
    return current_profile(table.to_pandas(), reference)


def _joint(
    before: TableFile,
    now: TableFile,
    numbers: tuple[str, ...],
    categories: tuple[str, ...],
    alpha: float,
    tolerance: float,
    seed: int,
) -> JointShift:
    columns = (*numbers, *categories)
    return joint_shift(
        before.sample(columns, MAX_ROWS),
        now.sample(columns, MAX_ROWS),
        numbers=numbers,
        categories=categories,
        alpha=alpha * JOINT_SHARE,
        tolerance=tolerance,
        seed=seed,
    )


def _columns(
    before: TableFile, now: TableFile
) -> tuple[tuple[str, ...], tuple[str, ...], dict[str, str]]:
    """Numbers, categories and what is skipped. Raises Invalid when nothing can be compared."""
    common = [name for name in before.kinds if name in now.kinds]
    if not common:
        raise Invalid(
            f"{before.path} and {now.path} have no columns in common: "
            f"{_list(before.kinds)} against {_list(now.kinds)}"
        )
    skipped = {n: f"only in {before.path.name}" for n in before.kinds if n not in now.kinds}
    skipped |= {n: f"only in {now.path.name}" for n in now.kinds if n not in before.kinds}
    kinds: dict[ColumnKind, list[str]] = {kind: [] for kind in ColumnKind}
    for name in common:
        kinds[_common_kind(name, before, now)].append(name)
    skipped |= dict.fromkeys(kinds[ColumnKind.EMPTY], "all values are missing in both files")
    skipped |= dict.fromkeys(kinds[ColumnKind.OTHER], "neither numbers nor categories")
    numbers, categories = kinds[ColumnKind.NUMBER], kinds[ColumnKind.CATEGORY]
    if not numbers and not categories:
        raise Invalid(
            f"{before.path} and {now.path} have no column that can be compared: "
            + "; ".join(f"{name}: {why}" for name, why in skipped.items())
        )
    return tuple(numbers), tuple(categories), skipped


def _common_kind(name: str, before: TableFile, now: TableFile) -> ColumnKind:
    first, second = before.kinds[name], now.kinds[name]
    if ColumnKind.EMPTY in (first, second):
        return second if first is ColumnKind.EMPTY else first
    if first is not second:
        types = f"{before.table[name].type()} in {before.path}, {now.table[name].type()}"
        raise Invalid(f"the types differ: {types} in {now.path}; convert one of them", field=name)
    return first


def _list(names: dict[str, ColumnKind]) -> str:
    shown = list(names)[:8]
    return ", ".join(shown) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
