"""What the guardrails say about one step: a decision, and each rule's verdict with its values."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from tools.values import Value


class Decision(StrEnum):
    """DENY is stronger than REQUIRE_APPROVAL, which is stronger than ALLOW."""

    ALLOW = "allow"
    REQUIRE_APPROVAL = "require_approval"
    DENY = "deny"


class RuleVerdict(Value):
    """One validation of one policy, on the values of the moment."""

    policy: str
    rule: int
    """Index of the validation in the policy, from 0."""
    result: Literal["passed", "violated", "error"]
    action: Literal["Deny", "RequireApproval", "Warn", "Audit"]
    transient: bool = False
    """Whether a denial by this policy may pass by itself."""
    message: str = ""
    """Why it was violated, for people; or what went wrong in the rule."""
    values: dict[str, Any] = {}
    """The policy's variables and the context values that its expression read."""


class Ruling(Value):
    """The decision that follows from all verdicts."""

    decision: Decision
    verdicts: tuple[RuleVerdict, ...] = ()

    @property
    def is_transient(self) -> bool:
        """Whether it is denied, and every rule that denies may stop denying by itself."""
        denying = [
            v
            for v in self.verdicts
            if v.result == "error" or (v.result == "violated" and v.action == "Deny")
        ]
        return bool(denying) and all(v.transient for v in denying)

    @property
    def forbidding(self) -> tuple[str, ...]:
        """Names of the policies whose rules deny it, errors left out: what a plan must respect.

        A rule that fails while planning (its value is known only later) is asked again right
        before the act, and denies then.
        """
        names = [v.policy for v in self.verdicts if v.result == "violated" and v.action == "Deny"]
        return tuple(dict.fromkeys(names))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not simply allowed, one sentence per rule that says so."""
        deciding = {Decision.DENY: ("Deny",), Decision.REQUIRE_APPROVAL: ("RequireApproval",)}
        actions = deciding.get(self.decision, ())
        return tuple(
            f"{v.policy}: {v.message}"
            for v in self.verdicts
            if v.result == "error" or (v.result == "violated" and v.action in actions)
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know although it does not change the decision."""
        return tuple(
            f"{v.policy}: {v.message}"
            for v in self.verdicts
            if v.result == "violated" and v.action == "Warn"
        )
