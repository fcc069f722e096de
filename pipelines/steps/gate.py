"""Step ``gate``: the spec's quality gates, judged on the scored hold-out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.gates import HeldOut, judge
from pipelines.steps.evaluate import CHALLENGER, CHAMPION, LABEL, PREFIX, sliced_by
from tools.errors import Invalid
from tools.managed_model import ManagedModelSpec

PASSED = "passed"
FAILED = "failed"


def gate(scored: Path, spec: ManagedModelSpec, report: Path) -> str:
    """Write every gate's result (JSON list) and return ``passed`` or ``failed``.

    Raises Invalid when a slice column is not a column of the schema.
    """
    import pyarrow.parquet as pq  # without pandas: this step is short

    table = pq.read_table(scored)
    columns = sliced_by(spec)
    unknown = [name for name in columns if name not in spec.schema_.names]
    if unknown:
        raise Invalid(f"no such column: {', '.join(unknown)}", field="gates.slices")
    champion = PREFIX + CHAMPION
    rows = HeldOut(
        labels=table[PREFIX + LABEL].to_numpy(),
        challenger=table[PREFIX + CHALLENGER].to_numpy(),
        champion=table[champion].to_numpy() if champion in table.column_names else None,
        slices={name: _texts(table[name]) for name in columns},
    )
    results = judge(spec.gates, rows, alpha=spec.evidence.alpha)
    dumped = [result.model_dump() for result in results]
    report.write_text(json.dumps(dumped, allow_nan=False), encoding="utf-8")
    return PASSED if results and all(result.passed for result in results) else FAILED


def _texts(column: Any) -> Any:
    return np.array([str(value) for value in column.to_pylist()], dtype=object)
