"""Notices when the document's triggers are due, and when that is dealt with.

The wall clock rules a calendar: a due time is one of the team's clocks on the wall, and a log that
stands still does not put it off. What is due stays due until a training run has answered it.
"""

from __future__ import annotations

from datetime import datetime

from agents.memory import TargetMemory
from tools.managed_model import ManagedModel
from tools.prediction_log import LogExtent
from tools.triggers import Dealt, is_from_the_future, why_due


def note_due(
    model: ManagedModel, memory: TargetMemory, now: datetime, extent: LogExtent
) -> TargetMemory:
    """The memory with what is due now; the first look only begins to count."""
    triggers, dealt = model.spec.triggers, memory.refresh
    if triggers is None:
        return memory if dealt is None else memory.model_copy(update={"refresh": None})
    if extent.watermark is None or (dealt is not None and dealt.due):
        return memory
    if dealt is None or is_from_the_future(triggers, dealt, now):
        return memory.model_copy(update={"refresh": _from_here(now, extent)})
    if extent.labels < dealt.labels:  # old rows were pruned: counted on from what is left
        dealt = dealt.model_copy(update={"labels": extent.labels})
        memory = memory.model_copy(update={"refresh": dealt})
    why = why_due(triggers, dealt, now, extent.labels)
    if not why:
        return memory
    return memory.model_copy(update={"refresh": dealt.model_copy(update={"due": why})})


def dealt_with(memory: TargetMemory, now: datetime, extent: LogExtent) -> TargetMemory:
    """The memory once a training run has answered whatever was due until now."""
    if memory.refresh is None:
        return memory
    return memory.model_copy(update={"refresh": _from_here(now, extent)})


def _from_here(now: datetime, extent: LogExtent) -> Dealt:
    return Dealt(at=now.isoformat(), labels=extent.labels)
