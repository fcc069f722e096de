"""What every baseline does to a target by plain means: aliases, servers and weights.

No leases, no intents, no evidence. Weights are set whatever they were before, as controllers do
that reconcile towards their own wish.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from agents.ports import Desk
from agents.served import FORMER
from tools.managed_model import ManagedModel
from tools.registry import CHALLENGER, CHAMPION, ModelVersion
from tools.routing import Router, TrafficSplit
from tools.virtual_service import split_operations
from tools.workloads import ServerPhase, ServerRequest

UNFENCED = 0
"""Token of writers that hold no lease."""
READY_WITHIN_S = 600.0
"""A server that is not ready by then counts as failed: Kubernetes' default for the progress of a
Deployment, and Flagger's for that of a canary."""


@dataclass
class Serving:
    """The servers and the route of one target."""

    model: ManagedModel
    desk: Desk
    refused: set[str] = field(default_factory=set)
    """Versions that are not tried again."""
    coming: str = ""
    """Version whose server was asked for and does not serve yet."""
    _asked_s: float = 0.0
    _acts: int = 0

    def alias(self, name: str) -> ModelVersion | None:
        """The version that carries the alias."""
        return self.desk.registry.by_alias(self.model.spec.model, name)

    def challenger(self) -> ModelVersion | None:
        """A gated challenger that is waiting to be released."""
        found = self.alias(CHALLENGER)
        if found is None or not found.gates_passed or found.version in self.refused:
            return None
        champion = self.alias(CHAMPION)
        return None if champion and champion.version == found.version else found

    def before(self, version: ModelVersion) -> ModelVersion | None:
        """The newest older version that passed its gates and was not given up."""
        older = [
            v
            for v in self.desk.registry.versions(self.model.spec.model)
            if v.gates_passed and int(v.version) < int(version.version)
        ]
        left = [v for v in older if v.version not in self.refused]
        return left[-1] if left else None

    def split(self) -> TrafficSplit:
        """How the route divides the traffic."""
        serving = self.model.spec.serving
        namespace = self.model.metadata.namespace
        return Router(self.desk.traffic).split(namespace, serving.route, serving.host).split

    def is_up(self, version: ModelVersion) -> bool | None:
        """Whether its server is ready; None while it starts. Starts the server where none is."""
        state = self.desk.workloads.read(self.model.target, version.version)
        if state.phase is ServerPhase.ABSENT:
            folder = self.desk.registry.fetch(version.model, version.version, self.desk.artifacts)
            request = ServerRequest(
                target=self.model.target,
                version=version.version,
                artifact=folder,
                artifact_digest=version.artifact_digest,
            )
            self.desk.workloads.start(request, key=self.key("start"), token=UNFENCED)
            self.coming = version.version
            self._asked_s = self.desk.clock.monotonic_s()
            return None
        if state.phase is ServerPhase.READY:
            return True
        is_late = self.desk.clock.monotonic_s() - self._asked_s > READY_WITHIN_S
        return False if state.phase is ServerPhase.FAILED or is_late else None

    def route(self, split: TrafficSplit) -> None:
        """Make the weights so, whoever set them before."""
        serving, namespace = self.model.spec.serving, self.model.metadata.namespace
        document = self.desk.traffic.read(namespace, serving.route)
        operations = split_operations(document.body, serving.host, split)
        if operations:
            self.desk.traffic.patch(
                namespace, serving.route, operations, resource_version=document.resource_version
            )

    def make_champion(self, version: ModelVersion) -> None:
        """All traffic and the alias to the version; the one before keeps its server."""
        champion = self.alias(CHAMPION)
        self.route(TrafficSplit.all_to(version.version))
        self.coming = ""
        name = self.model.spec.model
        if champion is not None and champion.version != version.version:
            self.desk.registry.set_alias(name, FORMER, champion.version, key=self.key("former"))
        self.desk.registry.set_alias(name, CHAMPION, version.version, key=self.key("champion"))
        challenger = self.alias(CHALLENGER)
        if challenger is not None and challenger.version == version.version:
            self.desk.registry.delete_alias(name, CHALLENGER, key=self.key("released"))

    def drop(self, version: ModelVersion) -> None:
        """Give a challenger up: no traffic, no alias, no server."""
        self.refused.add(version.version)
        self.coming = ""
        champion = self.alias(CHAMPION)
        if champion is not None:
            self.route(TrafficSplit.all_to(champion.version))
        name = self.model.spec.model
        self.desk.registry.delete_alias(name, CHALLENGER, key=self.key("dropped"))

    def tidy(self) -> None:
        """Stop servers that nobody needs: neither routed to nor champion or former."""
        kept = {self.coming, *self.split().shares}
        kept |= {v.version for a in (CHAMPION, FORMER, CHALLENGER) if (v := self.alias(a))}
        for server in self.desk.workloads.servers(self.model.target):
            if server.version not in kept:
                self.desk.workloads.stop(
                    self.model.target, server.version, key=self.key("stop"), token=UNFENCED
                )

    def key(self, what: str) -> str:
        """Every act is a new one."""
        self._acts += 1
        return f"baseline-{what}-{self._acts}"


def release_at_once(serving: Serving) -> None:
    """Continuous deployment without a canary: what passed its gates serves all once it is up."""
    challenger = serving.challenger()
    if challenger is None:
        serving.tidy()
        return
    match serving.is_up(challenger):
        case True:
            serving.make_champion(challenger)
        case False:
            serving.drop(challenger)
        case None:
            pass
