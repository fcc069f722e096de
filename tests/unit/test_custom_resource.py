"""The custom resource definition says what the pydantic model says, as far as Kubernetes can."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.cli.main import cli
from tests.stand_in.kubernetes_api import Cluster, api_server
from tests.stand_in.structural_schema import admitted, definition_errors, schema_in
from tools.custom_resource import managed_model_definition
from tools.kubernetes_api import KubernetesApi, NotAsRead
from tools.kubernetes_kinds import CUSTOM_RESOURCE_DEFINITION, MANAGED_MODEL
from tools.managed_model import ManagedModel

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE: dict[str, Any] = yaml.safe_load(
    (ROOT / "examples" / "flights" / "model.yaml").read_text(encoding="utf-8")
)
SCHEMA = schema_in(managed_model_definition(), "v1alpha1")


def test_what_is_checked_in_is_what_is_generated() -> None:
    """`mendloop schema ManagedModel --crd > infra/crds/managedmodels.yaml` renews it."""
    printed = CliRunner().invoke(cli, ["schema", "ManagedModel", "--crd"])
    file = ROOT / "infra" / "crds" / "managedmodels.yaml"

    assert printed.exit_code == 0
    assert file.read_text(encoding="utf-8") == printed.output
    assert yaml.safe_load(printed.output) == managed_model_definition()


def test_only_what_lives_in_a_cluster_has_a_definition() -> None:
    """A journal's settings are a file."""
    printed = CliRunner().invoke(cli, ["schema", "JournalSettings", "--crd"])

    assert printed.exit_code != 0


def test_the_definition_is_structural() -> None:
    """An API server takes it; every default fits its own schema."""
    assert definition_errors(managed_model_definition()) == []


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        (("spec", "properties", "model"), {"$ref": "#/$defs/Model"}, "type"),
        (("spec", "additionalProperties"), False, "additionalProperties"),
        (("spec", "properties", "model"), {"type": "string", "anyOf": []}, "anyOf"),
        (("spec", "properties", "label", "default"), {"name": 1}, "must be of type string"),
        (("metadata", "properties", "labels"), {"type": "object"}, "only name"),
    ],
)
def test_the_check_finds_what_is_not_structural(
    path: tuple[str, ...], value: Any, complaint: str
) -> None:
    """A check that never complains proves nothing."""
    definition = managed_model_definition()
    place: Any = schema_in(definition, "v1alpha1")["properties"]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    assert any(complaint in error for error in definition_errors(definition))


def test_the_example_is_admitted_and_means_the_same() -> None:
    """Defaults that the API server fills in are those that pydantic would."""
    stored, errors = admitted(copy.deepcopy(EXAMPLE), SCHEMA)

    assert errors == []
    assert ManagedModel.model_validate(stored) == ManagedModel.model_validate(EXAMPLE)


MISTAKES: list[tuple[tuple[Any, ...], Any]] = [
    (("spec", "model"), 7),
    (("spec", "gates"), []),
    (("spec", "gates", 0, "metric"), "acuracy"),
    (("spec", "label", "delay"), "two days"),
    (("spec", "label", "delay"), 90),
    (("spec", "label", "minRate"), 1.5),
    (("spec", "schema", "columns", 0, "type"), "numeric"),
    (("spec", "schema", "columns"), {}),
    (("spec", "training", "families"), ["xgboost"]),
    (("spec", "training", "searchCandidates"), 0),
    (("spec", "rollout"), {"harmBudget": 0}),
    (("spec", "rollout"), {"stepsPercent": [5, "half", 100]}),
    (("spec", "guardrails"), {"autonomy": "full"}),
    (("spec", "guardrails"), {"budget": {"changes": -1}}),
    (("spec", "evidence"), {"alpha": 0.5}),
    (("spec", "serving", "maxErrorRate"), 1),
    (("metadata", "name"), "Flights_1"),
]


@pytest.mark.parametrize(("path", "value"), MISTAKES)
def test_common_mistakes_are_refused_by_both(path: tuple[Any, ...], value: Any) -> None:
    """kubectl says so at once, and not a condition half a minute later."""
    body = _with(EXAMPLE, path, value)
    _, errors = admitted(body, SCHEMA)

    assert errors
    assert all(str(path[-1]) in error or str(path[-2]) in error for error in errors)
    with pytest.raises(ValidationError):
        ManagedModel.model_validate(body)


REQUIRED = [
    ("spec", "model"),
    ("spec", "label"),
    ("spec", "label", "delay"),
    ("spec", "gates"),
    ("spec", "serving", "route"),
    ("spec", "data", "history"),
]


@pytest.mark.parametrize("path", REQUIRED)
def test_what_is_required_is_required_by_both(path: tuple[str, ...]) -> None:
    """The message names it."""
    body = copy.deepcopy(EXAMPLE)
    place = body
    for step in path[:-1]:
        place = place[step]
    del place[path[-1]]
    _, errors = admitted(body, SCHEMA)

    assert [error for error in errors if path[-1] in error]
    with pytest.raises(ValidationError):
        ManagedModel.model_validate(body)


def _with(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed: Any = copy.deepcopy(body)
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return dict(changed)


DURATIONS = st.builds(
    lambda n, unit: f"{n}{unit}", st.integers(1, 400), st.sampled_from(["ms", "s", "m", "h", "d"])
)
SHARES = st.floats(0.001, 0.499)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "rollout": st.fixed_dictionaries(
            {},
            optional={
                "harmBudget": SHARES,
                "stepDeadline": DURATIONS,
                "stepsPercent": st.sampled_from([[100], [1, 100], [5, 25, 50, 100]]),
                "maxScoreShift": st.floats(0.1, 1),
                "probation": DURATIONS,
            },
        ),
        "evidence": st.fixed_dictionaries(
            {}, optional={"alpha": SHARES, "window": DURATIONS, "lossTolerance": st.floats(0, 9)}
        ),
        "guardrails": st.fixed_dictionaries(
            {},
            optional={
                "autonomy": st.sampled_from(["observe", "propose", "approve", "auto"]),
                "maxRetrains": st.integers(0, 99),
                "budget": st.fixed_dictionaries(
                    {},
                    optional={
                        "changes": st.none() | st.integers(0, 9),
                        "money": st.none() | st.floats(0, 1e6),
                    },
                ),
                "errorBudget": st.none() | st.fixed_dictionaries({"objective": SHARES}),
                "ladder": st.none() | st.fixed_dictionaries({}, optional={"within": DURATIONS}),
                "askBefore": st.lists(st.sampled_from(["trains", "promote"]), max_size=3),
                "timeZone": st.sampled_from(["UTC", "Europe/Berlin"]),
            },
        ),
    },
)


@settings(max_examples=150)
@given(CHANGES)
def test_what_pydantic_takes_an_api_server_takes_too(changes: dict[str, Any]) -> None:
    """And reads it back with the same meaning."""
    body = {**EXAMPLE, "spec": {**EXAMPLE["spec"], **changes}}
    stored, errors = admitted(copy.deepcopy(body), SCHEMA)

    assert errors == []
    assert ManagedModel.model_validate(stored) == ManagedModel.model_validate(body)


def test_an_api_server_with_the_definition_refuses_and_fills_in() -> None:
    """Over HTTP, in the words that kubectl shows."""
    with api_server(Cluster()) as (url, _):
        api = KubernetesApi.at(url)
        api.create(CUSTOM_RESOURCE_DEFINITION, managed_model_definition())
        good = _with(EXAMPLE, ("metadata", "namespace"), "default")
        stored = api.create(MANAGED_MODEL, good)

        assert stored["spec"]["rollout"]["stepsPercent"]
        assert stored["spec"]["guardrails"]["budget"] == {}
        with pytest.raises(NotAsRead, match="minRate"):
            api.create(
                MANAGED_MODEL,
                _with(_with(good, ("metadata", "name"), "b"), ("spec", "label", "minRate"), 2),
            )
