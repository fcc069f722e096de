"""Makes a proved challenger the champion, and takes that back when late labels speak against it."""

from __future__ import annotations

from datetime import datetime

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.deployer.shifting import before_each_step
from agents.facts import (
    CANARY,
    CHALLENGER,
    CHAMPION,
    FORMER,
    PROVED,
    QUALITY,
    SERVICE,
    SHARE,
    SKEW,
    UNKNOWN,
    Scalar,
)
from agents.memory import TargetMemory
from agents.monitor.performance import begin_probation
from agents.monitor.service import BROKEN
from agents.ports import Desk
from agents.served import FORMER as FORMER_ALIAS
from agents.served import Served, look
from tools.errors import Refused
from tools.managed_model import ManagedModel
from tools.registry import CHALLENGER as CHALLENGER_ALIAS
from tools.registry import CHAMPION as CHAMPION_ALIAS
from tools.registry import ModelVersion
from tools.routing import Router, TrafficSplit

_SWITCHED: dict[str, Scalar] = {
    CHAMPION: "settled",
    FORMER: "none",
    QUALITY: UNKNOWN,
    SERVICE: UNKNOWN,
}


class Promote:
    """Moves the champion alias; the former champion stays warm under an alias of its own.

    Three registry writes in an order that can be taken up anywhere: former, champion, challenger.
    Whoever finds the champion alias moved and the challenger alias still set finishes the rest.
    """

    contract = Contract(
        name="promote",
        agent="deployer",
        purpose="Make the challenger that serves all traffic the champion, on probation.",
        concern="model",
        undo="switch_back",
        deadline_s=60.0,
        max_attempts=3,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(
                    is_(SHARE, 100),
                    is_(PROVED, before_each_step(model)[100]),
                    is_(CANARY, "watching"),
                ),
                achieves={
                    CHALLENGER: "none",
                    SHARE: 0,
                    PROVED: 0,
                    CANARY: "none",
                    CHAMPION: "probation",
                    FORMER: "warm",
                    QUALITY: UNKNOWN,
                    SERVICE: UNKNOWN,
                    SKEW: UNKNOWN,
                },
                cost=Cost(minutes=0.5, risk=0.01),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        name = call.model.spec.model
        served = look(desk, call.model)
        challenger = desk.registry.by_alias(name, CHALLENGER_ALIAS)
        champion = served.must_champion()
        if challenger is None:
            return self._receipt(served, desk, call, memory, already=True)
        if champion.version != challenger.version:
            _must_serve_everything(served, challenger)
            desk.registry.set_alias(
                name, FORMER_ALIAS, champion.version, key=call.key, fence=call.fence
            )
            desk.registry.set_alias(
                name, CHAMPION_ALIAS, challenger.version, key=call.key, fence=call.fence
            )
        desk.registry.delete_alias(name, CHALLENGER_ALIAS, key=call.key, fence=call.fence)
        return self._receipt(look(desk, call.model), desk, call, memory, already=False)

    def _receipt(
        self, served: Served, desk: Desk, call: Call, memory: TargetMemory, *, already: bool
    ) -> Receipt:
        champion, former = served.must_champion(), served.former
        watermark = desk.log.extent(call.model.target).watermark
        return Receipt(
            already=already,
            detail=f"version {champion.version} is the champion, on probation",
            before={"champion": former.version if former else ""},
            after={"champion": champion.version},
            memory=after_promotion(call.model, served, memory, watermark),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        served = look(desk, call.model)
        champion = served.must_champion()
        if served.former is None or served.percent(champion.version) != 100:
            return Verification(
                holds=Holds.BROKEN,
                detail=f"champion is {champion.version}, the route says {served.split}",
            )
        return Verification(
            holds=Holds.HOLDS,
            detail=f"version {champion.version} is the champion",
            facts={SERVICE: UNKNOWN},
        )


def after_promotion(
    model: ManagedModel, served: Served, memory: TargetMemory, watermark: datetime | None
) -> TargetMemory:
    """The memory once the champion's alias has moved: no canary any more, the new one watched."""
    champion, former, probation = served.must_champion(), served.former, memory.probation
    if former is not None and (probation is None or probation.version != champion.version):
        probation = begin_probation(
            model, champion.version, former.version, watermark, memory.canary
        )
    return memory.model_copy(
        update={"canary": None, "skew": UNKNOWN, "probation": probation, "performance": None}
    )


class SwitchBack:
    """Makes the former champion, still warm, the champion again."""

    contract = Contract(
        name="switch_back",
        agent="deployer",
        purpose="Route all traffic to the former champion and give it its alias back.",
        concern="model",
        undo="nothing to undo",
        deadline_s=60.0,
        max_attempts=10,
        is_safe_return=True,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(is_(CHAMPION, "broken"), is_(FORMER, "warm"), is_(SHARE, 0)),
                achieves=_SWITCHED,
                cost=Cost(minutes=0.5),
            ),
            self.contract.operation(
                arguments={"because": "service"},
                requires=(
                    is_(SERVICE, *BROKEN),
                    is_(FORMER, "warm"),
                    is_(SHARE, 0),
                ),
                achieves=_SWITCHED,
                cost=Cost(minutes=0.5),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        served = look(desk, call.model)
        former, champion = served.former, served.must_champion()
        broken = champion.version
        if former is None or former.version == champion.version:
            # Taken up half-way, the aliases have moved already: memory says who has to go.
            probation = memory.probation
            broken = probation.version if probation else memory.failing_version or broken
        if former is None and champion.version == broken:
            raise Refused("no former champion is left to switch back to")
        if former is not None:
            self._restore(desk, call, served, former)
        restored = former or champion
        desk.workloads.stop(call.model.target, broken, key=call.key, token=call.token)
        return Receipt(
            detail=f"version {restored.version} is the champion again",
            before={"champion": broken},
            after={"champion": restored.version},
            memory=memory.model_copy(
                update={
                    "probation": None,
                    "performance": None,
                    "failing_version": "",
                    "refused": (*memory.refused, broken),
                }
            ),
        )

    def _restore(self, desk: Desk, call: Call, served: Served, former: ModelVersion) -> None:
        if not served.is_ready(former):
            raise Refused(f"the server of former champion {former.version} is not ready")
        _shift_all(desk, call, former)
        name = call.model.spec.model
        desk.registry.set_alias(
            name, CHAMPION_ALIAS, former.version, key=call.key, fence=call.fence
        )
        desk.registry.delete_alias(name, FORMER_ALIAS, key=call.key, fence=call.fence)

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        served = look(desk, call.model)
        champion = served.must_champion()
        if served.former is None and served.percent(champion.version) == 100:
            return Verification(
                holds=Holds.HOLDS,
                detail=f"version {champion.version} serves everything again",
                facts={SERVICE: UNKNOWN},
            )
        return Verification(
            holds=Holds.BROKEN,
            detail=f"champion is {champion.version}, the route says {served.split}",
        )


def _must_serve_everything(served: Served, challenger: ModelVersion) -> None:
    if served.percent(challenger.version) != 100:
        raise Refused(
            f"version {challenger.version} gets {served.percent(challenger.version)} % of the"
            " traffic, expected 100 %; not promoted"
        )
    if not served.is_ready(challenger):
        raise Refused(f"the server of version {challenger.version} is not ready; not promoted")


def _shift_all(desk: Desk, call: Call, version: ModelVersion) -> None:
    serving = call.model.spec.serving
    Router(desk.traffic).shift(
        call.model.metadata.namespace,
        serving.route,
        serving.host,
        TrafficSplit.all_to(version.version),
        key=call.key,
        token=call.token,
        expect=None,
    )
