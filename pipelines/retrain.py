"""The Kubeflow pipeline ``retrain``: from pinned data to a gated version in the registry.

ingest -> validate -> features -> train -> evaluate -> gate -> register (only when every gate
passed), and at the end, whatever happened, summarize. The very first champion is made by it too,
without a champion to compare with and with ``alias="champion"``.
"""

# No `from __future__ import annotations` here: Kubeflow reads the annotations as types.

from collections.abc import Callable
from typing import Any

from kfp import dsl

from pipelines import components
from pipelines.steps.gate import PASSED

_pipeline: Callable[[Callable[..., Any]], Callable[..., Any]] = dsl.pipeline(name="retrain")


@_pipeline
def retrain(
    data_uri: str,
    data_digest: str,
    spec: str,
    tracking_uri: str,
    artifact_root: str,
    run_key: str,
    output_dir: str,
    champion_artifact: str = "",
    champion_digest: str = "",
    alias: str = "challenger",
    changed_at: str = "",
    model_step: str = "",
    seed: int = 0,
    code_version: str = "",
) -> None:
    """Retrain on the pinned data; ``spec`` is the ``spec`` of a ManagedModel as JSON text
    (Kubeflow's own structs know no null and turn integers into floats).

    ``run_key`` is the run's idempotency key and ``output_dir`` a folder of this run that every step
    can reach; the local runner fills in both. ``champion_artifact`` is a folder, empty for none.
    ``changed_at`` is the event time since which the champion is wrong, where that is known.
    """
    finish = components.summarize(output_dir=output_dir)
    with dsl.ExitHandler(finish):
        ingested = components.ingest(
            uri=data_uri, digest=data_digest, spec=spec, output_dir=output_dir
        )
        rows = ingested.outputs["rows"]
        validated = components.validate(rows=rows, spec=spec, output_dir=output_dir)
        prepared = components.features(rows=rows, spec=spec, output_dir=output_dir)
        prepared.after(validated)
        plan = prepared.outputs["plan"]
        trained = components.train(
            rows=rows,
            inputs=prepared.outputs["inputs"],
            plan=plan,
            spec=spec,
            output_dir=output_dir,
            model_step=model_step,
            seed=seed,
            changed_at=changed_at,
        )
        artifact = trained.outputs["artifact"]
        evaluated = components.evaluate(
            rows=rows,
            plan=plan,
            artifact=artifact,
            spec=spec,
            output_dir=output_dir,
            champion_artifact=champion_artifact,
            champion_digest=champion_digest,
        )
        scored = evaluated.outputs["scored"]
        judged = components.gate(scored=scored, spec=spec, output_dir=output_dir)
        with dsl.If(judged.outputs["Output"] == PASSED):
            registered = components.register(
                artifact=artifact,
                scored=scored,
                ingested=ingested.outputs["report"],
                validated=validated.outputs["report"],
                plan=plan,
                search=trained.outputs["report"],
                evaluated=evaluated.outputs["report"],
                gates=judged.outputs["report"],
                spec=spec,
                tracking_uri=tracking_uri,
                artifact_root=artifact_root,
                run_key=run_key,
                alias=alias,
                code_version=code_version,
                output_dir=output_dir,
            )
            # The only step that talks to another service; it is idempotent by run_key.
            registered.set_retry(num_retries=2, backoff_duration="1s", backoff_factor=2.0)
