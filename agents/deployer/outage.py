"""Gets out when the champion itself is the broken one: a restart, or the version before it."""

from __future__ import annotations

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.facts import FORMER, SERVICE, SHARE
from agents.memory import Restarted, TargetMemory
from agents.monitor.service import INTERVAL_S, answered_between, is_within_limits
from agents.ports import Desk
from agents.served import FORMER as FORMER_ALIAS
from agents.served import Served, look
from agents.windows import parse
from tools.errors import Refused
from tools.managed_model import ManagedModel
from tools.metrics import NoReading
from tools.registry import ModelVersion
from tools.workloads import ServerPhase, ServerRequest, ServerState


class RestartServing:
    """Starts the champion's server anew, and waits for what its users then get."""

    contract = Contract(
        name="restart_serving",
        agent="deployer",
        purpose="Start the failing champion's server anew with the same artifact.",
        concern="model",
        undo="nothing to undo",
        deadline_s=600.0,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(is_(SERVICE, "down"),),
                achieves={SERVICE: "answers"},
                cost=Cost(minutes=2.0, risk=0.02),
            ),
            # Where most requests are answered, those seconds without a server are the last resort.
            self.contract.operation(
                arguments={"although": "answering"},
                requires=(is_(SERVICE, "failing"),),
                achieves={SERVICE: "answers"},
                cost=Cost(minutes=2.0, risk=0.5),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        served = look(desk, call.model)
        champion = served.must_champion()
        now = desk.log.extent(call.model.target).watermark
        _must_have_rested(call, memory, champion, now.isoformat() if now else "")
        state = served.servers.get(champion.version)
        if state is None:
            state = _start(desk, call, served, champion)
        elif state.key != call.key:  # not the one that this very step has put in its place
            state = desk.workloads.restart(
                call.model.target, champion.version, key=call.key, token=call.token
            )
        restarted = Restarted(
            version=champion.version,
            key=call.key,
            event_time=now.isoformat() if now else "",
        )
        return Receipt(
            detail=f"the server of version {champion.version} is {state.phase}",
            after={"version": champion.version},
            memory=memory.model_copy(update={"restarted": restarted}),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        restarted = memory.restarted
        if restarted is None or restarted.key != call.key:
            return Verification(holds=Holds.BROKEN, detail="no restart of this step is on record")
        state = desk.workloads.read(call.model.target, restarted.version)
        if state.phase in (ServerPhase.FAILED, ServerPhase.ABSENT):
            return _still_failing(f"its server is {state.phase}: {state.reason}")
        reading = desk.metrics.read(call.model.target)
        if state.phase is not ServerPhase.READY or isinstance(reading, NoReading):
            why = reading.reason if isinstance(reading, NoReading) else state.reason
            return Verification(holds=Holds.UNKNOWN, detail=f"not known yet: {why}")
        since = restarted.baseline
        if since is None or since.epoch != reading.epoch:
            counted = restarted.model_copy(update={"baseline": reading})
            return Verification(
                holds=Holds.UNKNOWN,
                detail="ready again; counting from here",
                memory=memory.model_copy(update={"restarted": counted}),
            )
        grown = answered_between(since, reading, restarted.version)
        if grown is None or reading.at_s - since.at_s < INTERVAL_S:
            return Verification(holds=Holds.UNKNOWN, detail="ready again; counting")
        said = f"{grown.errors:,} of {grown.requests:,} requests failed since the restart"
        if not is_within_limits(call.model, grown):
            return _still_failing(said)
        return Verification(holds=Holds.HOLDS, detail=said, facts={SERVICE: "answers"})


class ReviveFormer:
    """Brings a server of the version before up again, so that there is one to switch back to."""

    contract = Contract(
        name="revive_former",
        agent="deployer",
        purpose="Start a server of the newest gated version before a champion that fails.",
        concern="model",
        undo="retire_version",
        deadline_s=180.0,
        max_attempts=2,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(is_(SERVICE, "failing", "down"), is_(FORMER, "none"), is_(SHARE, 0)),
                achieves={FORMER: "warm"},
                cost=Cost(minutes=3.0, money=1.0),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        served = look(desk, call.model)
        champion = served.must_champion()
        former = served.former or version_before(desk, call.model, champion, memory.refused)
        state = _start(desk, call, served, former)
        desk.registry.set_alias(
            former.model, FORMER_ALIAS, former.version, key=call.key, fence=call.fence
        )
        return Receipt(
            detail=f"the server of version {former.version} is {state.phase}",
            before={"former": "none"},
            after={"former": former.version},
            memory=memory.model_copy(update={"failing_version": champion.version}),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        served = look(desk, call.model)
        former = served.former
        if former is None:
            return Verification(holds=Holds.BROKEN, detail="nothing has the alias of the former")
        if served.is_ready(former):
            return Verification(holds=Holds.HOLDS, detail=f"version {former.version} is ready")
        state = desk.workloads.read(call.model.target, former.version)
        if state.phase in (ServerPhase.FAILED, ServerPhase.ABSENT):
            detail = f"version {former.version} is {state.phase}: {state.reason}"
            return Verification(holds=Holds.BROKEN, detail=detail)
        return Verification(holds=Holds.UNKNOWN, detail=f"starting: {state.reason}")


def _start(desk: Desk, call: Call, served: Served, version: ModelVersion) -> ServerState:
    """A server where there is none, its artifact checked by digest."""
    request = ServerRequest(
        target=call.model.target,
        version=version.version,
        artifact=desk.registry.fetch(version.model, version.version, desk.artifacts),
        artifact_digest=version.artifact_digest,
        config=served.config_in_force,
    )
    return desk.workloads.start(request, key=call.key, token=call.token)


def version_before(
    desk: Desk, model: ManagedModel, champion: ModelVersion, refused: tuple[str, ...]
) -> ModelVersion:
    """The newest older version that passed its gates. Refused when there is none."""
    older: list[ModelVersion] = []
    for version in desk.registry.versions(model.spec.model):  # oldest first
        if version.version == champion.version:
            break
        if version.gates_passed and version.version not in refused:
            older.append(version)
    if not older:
        raise Refused(f"no gated version before {champion.version} is left to go back to")
    return older[-1]


def _must_have_rested(
    call: Call, memory: TargetMemory, champion: ModelVersion, event_time: str
) -> None:
    """A server that has to be restarted again and again needs a person, not a habit."""
    last = memory.restarted
    if last is None or last.key == call.key or not (last.event_time and event_time):
        return
    rest = call.model.spec.guardrails.cool_down
    lasted = parse(event_time) - parse(last.event_time)
    if last.version == champion.version and lasted < rest:
        raise Refused(
            f"version {last.version} was restarted at {last.event_time} already; restarting it"
            " again within the cool-down cures nothing"
        )


def _still_failing(detail: str) -> Verification:
    return Verification(holds=Holds.BROKEN, detail=detail, facts={SERVICE: "failing"})
