"""Shows a new owner's fencing token where it will write, before it looks at anything."""

from __future__ import annotations

import structlog

from agents.ports import Desk
from tools.errors import MendloopError
from tools.managed_model import ManagedModel
from tools.registry import Fence
from tools.routing import Router

log = structlog.get_logger()


def claim(model: ManagedModel, desk: Desk, token: int) -> None:
    """Stamp the token on route and aliases, so that a former owner's late writes are refused.

    Where that fails the lease still stands; the next write of ours shows the token.
    """
    serving, namespace = model.spec.serving, model.metadata.namespace
    try:
        Router(desk.traffic).claim(namespace, serving.route, serving.host, token=token)
    except MendloopError as error:
        log.warning("route.unclaimed", target=model.target, reason=str(error))
    try:
        desk.registry.claim(model.spec.model, Fence(target=model.target, token=token))
    except MendloopError as error:
        log.warning("aliases.unclaimed", target=model.target, reason=str(error))
