"""Port: the model registry: versions, their aliases, digests, gates and artifacts.

``champion`` is the version that production relies on, ``challenger`` the one that wants to be.
Adapter: ``tools/mlflow_registry.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import Field

from tools.values import Value

CHAMPION = "champion"
CHALLENGER = "challenger"


class Fence(Value):
    """Whose write it is: a target's owner, by the fencing token of its lease.

    A registry has no compare-and-set. The highest token that was ever shown stays with the model,
    so a superseded owner's write is refused before it is made; one that was on its way already is
    found out right after it (Uncertain), and by the new owner's look.
    """

    target: str
    token: int = Field(ge=1)


class GateResult(Value):
    """One quality gate: ``metric value >= or <= limit``."""

    name: str
    value: float
    limit: float
    passed: bool
    detail: str = ""


class ModelVersion(Value):
    """One registered version, traceable to the data, code and run that made it."""

    model: str
    version: str
    artifact_digest: str
    """SHA-256 over the artifact's files (names and contents, sorted)."""
    data_digest: str
    """SHA-256 of the pinned training data."""
    run_key: str
    """Idempotency key of the pipeline run that registered it."""
    gates: tuple[GateResult, ...]
    metrics: dict[str, float]
    """Held-out figures, for example ``log_loss``, ``roc_auc``, ``accuracy``, ``rows``."""
    reference: dict[str, Any]
    """The reference that evidence about this version is judged against (see tools/statistics)."""
    aliases: tuple[str, ...]
    created_at: str
    """ISO 8601, UTC."""

    @property
    def gates_passed(self) -> bool:
        """A version without any gate has passed none."""
        return bool(self.gates) and all(gate.passed for gate in self.gates)


class Registration(Value):
    """What a pipeline hands over to make a version."""

    model: str
    artifact: Path
    """Folder with the model artifact (see ``tools/artifact.py``)."""
    data_digest: str
    code_version: str
    gates: tuple[GateResult, ...]
    metrics: dict[str, float]
    parameters: dict[str, Any]
    reference: dict[str, Any]
    attachments: Path | None = None
    """Folder of plots and reports that are kept with the version for people."""


class Registry(Protocol):
    """Reads and writes model versions and aliases."""

    def register(self, registration: Registration, *, key: str) -> ModelVersion:
        """Make a version; the same key returns the version it made before."""

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """Every version, oldest first; empty when the model is unknown."""

    def get(self, model: str, version: str) -> ModelVersion:
        """One version. Raises Invalid when it does not exist."""

    def by_alias(self, model: str, alias: str) -> ModelVersion | None:
        """The version that carries the alias, if any."""

    def by_run(self, model: str, run_key: str) -> ModelVersion | None:
        """The version that the pipeline run with this key registered, if any."""

    def claim(self, model: str, fence: Fence) -> None:
        """Show a new owner's token, so that the former owner's late writes are refused.

        Moves no alias. Idempotent; nothing happens while the model is unknown. Raises Refused for
        a superseded token.
        """

    def set_alias(
        self, model: str, alias: str, version: str, *, key: str, fence: Fence | None = None
    ) -> None:
        """Move the alias to the version (idempotent), tagging the version with the key.

        ``fence`` is claimed first; people write without one. Raises Refused for a superseded
        token, Uncertain when a newer owner appeared while it was written.
        """

    def delete_alias(self, model: str, alias: str, *, key: str, fence: Fence | None = None) -> None:
        """Remove the alias; nothing happens when it is not set. ``fence``: as in ``set_alias``."""

    def fetch(self, model: str, version: str, into: Path) -> Path:
        """Bring the artifact into a folder under ``into`` and check its digest.

        Idempotent. Raises Refused when the digest does not match the registry's.
        """


@runtime_checkable
class FleetRegistry(Registry, Protocol):
    """A registry that tells the aliases of many models with one question."""

    def aliased(self, models: Collection[str]) -> Mapping[str, Mapping[str, ModelVersion]]:
        """Model -> alias -> what ``by_alias`` would say; what is not set is left out, and a model
        is that nobody can tell anything of."""
