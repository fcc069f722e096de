"""What mendloop writes back about a managed model: the status of its custom resource.

Conditions have the form of Kubernetes' own
(https://github.com/kubernetes/community/blob/master/contributors/devel/sig-architecture/api-conventions.md#typical-status-properties).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from tools.schema import DocumentValue

Time = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""RFC 3339, UTC, to the second."""
ConditionStatus = Literal["True", "False", "Unknown"]


class Phase(StrEnum):
    """The model's state in one word; what needs a person most comes first where several hold."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    REPAIRING = "Repairing"
    WAITING_FOR_APPROVAL = "WaitingForApproval"
    PAUSED = "Paused"
    TAKEN_OVER = "TakenOver"
    UNKNOWN = "Unknown"


class ConditionType(StrEnum):
    """What may be asked of a managed model, for ``kubectl wait --for=condition=...``."""

    ACCEPTED = "Accepted"
    HEALTHY = "Healthy"


class Condition(DocumentValue):
    """One question, its answer, and since when it is answered that way."""

    type: str = Field(max_length=316)
    status: ConditionStatus
    reason: str = Field(pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$", max_length=1024)
    """One word that programs may compare."""
    message: str = Field(default="", max_length=32768)
    last_transition_time: Time
    """When ``status`` last became another."""
    observed_generation: int = Field(default=0, ge=0)
    """The generation of the spec that was judged."""


class LastIncident(DocumentValue):
    """The newest incident of the model; ``mendloop incidents`` tells all of them."""

    id: str
    status: Literal["open", "waiting", "resolved", "escalated"]
    summary: str = ""
    """What set it off."""
    diagnosis: str = ""
    outcome: str = ""
    opened_at: Time
    closed_at: Time | None = None


class ServedVersions(DocumentValue):
    """Which versions answer, and with how much of the traffic, as the route says."""

    champion: str = ""
    challenger: str = ""
    stable_percent: int | None = Field(default=None, ge=0, le=100)
    """What goes to the champion; absent where it is not known."""
    canary_percent: int | None = Field(default=None, ge=0, le=100)
    """What goes to all other versions."""


class ManagedModelStatus(DocumentValue):
    """The ``status`` of a ManagedModel, written by mendloop."""

    phase: Phase = Phase.UNKNOWN
    message: str = ""
    """Why it is in this phase, for people."""
    observed_generation: int = Field(default=0, ge=0)
    """The generation of the spec that mendloop works by."""
    conditions: tuple[Condition, ...] = ()
    last_incident: LastIncident | None = None
    versions: ServedVersions = ServedVersions()
