"""Scenario documents: refused with the path to the field, and what is left out has a default."""

from __future__ import annotations

from typing import Any

import pytest

from simulations.managed import documents_of
from simulations.scenario import Scenario
from tools.documents import parse_document
from tools.errors import Invalid

DRIFT = {"kind": "concept_drift", "onset": "3d"}


def document(**spec: Any) -> dict[str, Any]:
    usual = {"description": "d", "faults": [DRIFT], "truth": {"kind": "fault"}}
    return {
        "apiVersion": "mendloop.dev/v1alpha1",
        "kind": "Scenario",
        "metadata": {"name": "x"},
        "spec": usual | spec,
    }


def read(**spec: Any) -> Scenario:
    return parse_document(document(**spec), Scenario, source="x.yaml")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"faults": [DRIFT | {"sise": 2}]}, r"spec\.faults\[0\]\.concept_drift\.sise: unknown"),
        ({"faults": [{"kind": "concept_shift"}]}, r"spec\.faults\[0\]: .*'concept_drift'"),
        ({"faults": [DRIFT | {"onset": "3 days"}]}, r"onset: .*expected a duration such as"),
        ({"faults": [DRIFT | {"end": "2d"}]}, r"end .* must come after onset"),
        ({"faults": [DRIFT | {"targets": ["boxes"]}]}, r"faults\[0\]\.targets: no model boxes"),
        ({"truth": {"kind": "fault", "acceptable": ["reboot"]}}, r"spec\.truth\.acceptable\[0\]"),
        ({"truth": {"kind": "decoy", "causes": [{"cause": "capacity"}]}}, r"decoy has none"),
        ({"faults": []}, r"expected some fault"),
        ({"world": {"models": [{"effects": {"wnd": 1}}]}}, r"models\[0\]: .*there is no wnd"),
        ({"world": {"population": {"depots": {"south": 1}}}}, r"population\.depots\.south"),
    ],
)
def test_a_mistake_is_refused_with_its_place_and_what_was_expected(
    spec: dict[str, Any], said: str
) -> None:
    with pytest.raises(Invalid, match=said):
        read(**spec)


def test_an_override_of_the_managed_model_is_checked_like_one() -> None:
    spec = {"models": [{"name": "boxes", "spec": {"rollout": {"probaton": "1d"}}}]}
    with pytest.raises(Invalid, match=r"models\[0\].*\n.*spec\.rollout\.probaton: unknown field"):
        documents_of(read(world=spec))


def test_a_fault_comes_up_over_its_ramp_and_goes_at_its_end() -> None:
    import numpy as np

    scenario = read(faults=[DRIFT | {"ramp": "2d", "end": "6d"}])
    (fault,) = scenario.spec.faults
    days = np.array([0.0, 3.0, 4.0, 5.0, 5.9, 6.0, 9.0])
    assert fault.strength(days * 86400).tolist() == [0, 0, 0.5, 1, 1, 0, 0]


def test_a_recurring_fault_is_on_for_half_of_each_period() -> None:
    import numpy as np

    (fault,) = read(faults=[DRIFT | {"period": "2d"}]).spec.faults
    days = np.array([2.9, 3.1, 4.1, 5.1, 6.1])
    assert fault.strength(days * 86400).tolist() == [0, 1, 0, 1, 0]
