"""One look at a target: new windows of data, matured labels, and what serves it."""

from __future__ import annotations

from agents.data_validator.observe import ValidatedWindow, validate_new_windows
from agents.facts import SERVICE, Scalar
from agents.memory import Compared, TargetMemory
from agents.monitor.alerts import Heard, hear
from agents.monitor.drift import watch_drift
from agents.monitor.foreign import forget_ended_canary
from agents.monitor.label_trust import watch_labels
from agents.monitor.performance import JudgedWindow, judge_matured_windows, judge_probation
from agents.monitor.recompute import recompute
from agents.monitor.refresh import note_due
from agents.monitor.service import Pulse, feel, server_facts, service_facts
from agents.monitor.state import facts_of
from agents.ports import Desk
from agents.served import Served, look
from agents.survey import Glance
from tools.errors import Unavailable
from tools.managed_model import ManagedModel
from tools.prediction_log import LogExtent
from tools.values import Value

UNREAD = LogExtent(rows=0, first=None, watermark=None, labels=0)
"""As if nothing had come: an extent without a watermark changes nothing."""


class Observation(Value):
    """What one look found; the memory already holds what it added."""

    facts: dict[str, Scalar]
    memory: TargetMemory
    event_time: str
    served: Served
    validated: tuple[ValidatedWindow, ...] = ()
    judged: tuple[JudgedWindow, ...] = ()
    compared: tuple[Compared, ...] = ()
    missing: str = ""
    """What did not answer; nothing was concluded from its silence."""
    pulse: Pulse = Pulse()
    """How the champion answers, counted up to now."""
    heard: Heard = Heard()
    """What others' alerting says."""


def observe(
    desk: Desk,
    model: ManagedModel,
    memory: TargetMemory,
    event_time: str = "",
    pulse: Pulse | None = None,
    glance: Glance | None = None,
    *,
    reads_log: bool = True,
) -> Observation:
    """Look at everything. Raises Unavailable when not even the route and the servers answer.

    A prediction log or a registry that is silent leaves the evidence as it was (``event_time`` is
    the last one known); a canary under way is still watched, judged and undone. So does a look
    that leaves the log for later (``reads_log``). What ``glance`` tells is not asked again.
    """
    glance = glance or Glance()
    served = look(desk, model, memory, glance.aliases)
    memory = forget_ended_canary(served, memory)
    pulse = feel(desk, model, memory, served, pulse or Pulse(), glance.reading)
    counted = service_facts(model, pulse)
    memory, heard = hear(desk, model, memory)
    validated: tuple[ValidatedWindow, ...] = ()
    judged: tuple[JudgedWindow, ...] = ()
    compared: tuple[Compared, ...] = ()
    missing = heard.missing if served.is_registry_known else "the registry does not answer"
    try:
        extent = (glance.extent or desk.log.extent(model.target)) if reads_log else UNREAD
        event_time = extent.watermark.isoformat() if extent.watermark else event_time
        memory, validated = validate_new_windows(desk, model, memory, extent)
        if served.is_registry_known and reads_log:
            memory = recompute(desk, model, memory, served, extent)
            memory, compared = watch_drift(desk, model, memory, served, extent)
            memory, judged = judge_matured_windows(desk, model, memory, served, extent)
            memory = watch_labels(desk, model, memory, served, extent)
            memory = judge_probation(desk, model, memory, served, extent)
        if model.spec.triggers is not None or memory.refresh is not None:
            memory = note_due(model, memory, desk.clock.now(), extent)
    except Unavailable as error:
        missing = str(error)
    return Observation(
        facts=facts_of(model, served, memory)
        | counted
        | server_facts(served, counted[SERVICE])
        | heard.facts,
        memory=memory,
        event_time=event_time,
        served=served,
        validated=validated,
        judged=judged,
        compared=compared,
        missing=missing,
        pulse=pulse,
        heard=heard,
    )
