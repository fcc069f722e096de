"""Compares two files of data column by column and jointly: what ``mendloop drift`` does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.errors import Invalid
from tools.profile_query import SAMPLE_ROWS, query_profile, reference_query_profile
from tools.statistics.drift import (
    JOINT_SHARE,
    DriftReport,
    FeatureDrift,
    Shifted,
    check_rates,
    compare,
)
from tools.statistics.joint import MAX_ROWS, joint_shift
from tools.statistics.joint_shift import JointShift
from tools.statistics.profile import Profile, current_profile, reference_profile
from tools.table_files import ColumnKind, TableFile, TableReader

_ROW_NUMBERS = re.compile(r"__index_level_\d+__")


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
    outputs: dict[str, str]
    """``label`` and ``score`` to the columns that were named as such."""

    @property
    def columns(self) -> dict[str, FeatureDrift]:
        """Every compared column: inputs, then label and score."""
        found = {"label": self.report.label, "score": self.report.score}
        return self.report.features | {
            name: column
            for role, name in self.outputs.items()
            if (column := found[role]) is not None
        }

    def title(self, name: str) -> str:
        """The column's name for people."""
        roles = [role for role, column in self.outputs.items() if column == name]
        return f"{name} ({', '.join(roles)})" if roles else name

    @property
    def has_shifted(self) -> bool:
        """Whether anything shifted beyond the tolerance: inputs, label or score."""
        return self.report.has_shifted or any(
            column is not None and column.verdict is Shifted.YES
            for column in (self.report.label, self.report.score)
        )

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
            "label": None if report.label is None else _figures(report.label),
            "score": None if report.score is None else _figures(report.score),
            "skipped": self.skipped,
        }


def _figures(feature: FeatureDrift) -> dict[str, Any]:
    return feature.model_dump(mode="json") | {"null_shift": feature.null_shift}


def compare_files(
    reference: Path,
    current: Path,
    *,
    alpha: float,
    tolerance: float,
    joint: bool,
    seed: int,
    label: str | None = None,
    score: str | None = None,
) -> FileDrift:
    """Compare two CSV or Parquet files of any size.

    ``label`` and ``score`` name columns that are no inputs: each gets a verdict of its own under
    the same alpha, and the joint test leaves them out.

    Memory stays within the query engine's limit and a sample of the rows. Raises Invalid, naming
    the file, for what cannot be read or compared.
    """
    check_rates(alpha, tolerance)
    with TableReader() as reader:
        before, now = reader.open(reference), reader.open(current)
        for option, name in (("--label", label), ("--score", score)):
            if name is not None:
                _must_have(option, name, before, now)
        numbers, categories, skipped = _columns(before, now)
        outputs = [name for name in (label, score) if name is not None]
        if not {*numbers, *categories} - set(outputs):
            raise Invalid(f"{reference} and {current} share no column beside the label and score")
        profile = _reference(before, numbers, categories)
        latest = _current(now, profile)
        together = None
        if joint:
            inputs = [tuple(n for n in of if n not in outputs) for of in (numbers, categories)]
            together = _joint(before, now, inputs[0], inputs[1], alpha, tolerance, seed)
    report = compare(profile, latest, alpha=alpha, tolerance=tolerance, joint=together)
    report = _apart(report, label, score)
    named = {"label": label, "score": score}
    outputs_by_role = {role: name for role, name in named.items() if name is not None}
    return FileDrift(reference, current, profile, latest, report, skipped, outputs_by_role)


def _apart(report: DriftReport, label: str | None, score: str | None) -> DriftReport:
    """The label and the score out of the inputs."""
    inputs = {n: f for n, f in report.features.items() if n not in (label, score)}
    return report.model_copy(
        update={
            "features": inputs,
            "label": report.features[label] if label else None,
            "score": report.features[score] if score else None,
        }
    )


def _must_have(option: str, name: str, *files: TableFile) -> None:
    """Raise Invalid where a named column is missing, empty, or neither number nor category."""
    for file in files:
        if name not in file.kinds:
            raise Invalid(
                f"{file.path} has no column {name!r}; it has {_list(file.kinds)}", field=option
            )
        if file.kinds[name] in (ColumnKind.EMPTY, ColumnKind.OTHER):
            why = "holds no value" if file.kinds[name] is ColumnKind.EMPTY else "has another type"
            raise Invalid(
                f"{name!r} in {file.path} {why}; expected numbers or categories", field=option
            )


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
    numbered = [name for name in before.kinds if _ROW_NUMBERS.fullmatch(name)]
    common = [name for name in before.kinds if name in now.kinds and name not in numbered]
    if not common:
        raise Invalid(
            f"{before.path} and {now.path} have no columns in common: "
            f"{_list(before.kinds)} against {_list(now.kinds)}"
        )
    skipped = {n: f"only in {before.path.name}" for n in before.kinds if n not in now.kinds}
    skipped |= {n: f"only in {now.path.name}" for n in now.kinds if n not in before.kinds}
    skipped |= dict.fromkeys(numbered, "row numbers that pandas wrote")
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
