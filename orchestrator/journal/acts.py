"""What the events about acting carry: intents, outcomes, verifications and shifted traffic."""

from __future__ import annotations

from typing import Literal

from orchestrator.journal.shape import Json, Payload


class StepIntended(Payload):
    """What ``step.intended`` says."""

    key: str
    """What the action *is*: tool, target, arguments, incident, attempt."""
    step: int
    """Its place in the plan, from 1."""
    tool: str
    agent: str
    arguments: Json = {}
    undo: str = ""
    """The tool that undoes it, "nothing to undo" or "irreversible"."""
    attempt: int = 1
    token: int = 0
    """Fencing token of the lease under which it acts."""
    event_time: str = ""


class StepOutcome(Payload):
    """What ``step.outcome`` says."""

    key: str
    tool: str
    result: Literal["applied", "already", "refused", "unavailable", "failed"]
    """``already``: the world showed that an earlier attempt had taken effect."""
    output: Json = {}
    detail: str = ""


class StepVerified(Payload):
    """What ``step.verified`` says."""

    key: str
    tool: str
    verdict: Literal["holds", "broken", "unknown"]
    detail: str = ""


class TrafficShifted(Payload):
    """What ``traffic.shifted`` says."""

    route: str
    before: dict[str, int]
    """Percent by version."""
    after: dict[str, int]
    key: str = ""
    reason: str = ""
    event_time: str = ""
