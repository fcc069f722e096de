"""What serves a target right now, read from the registry, the route and the servers themselves."""

from __future__ import annotations

from collections.abc import Mapping

from agents.memory import TargetMemory
from agents.ports import Desk
from tools.errors import Refused, Unavailable
from tools.managed_model import ManagedModel
from tools.registry import CHALLENGER, CHAMPION, ModelVersion
from tools.routing import Router, RouteState, TrafficSplit
from tools.values import Value
from tools.workloads import ServerPhase, ServerState, ServingConfig

FORMER = "former"
"""Alias of the champion before, kept from promotion until it is retired."""


class Served(Value):
    """Champion, challenger, former champion, their servers, and the traffic between them."""

    champion: ModelVersion | None
    challenger: ModelVersion | None
    """None as well when the alias points at the champion: that promotion is done."""
    former: ModelVersion | None
    route: RouteState
    servers: dict[str, ServerState]
    is_registry_known: bool = True
    """False: the registry does not answer, and the versions are those that the canary began with.
    Good enough to judge and to go back, never to go forward."""

    @property
    def split(self) -> TrafficSplit:
        """How the route divides the traffic."""
        return self.route.split

    def percent(self, version: str) -> int:
        """Share of the traffic that the route gives to the version."""
        return self.split.share(version)

    def is_ready(self, version: ModelVersion) -> bool:
        """Whether its server reports ready with the very artifact that the registry names."""
        server = self.servers.get(version.version)
        return (
            server is not None
            and server.phase is ServerPhase.READY
            and server.artifact_digest == version.artifact_digest
        )

    def is_gone(self, version: str) -> bool:
        """Whether it gets traffic and there is no server of it at all."""
        return bool(self.percent(version)) and version not in self.servers

    @property
    def config_in_force(self) -> ServingConfig:
        """What a new server has to begin with, or a fall-back would end unseen: the champion's, or
        where that is gone, that of any other."""
        named = [v.version for v in (self.champion, self.former, self.challenger) if v is not None]
        known = [self.servers[version] for version in named if version in self.servers]
        return known[0].config if known else ServingConfig()

    def must_champion(self) -> ModelVersion:
        """The champion; Refused when the registry has none, since nothing may then be changed."""
        if self.champion is None:
            raise Refused("no version has the alias 'champion'; register one and give it the alias")
        return self.champion

    def must_challenger(self) -> ModelVersion:
        """The challenger; Refused when its alias is gone: somebody withdrew it."""
        if self.challenger is None:
            raise Refused(
                "the registry has no challenger any more; somebody removed or moved its alias"
            )
        return self.challenger


def look(
    desk: Desk,
    model: ManagedModel,
    memory: TargetMemory | None = None,
    aliases: Mapping[str, ModelVersion] | None = None,
) -> Served:
    """One look at the world. Raises Unavailable when a part of it does not answer.

    With ``memory`` of a release under way, a registry that does not answer is no reason to look
    away: what the canary, or the shadow, began with stands in. ``aliases`` are those just read,
    None: read them.
    """
    name, serving = model.spec.model, model.spec.serving
    watch = (memory.canary or memory.shadow) if memory else None
    is_registry_known = True
    try:
        champion, challenger, former = (
            desk.registry.by_alias(name, alias) if aliases is None else aliases.get(alias)
            for alias in (CHAMPION, CHALLENGER, FORMER)
        )
    except Unavailable:
        if watch is None:
            raise
        champion, challenger, former = watch.stable, watch.challenger, None
        is_registry_known = False
    if champion and challenger and champion.version == challenger.version:
        challenger = None
    return Served(
        champion=champion,
        challenger=challenger,
        former=former,
        is_registry_known=is_registry_known,
        route=Router(desk.traffic).split(model.metadata.namespace, serving.route, serving.host),
        servers={s.version: s for s in desk.workloads.servers(model.target)},
    )
