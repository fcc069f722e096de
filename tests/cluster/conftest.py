"""A real API server for the promise suites of the Kubernetes adapters; without one they skip.

``KUBEBUILDER_ASSETS=... MENDLOOP_ISTIO_CRDS=... pytest tests/cluster``; see
``tests/stand_in/api_servers.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stand_in.api_servers import (
    await_served,
    fresh_namespace,
    open_real,
    skip_unless_served,
    why_no_real_one,
)
from tests.stand_in.chart_release import Release
from tools.custom_resource import managed_model_definition
from tools.kubernetes_api import AUTOSCALER, POD_DISRUPTION_BUDGET, KubernetesApi
from tools.kubernetes_kinds import CUSTOM_RESOURCE_DEFINITION


@pytest.fixture(scope="session")
def real_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    missing = why_no_real_one()
    if missing:
        pytest.skip(missing)
    folder: Path = tmp_path_factory.mktemp("api-server")
    with open_real(folder) as api:
        yield api


@pytest.fixture
def namespace(real_api: KubernetesApi) -> Iterator[str]:
    with fresh_namespace(real_api) as name:
        yield name


@pytest.fixture(scope="session")
def defined(real_api: KubernetesApi) -> KubernetesApi:
    """With the definition of ManagedModel: applied, accepted as structural, and served."""
    definition = managed_model_definition()
    name = definition["metadata"]["name"]
    real_api.apply(CUSTOM_RESOURCE_DEFINITION, definition, force=True)
    await_served(real_api, [definition])
    status = real_api.read(CUSTOM_RESOURCE_DEFINITION, "", name)["status"]
    said = {condition["type"]: condition for condition in status["conditions"]}
    assert "NonStructuralSchema" not in said, said["NonStructuralSchema"]["message"]
    return real_api


@pytest.fixture
def release(defined: KubernetesApi, tmp_path: Path) -> Iterator[Release]:
    """The chart, ready to be installed for a model namespace of its own."""
    skip_unless_served(defined, POD_DISRUPTION_BUDGET, AUTOSCALER)
    with fresh_namespace(defined) as own, fresh_namespace(defined) as models:
        yield Release(defined, own, models, tmp_path)
