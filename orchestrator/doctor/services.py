"""The servers beside the cluster: registry, pipelines, metrics, databases."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from orchestrator.database import schema_state
from orchestrator.doctor.check import Check, Finding
from tools.errors import Invalid, MendloopError
from tools.kubeflow_api import KubeflowApi
from tools.managed_model import ManagedModel
from tools.metrics import Metrics, NoReading
from tools.mlflow_registry import MlflowRegistry
from tools.postgres import Database
from tools.prediction_log import PredictionLog
from tools.registry import CHAMPION


class Registry(Check):
    """Whether MLflow answers, knows the models, and lets their aliases be moved."""

    about = "registry"

    def __init__(self, open_registry: Callable[[], MlflowRegistry], models: Collection[str]):
        """``open_registry`` may take seconds: MLflow is imported by its first call."""
        self._open, self._models = open_registry, models

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        registry = self._open()
        if not self._models:
            registry.versions("no-model")
            yield self.ok("answers; no model is managed yet")
        for model in sorted(set(self._models)):
            yield from self._of(registry, model)

    def _of(self, registry: MlflowRegistry, model: str) -> Iterable[Finding]:
        try:
            champion = registry.by_alias(model, CHAMPION)
        except Invalid as error:
            yield self.missing(str(error), f"register a version of {model}")
            return
        if champion is None:
            yield self.missing(
                f"no version of {model} has the alias '{CHAMPION}'",
                f"give it to the version that serves now, in MLflow: models:/{model}@{CHAMPION}",
            )
            return
        rights = registry.missing_rights(model)
        for right in rights:
            yield self.missing(right)
        if not rights:
            yield self.ok(f"v{champion.version} of {model} is its champion; aliases may be moved")


class Pipelines(Check):
    """Whether the Kubeflow Pipelines API answers this account."""

    about = "pipelines"

    def __init__(self, api: KubeflowApi) -> None:
        self._api = api

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        self._api.look()
        yield self.ok("the Kubeflow Pipelines API answers, and lists runs for this account")


class Counters(Check):
    """Whether the requests of each model are counted."""

    about = "metrics"

    def __init__(self, open_metrics: Callable[[], Metrics], targets: Collection[str]) -> None:
        self._open, self._targets = open_metrics, targets

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        metrics = self._open()
        for target in sorted(self._targets):
            reading = metrics.read(target)
            if isinstance(reading, NoReading):
                yield self.missing(
                    reading.reason,
                    "does Prometheus answer, does it scrape Istio's proxies, does anybody call it?",
                )
                continue
            requests = sum(version.requests for version in reading.versions)
            yield self.ok(f"{target}: {requests} requests counted")
        if not self._targets:
            yield self.warning("no model is managed yet: there is nothing to count")


class JournalDatabase(Check):
    """Whether PostgreSQL answers and has the tables of this mendloop."""

    about = "journal"

    def __init__(self, open_database: Callable[[], Database]) -> None:
        """Opened in the check: its password may not be there."""
        self._open = open_database

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        database = self._open()
        state, name = schema_state(database), database.name
        if not state.known:
            yield self.missing(
                f"{name} was upgraded by a newer mendloop (version {state.version})",
                "use that version of mendloop, or go down with it first",
            )
        elif not state.version:
            yield self.warning(f"{name} answers and has no tables yet; the first start makes them")
        elif not state.is_current:
            yield self.warning(f"{name} has version {state.version}; the next start upgrades it")
        else:
            yield self.ok(f"{name} answers, its tables are current ({state.version})")


class Predictions(Check):
    """Whether predictions and labels of each model can be read."""

    about = "prediction log"

    def __init__(self, open_log: Callable[[], PredictionLog], models: Collection[ManagedModel]):
        self._open, self._models = open_log, models

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        log = self._open()
        for model in self._models:
            yield self._of(log, model.target)
        if not self._models:
            yield self.warning("no model is managed yet: there is nothing to read")

    def _of(self, log: PredictionLog, target: str) -> Finding:
        try:
            extent = log.extent(target)
        except MendloopError as error:
            return self.missing(f"{target}: {error}")
        if extent.watermark is None:
            return self.warning(f"{target}: nothing was predicted yet, or it is written elsewhere")
        return self.ok(f"{target}: predictions up to {extent.watermark.isoformat()}")
