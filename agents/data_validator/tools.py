"""Sets distrusted windows aside, falls back to imputed inputs, and comes back when all is well."""

from __future__ import annotations

from agents.contract import Call, Contract, Cost, Holds, Operation, Receipt, Verification, is_
from agents.facts import DATA_TRUST, INPUTS, QUARANTINE
from agents.memory import TargetMemory
from agents.ports import Desk
from tools.errors import Refused
from tools.managed_model import ManagedModel
from tools.workloads import ServerPhase, ServingConfig

WEEK_S = 7 * 86400.0


class QuarantineWindow:
    """Sets the distrusted event time aside, for training and for judging quality."""

    contract = Contract(
        name="quarantine_window",
        agent="data_validator",
        purpose="Keep distrusted windows out of training data and quality evidence.",
        concern="data",
        undo="nothing to undo",
        deadline_s=30.0,
        is_safe_return=True,
        changes_production=False,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(is_(QUARANTINE, "pending"),),
                achieves={QUARANTINE: "done"},
                cost=Cost(minutes=0.05),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        pending = [span for span in memory.spans if not span.quarantined]
        spans = tuple(s.model_copy(update={"quarantined": True}) for s in memory.spans)
        said = "; ".join(f"{s.feed or 'rows'} since {s.start}" for s in pending)
        return Receipt(
            already=not pending,
            detail=f"set aside: {said or 'nothing new'}",
            memory=memory.model_copy(update={"spans": spans}),
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        pending = [span for span in memory.spans if not span.quarantined]
        if pending:
            return Verification(holds=Holds.BROKEN, detail=f"{len(pending)} spans are not aside")
        return Verification(holds=Holds.HOLDS, detail="every distrusted window is set aside")


class FallBack:
    """Serves the columns of distrusted feeds as missing, so that the fitted imputer stands in."""

    contract = Contract(
        name="fall_back_to_trusted_data",
        agent="data_validator",
        purpose="Serve a distrusted feed's columns as missing values, as the document says.",
        concern="data",
        undo="restore_inputs",
        deadline_s=60.0,
        max_attempts=3,
        is_safe_return=True,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        if not _imputable(model):
            return ()
        return (
            self.contract.operation(
                requires=(is_(DATA_TRUST, "faulty"), is_(QUARANTINE, "done"), is_(INPUTS, "raw")),
                achieves={INPUTS: "fallback"},
                cost=Cost(minutes=0.2, risk=0.01),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        columns = _distrusted_columns(call.model, memory)
        if not columns:
            raise Refused(
                "what is distrusted belongs to no feed with a fallback; nothing can be masked"
            )
        return _configure_all(desk, call, ServingConfig(masked=columns))

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        columns = _distrusted_columns(call.model, memory)
        return _all_follow(desk, call.model, ServingConfig(masked=columns))


class AwaitTrustedData:
    """Waits for the feed to be itself again; watches, changes nothing."""

    contract = Contract(
        name="await_trusted_data",
        agent="data_validator",
        purpose="Wait until new windows of every distrusted feed are trustworthy again.",
        concern="data",
        undo="nothing to undo",
        deadline_s=WEEK_S,
        changes_production=False,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        inputs = "fallback" if _imputable(model) else "raw"
        return (
            self.contract.operation(
                requires=(
                    is_(DATA_TRUST, "faulty"),
                    is_(QUARANTINE, "done"),
                    is_(INPUTS, inputs),
                ),
                achieves={DATA_TRUST: "trusted"},
                cost=Cost(minutes=60.0),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        feeds = ", ".join(sorted({span.feed or "rows" for span in memory.open_spans}))
        return Receipt(detail=f"waiting for {feeds or 'nothing'} to be trustworthy again")

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        lasting = memory.open_spans
        if not lasting:
            return Verification(holds=Holds.HOLDS, detail="every feed is trustworthy again")
        said = "; ".join(f"{s.feed or 'rows'} since {s.start}" for s in lasting)
        return Verification(holds=Holds.UNKNOWN, detail=f"still distrusted: {said}")


class RestoreInputs:
    """Lets the servers read the recovered feed again."""

    contract = Contract(
        name="restore_inputs",
        agent="data_validator",
        purpose="End the fall-back: serve what arrives as it arrives.",
        concern="data",
        undo="fall_back_to_trusted_data",
        deadline_s=60.0,
        max_attempts=3,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(is_(DATA_TRUST, "trusted"), is_(INPUTS, "fallback")),
                achieves={INPUTS: "raw"},
                cost=Cost(minutes=0.2, risk=0.01),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        return _configure_all(desk, call, ServingConfig())

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        return _all_follow(desk, call.model, ServingConfig())


def _imputable(model: ManagedModel) -> bool:
    return any(feed.fallback == "impute" for feed in model.spec.schema_.feeds)


def _distrusted_columns(model: ManagedModel, memory: TargetMemory) -> tuple[str, ...]:
    schema = model.spec.schema_
    distrusted = {span.feed for span in memory.open_spans}
    return tuple(
        column
        for feed in schema.feeds
        if feed.name in distrusted and feed.fallback == "impute"
        for column in schema.feed_columns(feed.name)
    )


def _configure_all(desk: Desk, call: Call, config: ServingConfig) -> Receipt:
    servers = desk.workloads.servers(call.model.target)
    wanting = [server for server in servers if server.config != config]
    for server in wanting:
        desk.workloads.configure(
            call.model.target, server.version, config, key=call.key, token=call.token
        )
    masked = ", ".join(config.masked) or "no column"
    return Receipt(
        already=not wanting,
        detail=f"{masked} masked on {len(servers)} servers",
        before={s.version: ",".join(s.config.masked) for s in wanting},
        after={s.version: ",".join(config.masked) for s in wanting},
    )


def _all_follow(desk: Desk, model: ManagedModel, config: ServingConfig) -> Verification:
    servers = desk.workloads.servers(model.target)
    behind = [
        server.version
        for server in servers
        if server.phase is ServerPhase.READY and server.config != config
    ]
    if behind:
        return Verification(
            holds=Holds.UNKNOWN, detail=f"versions {', '.join(behind)} have not followed yet"
        )
    return Verification(holds=Holds.HOLDS, detail=f"all {len(servers)} servers follow")
