"""Adapter of the PipelineRuns port for Kubeflow Pipelines on a cluster.

The API makes a new run at every call, so a run is named by its idempotency key and looked for
before it is made. Should two of one name appear (an answer that came late), the oldest is the run
and the others are ended. A run says by a digest in its description which request it stands for.
Results are what the pipeline wrote into the run's own output folder: the API tells states, not
values. Steps are never taken from Kubeflow's cache: whether data is the same is decided by digest.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tools.errors import Invalid, Unavailable, Uncertain
from tools.kubeflow_api import KubeflowApi
from tools.pipeline_runs import RunPhase, RunRequest, RunState
from tools.run_inputs import within_reach
from tools.values import canonical_json, digest

EXPERIMENT = "mendloop"
_REQUEST = re.compile(r"request sha256:([0-9a-f]{64})")
_OPEN = {"PENDING", "RUNNING", "PAUSED", "CANCELING", "RUNTIME_STATE_UNSPECIFIED", None}
_SETUP_STEPS = re.compile(r"^(root|condition-.*|exit-handler-.*|.*-driver|summarize)$")
"""Tasks of the graph that are no step of the work."""


class Kubeflow:
    """Implements PipelineRuns."""

    def __init__(
        self,
        api: KubeflowApi,
        pipelines: Mapping[str, str],
        *,
        outputs_root: str,
        experiment: str = EXPERIMENT,
        image: str = "",
    ) -> None:
        """``pipelines`` maps names to ``module:attribute`` of Kubeflow definitions.

        ``outputs_root``: folder or fsspec URL that the pipeline's steps and this process reach.
        ``image``: what the steps run in, pinned by digest in production; empty: as defined.
        """
        self._api = api
        self._pipelines = dict(pipelines)
        self._outputs_root = outputs_root.rstrip("/")
        self._experiment, self._image = experiment, image
        self._experiment_id = ""

    def submit(self, request: RunRequest, *, key: str) -> RunState:
        """See PipelineRuns. Uncertain when the answer was lost: submit again, it looks first."""
        definition = self._definition(request.pipeline)
        if not key:
            raise Invalid("expected an idempotency key", field="key")
        wanted = digest(request.model_dump(mode="json"))
        runs = self._runs(key)
        if not runs:
            spec = compiled(definition, image=self._image)
            given = {"run_key": key, "output_dir": self._folder(key)}
            inputs = within_reach(request.arguments, f"{self._folder(key)}/inputs")
            self._api.start(
                name=key,
                description=f"made by mendloop; request sha256:{wanted}",
                experiment=self._place(),
                version=self._api.version(f"mendloop-{request.pipeline}", spec, digest(spec)),
                arguments=_worded(spec, {**_accepted(spec, given), **inputs}),
            )
            runs = self._runs(key)
            if not runs:
                raise Uncertain(f"run {key} was accepted and is not listed yet; look again")
        found = _REQUEST.search(runs[0].description or "")
        if found is None or found[1] != wanted:
            raise Invalid(f"key {key!r} was used for another request", field="key")
        return self._state(key, runs[0])

    def read(self, key: str) -> RunState:
        """See PipelineRuns."""
        runs = self._runs(key)
        return self._state(key, runs[0]) if runs else RunState(key=key, phase=RunPhase.ABSENT)

    def cancel(self, key: str) -> RunState:
        """See PipelineRuns."""
        for run in self._runs(key):
            if run.state in _OPEN and run.state != "CANCELING":
                self._api.terminate(run.run_id)
        return self.read(key)

    def _runs(self, key: str) -> list[Any]:
        """The key's run; later ones of the same name are ended and left out."""
        first, *doubles = self._api.runs(self._place(), key) or [None]
        for run in doubles:
            if run.state in _OPEN and run.state != "CANCELING":
                self._api.terminate(run.run_id)
        return [] if first is None else [first]

    def _state(self, key: str, run: Any) -> RunState:
        tasks = sorted(_tasks(run), key=lambda task: str(task.start_time or ""))
        done = tuple(t.display_name for t in tasks if t.state == "SUCCEEDED")
        failed = next((t for t in tasks if t.state == "FAILED"), None)
        working = next((t for t in reversed(tasks) if t.state in ("RUNNING", "PENDING")), None)
        phase = _phase(run)
        step = (failed or working) if phase is not RunPhase.SUCCEEDED else None
        has_outputs = phase in (RunPhase.SUCCEEDED, RunPhase.FAILED)
        return RunState(
            key=key,
            phase=phase,
            step=step.display_name if step else "",
            steps_done=done,
            outputs=self._outputs(key, needed=phase is RunPhase.SUCCEEDED) if has_outputs else {},
            reason=_reason(run, phase, failed),
            seconds=_seconds(run),
        )

    def _outputs(self, key: str, *, needed: bool) -> dict[str, Any]:
        import fsspec

        path = f"{self._folder(key)}/outputs.json"
        try:
            with fsspec.open(path, "rt", encoding="utf-8") as file:
                found = json.load(file)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            if not needed:
                return {}
            raise Unavailable(f"cannot read what run {key} reported in {path}: {error}") from error
        return dict(found)

    def _folder(self, key: str) -> str:
        return f"{self._outputs_root}/{re.sub(r'[^A-Za-z0-9._-]', '-', key)}-{digest(key)[:8]}"

    def _place(self) -> str:
        if not self._experiment_id:
            self._experiment_id = self._api.experiment(self._experiment)
        return self._experiment_id

    def _definition(self, pipeline: str) -> str:
        if pipeline not in self._pipelines:
            known = ", ".join(sorted(self._pipelines))
            raise Invalid(
                f"there is no pipeline {pipeline!r}; expected one of {known}", field="pipeline"
            )
        return self._pipelines[pipeline]


def compiled(definition: str, *, image: str = "") -> dict[str, Any]:
    """The intermediate representation of a pipeline, with every step's cache off.

    ``image`` takes the place of those that the components name: a registry is the cluster's affair.
    """
    module, _, attribute = definition.partition(":")
    pipeline = getattr(importlib.import_module(module), attribute)
    spec: dict[str, Any] = json.loads(json.dumps(_as_json(pipeline.pipeline_spec)))
    for dag in [spec["root"], *spec.get("components", {}).values()]:
        for task in dag.get("dag", {}).get("tasks", {}).values():
            task["cachingOptions"] = {}
    if image:
        for executor in spec.get("deploymentSpec", {}).get("executors", {}).values():
            if "container" in executor:
                executor["container"]["image"] = image
    return spec


def _as_json(message: Any) -> Any:
    from google.protobuf.json_format import MessageToDict

    return MessageToDict(message)


def _accepted(spec: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Of the arguments that every run is given, those that this pipeline takes."""
    taken = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    return {name: value for name, value in given.items() if name in taken}


def _worded(spec: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """``arguments``, objects for parameters of text as JSON: the API refuses them otherwise."""
    taken = spec["root"].get("inputDefinitions", {}).get("parameters", {})
    return {
        name: canonical_json(value)
        if isinstance(value, (dict, list)) and taken.get(name, {}).get("parameterType") == "STRING"
        else value
        for name, value in arguments.items()
    }


def _phase(run: Any) -> RunPhase:
    match run.state:
        case "SUCCEEDED" | "SKIPPED":
            return RunPhase.SUCCEEDED
        case "FAILED":
            return RunPhase.LOST if _is_lost(run) else RunPhase.FAILED
        case "CANCELED":
            return RunPhase.CANCELLED
        case _:
            return RunPhase.RUNNING


def _is_lost(run: Any) -> bool:
    """Failed although no step did: the workflow, its node or its pods went away."""
    return not any(task.state == "FAILED" for task in _tasks(run))


def _tasks(run: Any) -> list[Any]:
    details = run.run_details.task_details if run.run_details else None
    return [t for t in details or [] if not _SETUP_STEPS.match(t.display_name or "root")]


def _reason(run: Any, phase: RunPhase, failed: Any) -> str:
    said = run.error.message if run.error else ""
    match phase:
        case RunPhase.FAILED:
            told = failed.error.message if failed is not None and failed.error else said
            return f"step {failed.display_name} failed: {told or 'no reason given'}"
        case RunPhase.LOST:
            return f"the run ended without a result: {said or 'its pods are gone'}"
        case RunPhase.CANCELLED:
            return "cancelled on request"
        case _:
            return ""


def _seconds(run: Any) -> float:
    begun, ended = run.created_at, run.finished_at
    is_over = isinstance(begun, datetime) and isinstance(ended, datetime) and ended >= begun
    return (ended - begun).total_seconds() if is_over else 0.0
