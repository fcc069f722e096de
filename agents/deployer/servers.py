"""Brings servers of versions up and takes them down, never the one that production needs."""

from __future__ import annotations

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.facts import (
    CANARY,
    CHALLENGER,
    CHAMPION,
    FORMER,
    PROVED,
    SHADOW,
    SHARE,
    SKEW,
    UNKNOWN,
)
from agents.memory import TargetMemory
from agents.ports import Desk
from agents.served import FORMER as FORMER_ALIAS
from agents.served import Served, look
from tools.errors import Refused
from tools.managed_model import ManagedModel
from tools.registry import CHALLENGER as CHALLENGER_ALIAS
from tools.registry import ModelVersion
from tools.workloads import ServerPhase, ServerRequest


class DeployChallenger:
    """Starts a server for the gated challenger; it gets no traffic yet."""

    contract = Contract(
        name="deploy_challenger",
        agent="deployer",
        purpose="Start a server for the challenger, its artifact checked by digest.",
        concern="model",
        undo="withdraw_challenger",
        deadline_s=120.0,
        max_attempts=2,  # a newer challenger may displace the one that was being deployed
        is_per_challenger=True,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(is_(CHALLENGER, "registered"),),
                achieves={CHALLENGER: "ready"},
                cost=Cost(minutes=1.0, money=1.0),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        served = look(desk, call.model)
        challenger = served.must_challenger()
        if not challenger.gates_passed:
            raise Refused(f"version {challenger.version} has not passed its gates; not deployed")
        if served.is_ready(challenger):
            return Receipt(already=True, detail=f"version {challenger.version} serves already")
        folder = desk.registry.fetch(challenger.model, challenger.version, desk.artifacts)
        request = ServerRequest(
            target=call.model.target,
            version=challenger.version,
            artifact=folder,
            artifact_digest=challenger.artifact_digest,
            config=served.config_in_force,
        )
        state = desk.workloads.start(request, key=call.key, token=call.token)
        return Receipt(
            detail=f"server of version {challenger.version} is {state.phase}",
            after={"version": challenger.version, "address": state.address},
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        challenger = look(desk, call.model).must_challenger()
        state = desk.workloads.read(call.model.target, challenger.version)
        if state.phase is ServerPhase.ABSENT and _displaced(desk, call):
            # Nothing is known against the newer one: it is not sent back, it is deployed next.
            detail = f"version {challenger.version} became the challenger meanwhile"
            return Verification(holds=Holds.BROKEN, detail=detail)
        if state.phase is ServerPhase.READY:
            matches = state.artifact_digest == challenger.artifact_digest
            detail = f"version {challenger.version} is ready at {state.address}"
            if matches:
                return Verification(holds=Holds.HOLDS, detail=detail)
            detail = f"version {challenger.version} serves another artifact than the registry's"
            return _send_back(challenger, memory, detail)
        if state.phase in (ServerPhase.FAILED, ServerPhase.ABSENT):
            return _send_back(challenger, memory, f"its server is {state.phase}: {state.reason}")
        if not 0 <= desk.clock.monotonic_s() - call.started_s < self.contract.deadline_s:
            # Otherwise it would stay the challenger, and every incident would wait for it anew.
            limit = f"not ready within {self.contract.deadline_s:g} s: {state.reason}"
            return _send_back(challenger, memory, limit)
        return Verification(holds=Holds.UNKNOWN, detail=f"starting: {state.reason}")


class WithdrawChallenger:
    """Ends a refused challenger: its server, then its alias."""

    contract = Contract(
        name="withdraw_challenger",
        agent="deployer",
        purpose="Take a refused challenger out of the registry's aliases and stop its server.",
        concern="model",
        undo="deploy_challenger",
        deadline_s=60.0,
        max_attempts=3,
        is_safe_return=True,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(
                    is_(CHALLENGER, "refused"),
                    is_(SHARE, 0),
                    is_(SHADOW, "none", UNKNOWN),
                ),
                achieves={CHALLENGER: "none", CANARY: "none", PROVED: 0, SKEW: UNKNOWN},
                cost=Cost(minutes=0.5),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        served = look(desk, call.model)
        challenger = served.challenger
        if challenger is None:
            return Receipt(already=True, detail="no challenger is left")
        _must_be_idle(served, challenger)
        desk.workloads.stop(call.model.target, challenger.version, key=call.key, token=call.token)
        desk.registry.delete_alias(
            challenger.model, CHALLENGER_ALIAS, key=call.key, fence=call.fence
        )
        return Receipt(
            detail=f"version {challenger.version} is withdrawn",
            before={"challenger": challenger.version},
            after={"challenger": "none"},
            memory=memory.model_copy(
                update={
                    "canary": None,
                    "shadow": None,
                    "skew": UNKNOWN,
                    "refused": _with(memory.refused, challenger.version),
                }
            ),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        if look(desk, call.model).challenger is None:
            return Verification(holds=Holds.HOLDS, detail="no challenger is left")
        return Verification(holds=Holds.BROKEN, detail="the challenger alias is still set")


class RetireVersion:
    """Stops the former champion once its probationer has proved itself."""

    contract = Contract(
        name="retire_version",
        agent="deployer",
        purpose="Stop the former champion's server and let go of its alias.",
        concern="model",
        undo="switch_back",
        deadline_s=60.0,
        max_attempts=3,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(is_(FORMER, "warm"), is_(CHAMPION, "settled"), is_(SHARE, 0)),
                achieves={FORMER: "none"},
                cost=Cost(minutes=0.5),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        served = look(desk, call.model)
        former = served.former
        if former is None:
            return Receipt(already=True, detail="no former champion is left")
        champion = served.must_champion()
        if former.version != champion.version:
            _must_be_idle(served, former)
            if not served.is_ready(champion):
                raise Refused(
                    f"champion {champion.version} is not ready: version {former.version} may be the"
                    " only healthy one and stays up"
                )
            desk.workloads.stop(call.model.target, former.version, key=call.key, token=call.token)
        desk.registry.delete_alias(former.model, FORMER_ALIAS, key=call.key, fence=call.fence)
        return Receipt(
            detail=f"version {former.version} is retired",
            before={"former": former.version},
            after={"former": "none"},
            memory=memory.model_copy(update={"probation": None}),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        if look(desk, call.model).former is None:
            return Verification(holds=Holds.HOLDS, detail="the former champion is retired")
        return Verification(holds=Holds.BROKEN, detail="the former champion's alias is still set")


def _displaced(desk: Desk, call: Call) -> bool:
    """Whether this step started a server, of a version that is not the challenger any more."""
    return any(s.key == call.key for s in desk.workloads.servers(call.model.target))


def _must_be_idle(served: Served, version: ModelVersion) -> None:
    percent = served.percent(version.version)
    if percent:
        raise Refused(
            f"version {version.version} still gets {percent} % of the traffic; roll back first"
        )
    mirror = served.split.mirror
    if mirror is not None and mirror.version == version.version:
        raise Refused(f"version {version.version} still gets copies of requests; end them first")


def _send_back(version: ModelVersion, memory: TargetMemory, detail: str) -> Verification:
    return Verification(
        holds=Holds.BROKEN,
        detail=f"version {version.version}: {detail}",
        facts={CHALLENGER: "refused"},
        memory=memory.model_copy(update={"refused": _with(memory.refused, version.version)}),
    )


def _with(versions: tuple[str, ...], version: str) -> tuple[str, ...]:
    return versions if version in versions else (*versions, version)
