"""Which pipelines there are, by the name under which runs are submitted."""

from __future__ import annotations

from collections.abc import Mapping

PIPELINES: Mapping[str, str] = {"retrain": "pipelines.retrain:retrain"}
"""Name to ``module:attribute`` of the Kubeflow definition."""

SCHEDULED: Mapping[str, str] = {"check_data": "pipelines.check:check_data"}
"""Those that may run by Kubeflow's clock: they change nothing that anybody is served."""
