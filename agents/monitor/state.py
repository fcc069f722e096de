"""The facts of a target, derived from one look at the world and from what is remembered.

A pure function of both, so that a new controller believes what the last one did.
"""

from __future__ import annotations

from agents.deployer.shadowing import COPYING
from agents.deployer.spares import spare_versions
from agents.facts import (
    CANARY,
    CHALLENGER,
    CHAMPION,
    DATA_TRUST,
    FORMER,
    INPUTS,
    PROVED,
    QUALITY,
    QUARANTINE,
    REFRESH,
    SHADOW,
    SHARE,
    SKEW,
    SPARES,
    TRAINING_DATA,
    UNKNOWN,
    Scalar,
)
from agents.memory import TargetMemory
from agents.monitor.performance import judged_performance
from agents.monitor.recompute import is_serving_wrong
from agents.monitor.slices import judged_slices
from agents.served import Served
from tools.managed_model import ManagedModel
from tools.statistics.verdict import Verdict


def facts_of(model: ManagedModel, served: Served, memory: TargetMemory) -> dict[str, Scalar]:
    """Every fact that a look establishes; the diagnosis is not among them."""
    watch = memory.canary
    return {
        DATA_TRUST: _data_trust(memory),
        QUARANTINE: _quarantine(memory),
        INPUTS: "fallback" if _is_masked(served) else "raw",
        TRAINING_DATA: memory.pinned.scope if memory.pinned else "none",
        QUALITY: _quality(model, served, memory),
        CHALLENGER: _challenger(served, memory),
        SHARE: _share(served),
        PROVED: watch.proved_percent if watch else 0,
        CANARY: _canary(served, memory),
        SHADOW: _shadow(served, memory),
        SKEW: memory.skew,
        REFRESH: "due" if memory.refresh and memory.refresh.due else "none",
        CHAMPION: _champion(served, memory),
        FORMER: "warm" if served.former or _is_half_way_back(served, memory) else "none",
        SPARES: "idle" if spare_versions(served) else "none",
    }


def _data_trust(memory: TargetMemory) -> Scalar:
    if not memory.validated_until:
        return UNKNOWN
    return "faulty" if memory.open_spans else "trusted"


def _quarantine(memory: TargetMemory) -> Scalar:
    if any(not span.quarantined for span in memory.spans):
        return "pending"
    return "done" if memory.spans else "none"


def _is_masked(served: Served) -> bool:
    return any(server.config.masked for server in served.servers.values())


def _quality(model: ManagedModel, served: Served, memory: TargetMemory) -> Scalar:
    """Degraded is proved harm, of all or in one slice, or a server that does not answer what its
    artifact says; without any label yet nothing is known."""
    champion = served.champion
    if champion is not None and is_serving_wrong(model, memory, champion.version):
        return "degraded"
    whole = judged_performance(model, memory)
    if whole is None:
        return UNKNOWN
    for found in (whole, *judged_slices(model, memory).values()):
        if Verdict.HARMFUL in (found.degraded.verdict, found.miscalibrated.verdict):
            return "degraded"
    return "meets"


def _challenger(served: Served, memory: TargetMemory) -> Scalar:
    challenger = served.challenger
    if challenger is None:
        return "none"
    if not challenger.gates_passed or challenger.version in memory.refused:
        return "refused"
    return "ready" if served.is_ready(challenger) else "registered"


def _share(served: Served) -> int:
    """All that does not go to the champion, whoever gets it."""
    if served.champion is None:
        return 0
    return 100 - served.percent(served.champion.version)


def _canary(served: Served, memory: TargetMemory) -> Scalar:
    watch = memory.canary
    if watch is None:
        # Traffic away from the champion that nobody remembers giving: undecided, so it goes back.
        return "undecided" if _share(served) else "none"
    if served.challenger is None or served.challenger.version != watch.version:
        return "undecided"
    if served.is_gone(watch.version) and watch.outcome == "watching":
        return "undecided"
    return watch.outcome


def _shadow(served: Served, memory: TargetMemory) -> Scalar:
    """Copies that nobody remembers making are undecided, so they end; somebody else's mirror, on a
    route that mendloop never copied from, is theirs."""
    watch, mirror = memory.shadow, served.split.mirror
    version = served.challenger.version if served.challenger else ""
    is_ours = mirror is not None and (
        served.route.receipt.startswith(COPYING)
        or (watch is not None and watch.version == mirror.version)
    )
    if watch is None or watch.version != version:
        return "undecided" if is_ours else "none"
    if watch.outcome == "passed":
        return "passed"
    return watch.outcome if is_ours else "none"


def _champion(served: Served, memory: TargetMemory) -> Scalar:
    probation = memory.probation
    if probation is None or probation.outcome == "passed":
        return "settled"
    if probation.outcome == "harmful" or _is_half_way_back(served, memory):
        return "broken"
    return "probation"


def _is_half_way_back(served: Served, memory: TargetMemory) -> bool:
    """A switch back broke off when its aliases had moved already: the former champion is the
    champion, and the version that was on probation has still to go. The same tool finishes it."""
    probation, champion = memory.probation, served.champion
    if probation is None or probation.outcome == "passed" or champion is None:
        return False
    return champion.version == probation.former
