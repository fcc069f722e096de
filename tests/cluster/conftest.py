"""A real API server for the promise suites of the Kubernetes adapters; without one they skip.

``KUBEBUILDER_ASSETS=... MENDLOOP_ISTIO_CRDS=... pytest tests/cluster``; see
``tests/stand_in/api_servers.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stand_in.api_servers import fresh_namespace, open_real, why_no_real_one
from tools.kubernetes_api import KubernetesApi


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
