"""What the events about acting carry: intents, outcomes, verifications and shifted traffic."""

from __future__ import annotations

from typing import Literal

from orchestrator.journal.shape import Json, Payload
from tools.values import Value


class Reasons(Value):
    """What an act rests on, by name; all of it is in the same incident of the journal."""

    plan: str = ""
    """Id of the event that made the plan, with its runner-up and what it rejected."""
    ruling: str = ""
    """Id of the event with every rule's verdict."""
    evidence: str = ""
    """Digest of the evidence that the diagnosis weighed; empty where nobody asked for the cause."""


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
    why: Reasons = Reasons()
    minutes: float = 0.0
    """How long it is expected to take."""
    money: float = 0.0
    """Compute that it is expected to use, in minutes of one CPU node."""
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
