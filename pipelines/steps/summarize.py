"""Step ``summarize``: one JSON document of what the run came to, also when a step failed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

REPORTS = ("ingested", "validated", "plan", "search", "evaluated", "gates", "registered")
"""Reports that the steps leave in the run's output folder, in order."""
OUTPUTS = "outputs.json"
_FOLDER = "reports"


def keep_report(report: Path, output_dir: Path | str, name: str) -> None:
    """Copy a step's report to where ``summarize`` looks for it: a folder, or an fsspec URL."""
    files, root = _opened(output_dir)
    files.makedirs(f"{root}/{_FOLDER}", exist_ok=True)
    files.put_file(str(report), f"{root}/{_FOLDER}/{name}.json")


def summarize(output_dir: Path | str) -> dict[str, Any]:
    """Write ``outputs.json`` from the reports that exist, and return it.

    Keys: ``passed`` (every gate held), ``gates``, ``refused`` (why not, sentences), ``version``
    (empty when none was registered), ``artifact_digest``, ``data_digest``, ``alias``, ``metrics``
    (challenger), ``champion_metrics`` (or None), ``baseline``, ``slices``, ``data``, ``plan``,
    ``search``.
    """
    files, root = _opened(output_dir)
    found = {name: _read(files, f"{root}/{_FOLDER}/{name}.json") for name in REPORTS}
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
    files.makedirs(root, exist_ok=True)
    files.pipe_file(f"{root}/{OUTPUTS}", json.dumps(outputs, indent=1, allow_nan=False).encode())
    return outputs


def _opened(output_dir: Path | str) -> tuple[Any, str]:
    """The file system of the run's output folder, and the folder's path in it."""
    import fsspec

    files, root = fsspec.core.url_to_fs(str(output_dir))
    return files, str(root).rstrip("/")


def _sentence(gate: dict[str, Any]) -> str:
    text = f"{gate['name']}: {gate['value']:.4f} against {gate['limit']:g}"
    return f"{text} ({gate['detail']})" if gate["detail"] else text


def _read(files: Any, path: str) -> Any:
    return json.loads(files.cat_file(path)) if files.exists(path) else None
