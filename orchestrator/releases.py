"""What becomes of a challenger, for those who wait outside the loop."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from tools.errors import Refused
from tools.managed_model import ManagedModel
from tools.registry import CHALLENGER, CHAMPION, ModelVersion, Registration, Registry
from tools.routing import Router
from tools.traffic import Traffic
from tools.values import Value


class Stage(StrEnum):
    """How far a version has come."""

    REGISTERED = "registered"
    """No alias: it was never offered, or it was taken back."""
    OFFERED = "offered"
    """The challenger, without traffic so far."""
    CANARY = "canary"
    PROMOTED = "promoted"


class Release(Value):
    """One version, now."""

    model: str
    version: str
    stage: Stage
    share_percent: int = 0
    champion: str = ""
    challenger: str = ""


def release_of(
    model: ManagedModel, version: str, registry: Registry, traffic: Traffic | None = None
) -> Release:
    """The version's stage; its share where ``traffic`` is given. Raises Invalid for none."""
    name, serving = model.spec.model, model.spec.serving
    made = registry.get(name, version)
    share = 0
    if traffic is not None:
        split = Router(traffic).split(model.metadata.namespace, serving.route, serving.host).split
        share = split.share(version)
    if CHAMPION in made.aliases:
        stage = Stage.PROMOTED
    elif CHALLENGER in made.aliases:
        stage = Stage.CANARY if share else Stage.OFFERED
    else:
        stage = Stage.REGISTERED
    return Release(
        model=name,
        version=version,
        stage=stage,
        share_percent=share,
        champion=_holder(registry, name, CHAMPION),
        challenger=_holder(registry, name, CHALLENGER),
    )


def offer(model: ManagedModel, version: str, registry: Registry) -> ModelVersion:
    """Make the version the challenger; mendloop takes it from there.

    Idempotent. Raises Refused for a version whose gates did not pass, and while another challenger
    is to be decided.
    """
    name = model.spec.model
    made = registry.get(name, version)
    if not made.gates_passed:
        raise Refused(f"version {version} of {name} did not pass its gates; it is not offered")
    holder = registry.by_alias(name, CHALLENGER)
    if holder is not None and holder.version != version:
        raise Refused(
            f"version {holder.version} of {name} is the challenger; wait until it is decided, or"
            " take its alias away"
        )
    if CHAMPION not in made.aliases and holder is None:
        registry.set_alias(name, CHALLENGER, version, key=f"offer-{name}-{version}")
    return registry.get(name, version)


def carried_over(
    model: ManagedModel, version: str, source: Registry, target: Registry, *, folder: Path
) -> ModelVersion:
    """The same version in another registry (staging's to production's), with its own evidence.

    Idempotent by the run that made it; the artifact's digest is checked on the way, and nothing is
    trained again.
    """
    made = source.get(model.spec.model, version)
    if not made.gates_passed:
        raise Refused(f"version {version} of {made.model} did not pass its gates; it stays there")
    registration = Registration(
        model=made.model,
        artifact=source.fetch(made.model, version, folder),
        data_digest=made.data_digest,
        code_version="",
        gates=made.gates,
        metrics=made.metrics,
        parameters={"carried_from_version": version},
        reference=made.reference,
    )
    return target.register(registration, key=made.run_key)


def _holder(registry: Registry, name: str, alias: str) -> str:
    found = registry.by_alias(name, alias)
    return found.version if found else ""
