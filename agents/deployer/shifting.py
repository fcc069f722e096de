"""Moves traffic between champion and challenger, one proved step at a time, and back."""

from __future__ import annotations

from agents.contract import (
    Call,
    Condition,
    Contract,
    Cost,
    Holds,
    Operation,
    Receipt,
    Verification,
    is_,
)
from agents.facts import (
    CANARY,
    CHALLENGER,
    FORMER,
    PROVED,
    SERVICE,
    SHADOW,
    SHARE,
    SKEW,
    UNKNOWN,
    Scalar,
)
from agents.memory import CanaryWatch, TargetMemory
from agents.ports import Desk
from agents.served import Served, look
from tools.errors import Refused
from tools.managed_model import ManagedModel
from tools.registry import ModelVersion
from tools.routing import Router, TrafficSplit
from tools.statistics.canary import CanaryEvidence


def before_each_step(model: ManagedModel) -> dict[int, int]:
    """Canary step -> the step that must have been proved before it (0 before the first)."""
    steps = model.spec.rollout.steps_percent
    return dict(zip(steps, (0, *steps), strict=False))


class StartCanary:
    """Gives the challenger its first share."""

    contract = Contract(
        name="start_canary",
        agent="deployer",
        purpose="Route the first few percent of the traffic to the challenger.",
        concern="model",
        undo="roll_back",
        deadline_s=30.0,
        max_attempts=2,  # a newer challenger may displace the one that was being routed to
        is_per_challenger=True,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        first = model.spec.rollout.steps_percent[0]
        has_shadow = model.spec.rollout.shadow is not None
        ready = (
            is_(CHALLENGER, "ready"),
            is_(SHARE, 0),
            is_(CANARY, "none"),
            # A second promotion would overwrite who was champion before the first.
            is_(FORMER, "none"),
            is_(SHADOW, "passed")
            if has_shadow
            else is_(SHADOW, "none", "watching", "passed", UNKNOWN),
        )
        # Its first share is the end of the copies: one write does both.
        return (_operation(self.contract, first, ready, {SHADOW: "none"}),)

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        return _raise_share(desk, call, memory)

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        return _share_applied(desk, call)


class AdvanceCanary:
    """Gives the challenger the next share, once the one before is proved."""

    contract = Contract(
        name="advance_canary",
        agent="deployer",
        purpose="Route the next share of the traffic to the challenger.",
        concern="model",
        undo="roll_back",
        deadline_s=30.0,
        max_attempts=2,  # a newer challenger may displace the one that was being routed to
        is_per_challenger=True,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return tuple(
            _operation(
                self.contract,
                percent,
                (
                    is_(CHALLENGER, "ready"),
                    is_(SHARE, before),
                    is_(PROVED, before),
                    is_(CANARY, "watching"),
                    is_(SKEW, "none"),
                ),
            )
            for percent, before in before_each_step(model).items()
            if before
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        return _raise_share(desk, call, memory)

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        return _share_applied(desk, call)


class RollBack:
    """All traffic back to the champion, whatever the challenger's state."""

    contract = Contract(
        name="roll_back",
        agent="deployer",
        purpose="Route all traffic back to the champion and refuse the challenger.",
        concern="model",
        undo="nothing to undo",
        deadline_s=30.0,
        max_attempts=10,
        is_safe_return=True,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(
                    is_(SHARE, *range(1, 101)),
                    is_(CANARY, "harmful", "undecided"),
                    is_(SERVICE, "answers", "failing", "slow", UNKNOWN),  # there is a way back
                ),
                achieves={SHARE: 0, PROVED: 0, CANARY: "none", CHALLENGER: "refused"},
                cost=Cost(minutes=0.1),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        served = look(desk, call.model, memory)
        champion = served.must_champion()
        target = TrafficSplit.all_to(champion.version)
        shift(desk, call, target, expect=None)
        refused = memory.refused
        if memory.canary is not None and memory.canary.version not in refused:
            refused = (*refused, memory.canary.version)
        return Receipt(
            already=served.split == target,
            detail=f"all traffic goes to version {champion.version}",
            before=dict(served.split.shares),
            after={champion.version: 100},
            memory=memory.model_copy(
                update={"refused": refused, "canary": None, "shadow": None, "skew": UNKNOWN}
            ),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        served = look(desk, call.model, memory)
        champion = served.must_champion()
        if served.percent(champion.version) != 100:
            return Verification(holds=Holds.BROKEN, detail=f"the route says {served.split}")
        return applied(desk, call, f"all traffic goes to version {champion.version}")


def _operation(
    contract: Contract,
    percent: int,
    requires: tuple[Condition, ...],
    besides: dict[str, Scalar] | None = None,
) -> Operation:
    return contract.operation(
        arguments={"percent": percent},
        requires=requires,
        achieves={SHARE: percent, CANARY: "watching", **(besides or {})},
        cost=Cost(minutes=0.2, risk=percent / 1000),
    )


def _raise_share(desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
    """Promise 3: only a gated, ready version, and no more than this step allows.

    Weights that moved before the answer was lost have moved, whatever befell the servers since:
    what is remembered follows them, or the step would be judged as the one before it.
    """
    percent = int(call.operation.arguments["percent"])
    served = look(desk, call.model)
    champion, challenger = served.must_champion(), served.must_challenger()
    split = split_at(champion, challenger, percent)
    already = served.split == split
    if not already:
        must_be_servable(served, champion)
        must_be_servable(served, challenger)
        expect = split_at(champion, challenger, before_each_step(call.model)[percent])
        if memory.shadow is not None and memory.shadow.version == challenger.version:
            expect = expect.model_copy(update={"mirror": served.split.mirror})
        shift(desk, call, split, expect=expect)
    return Receipt(
        already=already,
        detail=f"version {challenger.version} gets {percent} % of the traffic",
        before=dict(served.split.shares),
        after=dict(split.shares),
        memory=memory.model_copy(
            update={
                "canary": _watch(memory, champion, challenger, percent),
                "shadow": None,
            }
        ),
    )


def split_at(champion: ModelVersion, challenger: ModelVersion, percent: int) -> TrafficSplit:
    """Champion and challenger at one step."""
    weights = {champion.version: 100 - percent, challenger.version: percent}
    return TrafficSplit(shares=weights)


def must_be_servable(served: Served, version: ModelVersion) -> None:
    """Raise Refused unless it is gated and its server is ready with the registered artifact."""
    if not version.gates_passed:
        raise Refused(f"version {version.version} has not passed its gates; it takes no traffic")
    if not served.is_ready(version):
        raise Refused(
            f"the server of version {version.version} is not ready with the registered artifact;"
            " the weights stay as they are"
        )


def _watch(
    memory: TargetMemory, champion: ModelVersion, challenger: ModelVersion, percent: int
) -> CanaryWatch:
    watch = memory.canary
    if watch is None or watch.version != challenger.version:
        return CanaryWatch(
            version=challenger.version,
            percent=percent,
            stable=in_short(champion),
            challenger=in_short(challenger),
            evidence=CanaryEvidence(),
        )
    return watch.model_copy(update={"percent": percent, "baseline": None})


def in_short(version: ModelVersion) -> ModelVersion:
    """Without its reference profile: memory is written at every look and has to stay small."""
    return version.model_copy(update={"reference": {}})


def shift(desk: Desk, call: Call, split: TrafficSplit, *, expect: TrafficSplit | None) -> None:
    """Write the target's split under the call's key and token; raises like ``Router.shift``."""
    serving = call.model.spec.serving
    Router(desk.traffic).shift(
        call.model.metadata.namespace,
        serving.route,
        serving.host,
        split,
        key=call.key,
        token=call.token,
        expect=expect,
    )


def _share_applied(desk: Desk, call: Call) -> Verification:
    percent = int(call.operation.arguments["percent"])
    served = look(desk, call.model)
    challenger = served.must_challenger()
    if served.percent(challenger.version) != percent:
        return Verification(
            holds=Holds.BROKEN,
            detail=f"the route says {served.split}, expected {percent} %",
        )
    return applied(desk, call, f"version {challenger.version} gets {percent} %")


def applied(desk: Desk, call: Call, detail: str) -> Verification:
    """HOLDS once the data plane routes by what the document says; UNKNOWN until then."""
    serving = call.model.spec.serving
    namespace = call.model.metadata.namespace
    router = Router(desk.traffic)
    written = router.split(namespace, serving.route, serving.host).resource_version
    if router.applied(namespace, serving.route, resource_version=written):
        return Verification(holds=Holds.HOLDS, detail=f"{detail}; the data plane routes by it")
    return Verification(
        holds=Holds.UNKNOWN, detail=f"{detail}; the data plane has not followed yet"
    )
