"""Finds and stops servers that mendloop started and that nothing needs any more.

A challenger may lose its alias to a newer one, or to a person, while its server is up: no incident
would look at that version again, and its server would run for ever.
"""

from __future__ import annotations

from agents.contract import (
    Call,
    Contract,
    Cost,
    Holds,
    Operation,
    Receipt,
    Undo,
    Verification,
    is_,
)
from agents.facts import SPARES
from agents.memory import TargetMemory
from agents.ports import Desk
from agents.served import Served, look
from tools.managed_model import ManagedModel

STARTED_BY_US = "deploy-challenger-"
"""How the keys of servers begin that mendloop started; others belong to whoever started them."""


def spare_versions(served: Served) -> tuple[str, ...]:
    """Versions whose server mendloop started, that have no alias and get no traffic."""
    if not served.is_registry_known:
        return ()
    aliased = (served.champion, served.challenger, served.former)
    needed = {version.version for version in aliased if version is not None}
    return tuple(
        version
        for version, server in sorted(served.servers.items())
        if server.key.startswith(STARTED_BY_US)
        and version not in needed
        and not served.percent(version)
    )


class StopSpareServers:
    """Stops what ``spare_versions`` finds."""

    contract = Contract(
        name="stop_spare_servers",
        agent="deployer",
        purpose="Stop servers that mendloop started for versions that have no alias any more.",
        concern="model",
        undo=Undo.NOTHING,
        deadline_s=60.0,
        max_attempts=3,
        is_safe_return=True,
    )

    def operations(self, model: ManagedModel) -> tuple[Operation, ...]:
        return (
            self.contract.operation(
                requires=(is_(SPARES, "idle"),),
                achieves={SPARES: "none"},
                cost=Cost(minutes=0.3),
            ),
        )

    def apply(self, desk: Desk, call: Call, memory: TargetMemory) -> Receipt:
        spare = spare_versions(look(desk, call.model))
        for version in spare:
            desk.workloads.stop(call.model.target, version, key=call.key, token=call.token)
        return Receipt(
            already=not spare,
            detail=f"stopped the servers of versions {', '.join(spare) or 'none'}",
            before={"servers": ",".join(spare)},
        )

    def verify(self, desk: Desk, call: Call, memory: TargetMemory) -> Verification:
        spare = spare_versions(look(desk, call.model))
        if spare:
            detail = f"servers of versions {', '.join(spare)} are still there"
            return Verification(holds=Holds.BROKEN, detail=detail)
        return Verification(holds=Holds.HOLDS, detail="no server is left that nothing needs")
