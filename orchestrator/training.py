"""A training run that a person or a delivery pipeline asks for, outside any incident."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tools.data_files import content_digest
from tools.errors import Refused
from tools.managed_model import ManagedModel
from tools.pipeline_runs import RunPhase, RunRequest, RunState
from tools.registry import CHALLENGER, CHAMPION, Registry
from tools.values import Value, digest

PIPELINE = "retrain"


class Trained(Value):
    """How a training run ended, as the registry knows it."""

    key: str
    phase: RunPhase
    version: str = ""
    """Registered by this run; empty: none."""
    alias: str = ""
    """What the version was registered as; empty while another challenger is to be decided first."""
    reason: str = ""
    """Why there is no version, or no alias."""

    @property
    def is_good(self) -> bool:
        """A version passed its gates and bears its alias."""
        return bool(self.version and self.alias)


def training_request(
    model: ManagedModel,
    registry: Registry,
    data: str,
    *,
    artifacts: Path,
    told: dict[str, Any],
    code_version: str = "",
    is_first: bool = False,
) -> RunRequest:
    """The run: on ``data`` as it is now, against the champion of the registry.

    ``artifacts``: folder into which the champion is fetched; ``told``: what every run on this
    platform is told. Raises Refused where there is no champion and this is not to be the first, and
    the other way round: a champion is only ever displaced by proof.
    """
    name = model.spec.model
    champion = registry.by_alias(name, CHAMPION)
    if champion is None and not is_first:
        raise Refused(f"{name} has no champion to compare with; say --first to train the first one")
    if champion is not None and is_first:
        raise Refused(
            f"{name} has a champion already, version {champion.version}; without --first the new"
            " version becomes its challenger"
        )
    compared = {} if champion is None else _compared(registry, name, champion.version, artifacts)
    arguments = {
        **told,
        "data_uri": data,
        "data_digest": content_digest(data),
        "spec": model.spec.model_dump(mode="json", by_alias=True),
        "alias": CHAMPION if champion is None else CHALLENGER,
        "code_version": code_version,
        **compared,
    }
    return RunRequest(pipeline=PIPELINE, arguments=arguments)


def key_of(model: ManagedModel, request: RunRequest) -> str:
    """A key that says what the run is: the same data, code, document and champion give the same."""
    same = {
        k: v for k, v in request.arguments.items() if k not in ("data_uri", "champion_artifact")
    }
    return f"train-{model.metadata.name}-{digest(same)[:16]}"


def trained(model: ManagedModel, registry: Registry, state: RunState) -> Trained:
    """What became of the run. The registry is asked: a run's own word is not enough."""
    found = Trained(key=state.key, phase=state.phase, reason=state.reason)
    if state.phase is not RunPhase.SUCCEEDED:
        return found
    made = registry.by_run(model.spec.model, state.key)
    if made is None or not made.gates_passed:
        refused = "; ".join(state.outputs.get("refused", [])) or "no version was registered"
        return found.model_copy(update={"reason": f"the gates refused it: {refused}"})
    alias = next((a for a in (CHAMPION, CHALLENGER) if a in made.aliases), "")
    waiting = "" if alias else "another challenger is to be decided first"
    return found.model_copy(update={"version": made.version, "alias": alias, "reason": waiting})


def _compared(registry: Registry, name: str, version: str, artifacts: Path) -> dict[str, str]:
    folder = registry.fetch(name, version, artifacts)
    return {
        "champion_artifact": str(folder),
        "champion_digest": registry.get(name, version).artifact_digest,
    }
