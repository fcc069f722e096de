"""Adapter of the PipelineSchedules port: Kubeflow's recurring runs.

The API can neither make one twice the same nor change one, so a recurring run says by a digest in
its description what it stands for: it is looked for before it is made, one of another content is
ended first (a run left out is made up for by the next, one too many is not), and of two with one
name the older stands. What others switched off is switched on by making it anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tools.errors import Invalid, Uncertain
from tools.kubeflow import EXPERIMENT, compiled
from tools.kubeflow_api import KubeflowApi
from tools.pipeline_schedules import Schedule
from tools.values import digest

_CONTENT = re.compile(r"schedule sha256:([0-9a-f]{64})")


class KubeflowSchedules:
    """Implements PipelineSchedules."""

    def __init__(
        self,
        api: KubeflowApi,
        pipelines: Mapping[str, str],
        *,
        experiment: str = EXPERIMENT,
        image: str = "",
    ) -> None:
        """``pipelines`` maps names to ``module:attribute`` of Kubeflow definitions; ``image`` is
        what their steps run in, empty: what the components name."""
        self._api, self._pipelines, self._experiment = api, dict(pipelines), experiment
        self._image = image

    def ensure(self, schedule: Schedule) -> bool:
        """See PipelineSchedules."""
        definition = self._pipelines.get(schedule.pipeline)
        if definition is None:
            known = ", ".join(sorted(self._pipelines))
            raise Invalid(
                f"there is no pipeline {schedule.pipeline!r}; expected one of {known}",
                field="pipeline",
            )
        spec = compiled(definition, image=self._image)
        place, wanted = self._api.experiment(self._experiment), _content(schedule, spec)
        kept, superfluous = _sorted(self._api.recurring(place, schedule.name), wanted)
        for each in superfluous:
            self._api.end_recurring(each.recurring_run_id)
        if kept:
            return bool(superfluous)
        self._api.recur(
            name=schedule.name,
            description=f"kept by mendloop; schedule sha256:{wanted}",
            experiment=place,
            version=self._api.version(f"mendloop-{schedule.pipeline}", spec, digest(spec)),
            arguments=schedule.arguments,
            trigger=_trigger(schedule),
        )
        if not _sorted(self._api.recurring(place, schedule.name), wanted)[0]:
            raise Uncertain(f"schedule {schedule.name} was accepted and is not listed; look again")
        return True

    def remove(self, name: str) -> bool:
        """See PipelineSchedules."""
        found = self._api.recurring(self._api.experiment(self._experiment), name)
        for each in found:
            self._api.end_recurring(each.recurring_run_id)
        return bool(found)

    def is_kept(self, schedule: Schedule) -> bool:
        """See PipelineSchedules."""
        definition = self._pipelines.get(schedule.pipeline)
        if definition is None:
            return False
        found = self._api.recurring(self._api.experiment(self._experiment), schedule.name)
        kept, superfluous = _sorted(
            found, _content(schedule, compiled(definition, image=self._image))
        )
        return bool(kept) and not superfluous


def _sorted(found: list[Any], wanted: str) -> tuple[list[Any], list[Any]]:
    """The one that stands for ``wanted``, if any, and those that must go."""
    right = [each for each in found if _is_right(each, wanted)]
    return right[:1], [each for each in found if each not in right[:1]]


def _is_right(each: Any, wanted: str) -> bool:
    said = _CONTENT.search(each.description or "")
    return said is not None and said[1] == wanted and each.status in ("ENABLED", None)


def _content(schedule: Schedule, spec: dict[str, Any]) -> str:
    """The pipeline counts too: a new definition replaces what was scheduled with the old one."""
    return digest({"schedule": schedule.model_dump(mode="json"), "spec": spec})


def _trigger(schedule: Schedule) -> dict[str, Any]:
    from kfp_server_api import V2beta1CronSchedule, V2beta1PeriodicSchedule

    if schedule.cron:
        return {"cron_schedule": V2beta1CronSchedule(cron=f"0 {schedule.cron}")}  # with seconds
    every = V2beta1PeriodicSchedule(interval_second=str(schedule.every_s))
    return {"periodic_schedule": every}
