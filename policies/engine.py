"""The door to the guardrails: load policies, judge a step."""

from __future__ import annotations

from policies.context import GuardContext
from policies.judge import judge
from policies.policy_set import PolicySet, load_policies
from policies.ruling import Decision, Ruling

__all__ = ["Decision", "GuardContext", "PolicySet", "Ruling", "judge", "load_policies"]
