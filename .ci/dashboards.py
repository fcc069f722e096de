"""Grafana's dashboards from infra/grafana/panels.yaml: the layout, and what is always the same.

Grafana fills in what is left out.
"""

import json
from pathlib import Path
from typing import Any

import yaml

PANELS = Path(__file__).resolve().parents[1] / "infra" / "grafana" / "panels.yaml"
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
SIZES = {"stat": (4, 4), "lines": (12, 7), "table": (12, 7)}


def write(folder: Path) -> None:
    """All of them, a file each."""
    folder.mkdir(parents=True, exist_ok=True)
    for told in yaml.safe_load(PANELS.read_text(encoding="utf-8")):
        text = json.dumps(_dashboard(told), indent=1, sort_keys=True)
        (folder / f"{told['uid']}.json").write_text(f"{text}\n", encoding="utf-8")


def _dashboard(told: dict[str, Any]) -> dict[str, Any]:
    chosen = [{"name": "datasource", "type": "datasource", "query": "prometheus"}]
    links = {"type": "dashboards", "tags": ["mendloop"], "title": "mendloop", "asDropdown": True}
    return {
        "uid": told["uid"],
        "title": told["title"],
        "tags": ["mendloop"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [*chosen, *_variables(told.get("variables", {}))]},
        "annotations": {"list": []},
        "links": [links],
        "panels": _laid_out(told["panels"]),
    }


def _variables(queries: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
        }
        for name, query in queries.items()
    ]


def _laid_out(panels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """From left to right, and a new row where one is full."""
    placed, x, y, row = [], 0, 0, 0
    for number, panel in enumerate(panels, start=1):
        width, height = SIZES[panel["kind"]]
        if x + width > WIDTH:
            x, y, row = 0, y + row, 0
        place = {"x": x, "y": y, "w": width, "h": height}
        placed.append({"id": number, "gridPos": place, **_panel(panel)})
        x, row = x + width, max(row, height)
    return placed


def _panel(told: dict[str, Any]) -> dict[str, Any]:
    queries = told.get("queries") or [{"expr": told["query"]}]
    body: dict[str, Any] = {
        "title": told["title"],
        "description": told["about"],
        "datasource": DATASOURCE,
        "targets": [_target(each, "ABCDEF"[i]) for i, each in enumerate(queries)],
    }
    match told["kind"]:
        case "stat":
            red = [{"color": "red", "value": told["redFrom"]}] if "redFrom" in told else []
            steps = [{"color": "green", "value": None}, *red]
            bounds = {"mode": "absolute", "steps": steps}
            options = {"reduceOptions": {"calcs": ["lastNotNull"]}, "colorMode": "value"}
            return body | {"type": "stat", "options": options} | _field(told, thresholds=bounds)
        case "lines":
            custom: dict[str, Any] = {"fillOpacity": 8}
            if told.get("stacked"):
                custom["stacking"] = {"mode": "normal"}
            options = {
                "legend": {"displayMode": "list", "placement": "bottom"},
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
            field = _field(told, min=0, custom=custom)
            return body | {"type": "timeseries", "options": options} | field
        case "table":
            for target in body["targets"]:
                target |= {"instant": True, "format": "table"}
            return body | {"type": "table", "options": {"showHeader": True}}
        case kind:
            raise ValueError(f"{told['title']}: no such kind of panel: {kind}")


def _field(told: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "fieldConfig": {"defaults": {"unit": told.get("unit", "short"), **more}, "overrides": []}
    }


def _target(told: dict[str, Any], letter: str) -> dict[str, Any]:
    name = told.get("line", "__auto")
    return {"datasource": DATASOURCE, "expr": told["expr"], "legendFormat": name, "refId": letter}
