"""Everything about a registered version that is not its artifact: one JSON document.

It is kept beside the artifact because MLflow's tags are limited in length, and references are not.
"""

from __future__ import annotations

from typing import Any

from tools.artifact import artifact_digest
from tools.registry import GateResult, Registration
from tools.values import Value


class VersionDocument(Value):
    """What a version is, besides its aliases."""

    artifact_digest: str
    data_digest: str
    code_version: str
    gates: tuple[GateResult, ...]
    metrics: dict[str, float]
    parameters: dict[str, Any]
    reference: dict[str, Any]

    @property
    def gates_passed(self) -> bool:
        """A version without any gate has passed none."""
        return bool(self.gates) and all(gate.passed for gate in self.gates)


FOREIGN = VersionDocument(
    artifact_digest="",
    data_digest="",
    code_version="",
    gates=(),
    metrics={},
    parameters={},
    reference={},
)
"""What is known of a version that somebody else registered: no gate passed, nothing to fetch."""


def document_of(registration: Registration) -> VersionDocument:
    """What is kept of a registration; hashes the artifact."""
    return VersionDocument(
        artifact_digest=artifact_digest(registration.artifact),
        data_digest=registration.data_digest,
        code_version=registration.code_version,
        gates=registration.gates,
        metrics=registration.metrics,
        parameters=registration.parameters,
        reference=registration.reference,
    )
