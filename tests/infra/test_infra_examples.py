"""The documents that people begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra.programs import CHART
from tools.documents import load_document
from tools.managed_model import ManagedModel
from tools.prometheus import ISTIO_EDGES_MS

EXAMPLES = sorted((CHART / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_a_document_that_changes_nothing(path: Path) -> None:
    """Whoever applies it unread is watched over, not acted upon; and Istio can count it."""
    model = load_document(path, ManagedModel)

    assert model.spec.guardrails.autonomy == "observe"
    assert model.spec.serving.latency_objective.total_seconds() * 1000 in ISTIO_EDGES_MS
    assert "://" in model.spec.data.history
    assert model.spec.serving.host == model.metadata.name
