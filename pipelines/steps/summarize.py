"""Step ``summarize``: one JSON document of what the run came to, also when a step failed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

REPORTS = ("ingested", "validated", "plan", "search", "evaluated", "gates", "registered")
"""Reports that the steps leave in the run's output folder, in order."""
OUTPUTS = "outputs.json"


def keep_report(report: Path, output_dir: Path, name: str) -> None:
    """Copy a step's report to where ``summarize`` looks for it."""
    path = _report_path(output_dir, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(report, path)


def summarize(output_dir: Path) -> dict[str, Any]:
    """Write ``outputs.json`` from the reports that exist, and return it.

    Keys: ``passed`` (every gate held), ``gates``, ``refused`` (why not, sentences), ``version``
    (empty when none was registered), ``artifact_digest``, ``data_digest``, ``alias``, ``metrics``
    (challenger), ``champion_metrics`` (or None), ``baseline``, ``slices``, ``data``, ``plan``,
    ``search``.
    """
    found = {name: _read(_report_path(output_dir, name)) for name in REPORTS}
    gates = found["gates"] or []
    registered = found["registered"] or {}
    evaluated = found["evaluated"] or {}
    models = evaluated.get("models", {})
    outputs = {
        "passed": bool(gates) and all(gate["passed"] for gate in gates),
        "gates": gates,
        "refused": [_sentence(gate) for gate in gates if not gate["passed"]],
        "version": registered.get("version", ""),
        "artifact_digest": registered.get("artifact_digest", ""),
        "data_digest": (found["ingested"] or {}).get("digest", ""),
        "alias": registered.get("alias", ""),
        "metrics": models.get("challenger", {}),
        "champion_metrics": models.get("champion"),
        "baseline": evaluated.get("baseline", {}),
        "slices": evaluated.get("slices", {}),
        "data": {**(found["ingested"] or {}), **(found["validated"] or {})},
        "plan": found["plan"] or {},
        "search": found["search"] or {},
    }
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / OUTPUTS
    path.write_text(json.dumps(outputs, indent=1, allow_nan=False), encoding="utf-8")
    return outputs


def _report_path(output_dir: Path, name: str) -> Path:
    return output_dir / "reports" / f"{name}.json"


def _sentence(gate: dict[str, Any]) -> str:
    text = f"{gate['name']}: {gate['value']:.4f} against {gate['limit']:g}"
    return f"{text} ({gate['detail']})" if gate["detail"] else text


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
