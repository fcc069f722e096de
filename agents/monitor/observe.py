"""One look at a target: new windows of data, matured labels, and what serves it."""

from __future__ import annotations

from agents.data_validator.observe import ValidatedWindow, validate_new_windows
from agents.facts import Scalar
from agents.memory import TargetMemory
from agents.monitor.performance import JudgedWindow, judge_matured_windows, judge_probation
from agents.monitor.state import facts_of
from agents.ports import Desk
from agents.served import look
from tools.managed_model import ManagedModel
from tools.values import Value


class Observation(Value):
    """What one look found; the memory already holds what it added."""

    facts: dict[str, Scalar]
    memory: TargetMemory
    event_time: str
    validated: tuple[ValidatedWindow, ...] = ()
    judged: tuple[JudgedWindow, ...] = ()


def observe(desk: Desk, model: ManagedModel, memory: TargetMemory) -> Observation:
    """Look at everything. Raises Unavailable when a part does not answer: nothing is concluded."""
    served = look(desk, model)
    extent = desk.log.extent(model.target)
    memory, validated = validate_new_windows(desk, model, memory, extent)
    memory, judged = judge_matured_windows(desk, model, memory, served, extent)
    memory = judge_probation(desk, model, memory, served, extent)
    return Observation(
        facts=facts_of(model, served, memory),
        memory=memory,
        event_time=extent.watermark.isoformat() if extent.watermark else "",
        validated=validated,
        judged=judged,
    )
