"""Notices what somebody else changed on a target, and what that means for a canary under way.

The route carries mendloop's stamps, so an edit of it is always seen. Aliases and the servers'
configuration are compared with the baseline in memory, which is taken anew after each of
mendloop's own acts. A server that is gone is nobody's decision: crashed, evicted or deleted, its
users get no answer, and that is an incident.
"""

from __future__ import annotations

from collections.abc import Collection

from agents.deployer.shifting import before_each_step
from agents.facts import UNKNOWN
from agents.memory import Baseline, TargetMemory
from agents.served import Served
from tools.managed_model import ManagedModel
from tools.workloads import ServerPhase


def baseline_of(served: Served, *, busy: Collection[str]) -> Baseline | None:
    """What is to be compared with at the next look.

    ``busy`` are the concerns in which mendloop itself changes something just now: nothing of theirs
    is taken over before it is done. None while nothing can be known.
    """
    if not served.is_registry_known or "aliases" in busy:
        return None
    masked = {} if "data" in busy else _masked(served)
    return Baseline(
        champion=served.champion.version if served.champion else "",
        former=served.former.version if served.former else "",
        masked=masked,
    )


def foreign_changes(
    served: Served, memory: TargetMemory, *, busy: Collection[str]
) -> tuple[str, ...]:
    """What somebody else changed since the baseline, one sentence each."""
    found = [f"the route was edited: {served.route.edited}"] if served.route.edited else []
    before = memory.baseline or _left_by_promotion(served, memory)
    if before is None or "aliases" in busy or not served.is_registry_known:
        return tuple(found)
    champion = served.champion.version if served.champion else ""
    former = served.former.version if served.former else ""
    for alias, was, now in (
        ("champion", before.champion, champion),
        ("former", before.former, former),
    ):
        if was != now:
            found.append(f"the alias {alias!r} was {_named(was)}, is {_named(now)}")
    if "data" not in busy:
        found += [
            f"version {version} masked {_listed(before.masked[version])}, masks {_listed(columns)}"
            for version, columns in _masked(served).items()
            if version in before.masked and before.masked[version] != columns
        ]
    return tuple(found)


def after_hand_back(
    model: ManagedModel, served: Served, memory: TargetMemory
) -> tuple[TargetMemory, tuple[str, ...]]:
    """The memory that fits what was found, and what follows for a canary that was under way."""
    memory = memory.model_copy(update={"baseline": baseline_of(served, busy=())})
    probation = memory.probation
    if probation is not None and (
        served.champion is None
        or served.champion.version != probation.version
        or served.former is None
        or served.former.version != probation.former
    ):
        memory = memory.model_copy(update={"probation": None})
    shadow = memory.shadow
    if shadow is not None:
        # Whoever had it in hand may have changed what the copies are compared with.
        has_copies = served.split.mirror is not None
        over = shadow.model_copy(update={"outcome": "undecided"}) if has_copies else None
        note = f"the shadow of version {shadow.version} is not judged any more"
        return memory.model_copy(update={"shadow": over}), (note,)
    watch = memory.canary
    if watch is None:
        return memory, ()
    version, share = watch.version, served.percent(watch.version)
    ended = memory.model_copy(update={"canary": None, "skew": UNKNOWN})
    if served.champion is not None and served.champion.version == version:
        return ended, (f"version {version} was made the champion by hand",)
    if share == 0:
        note = f"version {version} got no traffic any more: it counts as refused"
        return forget_ended_canary(served, memory), (note,)
    if before_each_step(model).get(share) == watch.proved_percent:
        watch = watch.model_copy(update={"percent": share, "baseline": None})
        note = f"the canary of version {version} goes on at {share} %, counting from here"
    else:
        watch = watch.model_copy(update={"outcome": "undecided"})
        note = f"nothing proves that version {version} may get {share} %: it goes back"
    return memory.model_copy(update={"canary": watch}), (note,)


def forget_ended_canary(served: Served, memory: TargetMemory) -> TargetMemory:
    """The memory without a canary whose version gets no traffic any more; it counts as refused.

    A way back whose answer was lost may have moved the weights all the same; where a pause or a
    guardrail then ended the step, nothing else would remember that the canary is over. What a
    person took away may be given back: while the route stands edited, nothing is forgotten.
    """
    watch = memory.canary
    if watch is None or not served.is_registry_known or served.route.edited:
        return memory
    if served.percent(watch.version):
        return memory
    if served.champion is not None and served.champion.version == watch.version:
        return memory
    refused = (
        memory.refused if watch.version in memory.refused else (*memory.refused, watch.version)
    )
    return memory.model_copy(update={"canary": None, "skew": UNKNOWN, "refused": refused})


def _left_by_promotion(served: Served, memory: TargetMemory) -> Baseline | None:
    """What stands in until the look after a promotion: the probation says which alias it left."""
    probation = memory.probation
    if probation is None or probation.outcome != "watching":
        return None
    if served.champion is None or served.champion.version != probation.version:
        return None  # a way back may have been broken off half-way: mendloop's own doing
    return Baseline(champion=probation.version, former=probation.former, masked={})


def _masked(served: Served) -> dict[str, tuple[str, ...]]:
    """Only servers that are up say what configuration is in force."""
    return {
        version: server.config.masked
        for version, server in served.servers.items()
        if server.phase is ServerPhase.READY
    }


def _named(version: str) -> str:
    return f"version {version}" if version else "not set"


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(columns) or "nothing"
