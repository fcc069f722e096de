"""The ManagedModel documents of a scenario's models: the usual one, and what a scenario changes."""

from __future__ import annotations

from typing import Any

from simulations.scenario import ModelInWorld, Scenario
from tools.documents import parse_document
from tools.managed_model import ManagedModel

FEED = "weather"


def documents_of(scenario: Scenario, history: str = "history.parquet") -> list[ManagedModel]:
    """One per model of the world. Raises Invalid with the field that a change got wrong."""
    delay = f"{scenario.spec.world.label_delay.total_seconds():g}s"
    return [
        _document(scenario.name, number, model, history, delay)
        for number, model in enumerate(scenario.spec.world.models)
    ]


def _document(
    scenario: str, number: int, model: ModelInWorld, history: str, delay: str
) -> ManagedModel:
    spec = _usual(model.name, history, delay)
    for section, fields in model.spec.items():
        spec[section] = {**spec.get(section, {}), **fields}
    body = {
        "apiVersion": "mendloop.dev/v1alpha1",
        "kind": "ManagedModel",
        "metadata": {"name": model.name},
        "spec": spec,
    }
    source = f"{scenario}: spec.world.models[{number}]"
    return parse_document(body, ManagedModel, source=source)


def _usual(name: str, history: str, delay: str) -> dict[str, Any]:
    weight = {"name": "weight", "type": "number", "unit": "kg", "minimum": 0, "maximum": 90}
    distance = {"name": "distance", "type": "number", "unit": "km", "minimum": 0, "maximum": 2500}
    return {
        "model": name,
        "schema": {
            "timeColumn": "sent",
            "columns": [
                weight,
                distance,
                {"name": "wind", "type": "number", "unit": "m/s", "nullable": True, "feed": FEED},
                {"name": "rain", "type": "number", "unit": "mm", "nullable": True, "feed": FEED},
                {"name": "depot", "type": "category"},
            ],
            "feeds": [{"name": FEED, "key": "depot", "maxRepeatHours": 5, "fallback": "impute"}],
            "forbidden": ["arrived"],
        },
        "label": {"name": "late", "delay": delay},
        "data": {"history": history, "minRows": 500},
        "training": {
            "families": ["logistic_regression"],
            "timeout": "2h",
            "holdout": "1d",
            "recent": "5d",
        },
        "gates": [{"metric": "log_loss", "notWorseThanChampionBy": 0.02}],
        "serving": {"route": name, "host": name},
        "rollout": {"stepsPercent": [10, 50, 100], "stepDeadline": "12h", "probation": "2d"},
        "evidence": {"window": "6h", "lossTolerance": 0.02},
        "guardrails": {"coolDown": "2d", "budgetPeriod": "30d"},
    }
