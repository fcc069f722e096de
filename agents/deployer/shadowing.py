"""Lets a challenger answer copies of the requests before it answers any user, and ends that.

A mirror adds a second answer to a request and takes nothing from the first: the champion keeps
every user, the challenger's answers are thrown away and logged apart. The route carries it
beside the weights, so it is stamped, fenced and read back like them.
"""

from __future__ import annotations

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.deployer.shifting import applied, in_short, must_be_servable, shift
from agents.facts import (
    CANARY,
    CHALLENGER,
    FORMER,
    SERVICE,
    SHADOW,
    SHARE,
    UNKNOWN,
    Scalar,
)
from agents.memory import ShadowWatch, TargetMemory
from agents.ports import Desk
from agents.served import look
from tools.errors import Refused
from tools.managed_model import ManagedModel
from tools.rollout import Shadow
from tools.routing import Mirror, TrafficSplit

COPYING = "shadow-"
"""How the keys of mendloop's own mirrors begin, as the route's receipt tells them."""


class MirrorRequests:
    """Copies requests to a gated challenger that is ready; its answers reach nobody."""

    contract = Contract(
        name="shadow",
        agent="deployer",
        purpose="Copy requests to the challenger, whose answers are thrown away.",
        concern="model",
        undo="stop_shadow",
        deadline_s=30.0,
        max_attempts=2,  # a newer challenger may displace the one that was being copied to
        is_per_challenger=True,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        if model.spec.rollout.shadow is None:
            return ()
        return (
            self.contract.operation(
                requires=(
                    is_(CHALLENGER, "ready"),
                    is_(SHARE, 0),
                    is_(CANARY, "none"),
                    is_(FORMER, "none"),
                    is_(SHADOW, "none"),
                    # Copies are load: a champion that answers late gets no more of it.
                    is_(SERVICE, "answers", "starting", "failing", "down", UNKNOWN),
                ),
                achieves={SHADOW: "watching"},
                cost=Cost(minutes=0.2),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        asked = must_have_shadow(call.model)
        served = look(desk, call.model)
        champion, challenger = served.must_champion(), served.must_challenger()
        before = TrafficSplit.all_to(champion.version)
        mirror = Mirror(version=challenger.version, percent=asked.percent)
        split = before.model_copy(update={"mirror": mirror})
        already = served.split == split
        if not already:
            must_be_servable(served, challenger)
            shift(desk, call, split, expect=before)
        watch = ShadowWatch(
            version=challenger.version,
            stable=in_short(champion),
            challenger=in_short(challenger),
            percent=asked.percent,
        )
        return Receipt(
            already=already,
            detail=f"{asked.percent:g} % of the requests are copied to version {watch.version}",
            before={"mirror": "none"},
            after={"mirror": watch.version},
            memory=memory.model_copy(update={"shadow": watch}),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        served = look(desk, call.model)
        challenger, mirror = served.must_challenger(), served.split.mirror
        if mirror is None or mirror.version != challenger.version:
            detail = f"the route says {served.split}, expected copies to v{challenger.version}"
            return Verification(holds=Holds.BROKEN, detail=detail)
        return applied(desk, call, f"requests are copied to version {challenger.version}")


class StopShadow:
    """Ends the copies, whatever came of them; nobody's answer changes."""

    contract = Contract(
        name="stop_shadow",
        agent="deployer",
        purpose="Copy no requests any more and refuse the challenger that they speak against.",
        concern="model",
        undo="nothing to undo",
        deadline_s=30.0,
        max_attempts=10,
        is_safe_return=True,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        refused: dict[str, Scalar] = {SHADOW: "none", CHALLENGER: "refused"}
        return (
            self.contract.operation(
                requires=(is_(SHADOW, "harmful", "undecided"),),
                achieves=refused,
                cost=Cost(minutes=0.1),
            ),
            self.contract.operation(
                arguments={"because": "refused"},
                requires=(is_(SHADOW, "watching", "passed"), is_(CHALLENGER, "refused")),
                achieves={SHADOW: "none"},
                cost=Cost(minutes=0.1),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        served = look(desk, call.model, memory)
        mirror, watch = served.split.mirror, memory.shadow
        if mirror is not None:
            shift(desk, call, TrafficSplit(shares=served.split.shares), expect=None)
        refused = memory.refused
        if watch is not None and watch.version not in refused:
            refused = (*refused, watch.version)
        return Receipt(
            already=mirror is None,
            detail="no requests are copied any more",
            before={"mirror": mirror.version if mirror else "none"},
            after={"mirror": "none"},
            memory=memory.model_copy(update={"shadow": None, "refused": refused}),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        served = look(desk, call.model, memory)
        if served.split.mirror is not None:
            return Verification(holds=Holds.BROKEN, detail=f"the route says {served.split}")
        return applied(desk, call, "no requests are copied")


def must_have_shadow(model: ManagedModel) -> Shadow:
    """What the document asks for. Raises Refused when it asks for none any more."""
    asked = model.spec.rollout.shadow
    if asked is None:
        raise Refused(f"the document of {model.target} asks for no shadow (spec.rollout.shadow)")
    return asked
