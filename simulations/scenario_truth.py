"""What is true of a scenario, what a good operator would do, and how a run is scored."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field, model_validator

from agents.diagnosis_table import Cause
from tools.managed_model import Duration
from tools.schema import DocumentValue

Act = Literal[
    "retrain",
    "deploy",
    "shift",
    "return",
    "promote",
    "switch_back",
    "withdraw",
    "stop",
    "mask",
    "unmask",
    "restart",
]
"""What an operator may be seen to do to a model, read from the world and from nobody's word.

retrain: a pipeline run is submitted. deploy, stop, restart: of a server. shift, return: traffic
goes to a version that is not the champion, or back. promote, switch_back: the champion alias moves
to a newer version, or to an older one. withdraw: the challenger alias goes. mask, unmask: servers
take columns as missing, or read them again.
"""

ActOrGroup = Act | Literal["replace_model", "fall_back"]
GROUPS: dict[str, frozenset[str]] = {
    "replace_model": frozenset(
        {"retrain", "deploy", "shift", "return", "promote", "switch_back", "withdraw", "stop"}
    ),
    "fall_back": frozenset({"mask", "unmask"}),
}
"""Acts that belong together, by one name."""

Reached = Literal["detected", "diagnosed", "mitigated"]


class RootCause(DocumentValue):
    """One root cause on one model."""

    target: str = "parcels"
    cause: Cause
    accept: tuple[Cause, ...] = ()
    """Other names for it that are right as well."""


class Mitigation(DocumentValue):
    """When users are no longer harmed, measured in the world itself."""

    measure: Literal["harm", "excess_loss", "errors", "slow"] = "harm"
    """Per request: all harm, excess log loss, share of errors, share of slow answers; each above
    what it was before anything went wrong."""
    below: float = Field(default=0.02, gt=0)
    held_for: Duration = timedelta(hours=12)


class Truth(DocumentValue):
    """What is really the case."""

    kind: Literal["fault", "nothing", "decoy", "compound"]
    """fault: something is wrong. compound: several things. nothing and decoy: nothing is, in the
    decoy it only looks so."""
    causes: tuple[RootCause, ...] = ()
    """Every root cause that an operator should name; none where no diagnosis is called for."""
    begins: Duration | None = None
    """When it goes wrong; without it, with the first fault that does not merely lie in wait."""
    good_operator: str = ""
    """What one would do, in words."""
    acceptable: tuple[ActOrGroup, ...] = ()
    """What may be done to a model that a fault hits; anything else is a false action. Where
    nothing is wrong, nothing is acceptable."""
    forbidden: tuple[ActOrGroup, ...] = ()
    """What must not happen to it even so; takes precedence."""
    mitigated_when: Mitigation = Mitigation()
    expect: tuple[Reached, ...] | None = None
    """What a run must reach to pass; without it: all that the kind calls for."""

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if self.kind in ("nothing", "decoy") and self.causes:
            raise ValueError(f"causes: {self.kind} has none; expected kind fault or compound")
        return self

    @property
    def is_wrong(self) -> bool:
        """Whether something is wrong."""
        return self.kind in ("fault", "compound")

    def allowed(self) -> frozenset[str]:
        """Acts that are right on a model that is hit."""
        return _acts(self.acceptable) - _acts(self.forbidden)

    def expected(self) -> tuple[Reached, ...]:
        """What a run must reach."""
        if self.expect is not None:
            return self.expect
        if not self.is_wrong:
            return ()
        return ("detected", "diagnosed", "mitigated") if self.causes else ("mitigated",)


class Scoring(DocumentValue):
    """Limits and prices."""

    detect_within: Duration = timedelta(days=4)
    """From the first fault on."""
    repair_within: Duration = timedelta(days=8)
    """From the first fault until the mitigation that held began."""
    error_cost: float = Field(default=1.0, ge=0)
    """What a failed request is worth in units of log loss (nats)."""
    slow_cost: float = Field(default=0.2, ge=0)
    max_false_actions: int = Field(default=0, ge=0)
    max_harm: float | None = Field(default=None, ge=0)
    """Most harm over the whole run; without it, no limit."""


def _acts(names: tuple[str, ...]) -> frozenset[str]:
    found: set[str] = set()
    for name in names:
        found |= GROUPS.get(name, frozenset({name}))
    return frozenset(found)
