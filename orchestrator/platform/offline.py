"""What work beside the controller needs of an installation: a version's artifact, and the log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from infra.embedded.home import Home
from orchestrator.assembly import embedded_registry
from orchestrator.platform.delivery import registry_from
from orchestrator.platform.prediction_logs import log_folders, log_url
from tools.errors import Invalid
from tools.log_parts import target_folder
from tools.postgres_errors import is_postgres
from tools.registry import CHAMPION, ModelVersion, Registry

if TYPE_CHECKING:
    from orchestrator.platform.document import PlatformSpec


class Fetched(NamedTuple):
    """A registered version and its artifact, whose digest was checked."""

    registered: ModelVersion
    folder: Path


def fetched(home: Path, spec: PlatformSpec | None, model: str, version: str) -> Fetched:
    """Bring a version (a number, or ``champion``) here; ``spec`` instead of ``home`` where given.

    Raises Invalid where there is none, Refused when the artifact is not the registered one.
    """
    registry = _registry(home, spec)
    if version == CHAMPION:
        found = registry.by_alias(model, CHAMPION)
        if found is None:
            raise Invalid(
                f"{model} has no champion; promote a version, or name one of the registry's"
                " by --version"
            )
    else:
        found = registry.get(model, version)
    into = Home(home if spec is None else spec.home).artifacts
    return Fetched(found, registry.fetch(model, found.version, into))


def log_place(home: Path, spec: PlatformSpec | None, target: str) -> Path | str:
    """Where predictions of ``target`` are appended: a folder, or a database's URL."""
    database = None if spec is None else spec.prediction_log.database
    if database is not None and not is_postgres(database.url):
        raise Invalid(
            f"rows are appended to PostgreSQL or Parquet folders, not to {database.url}; score"
            " with --no-log",
            field="predictionLog.database.url",
        )
    url = log_url(spec)
    if url is not None:
        return url
    served, _ = log_folders(Home(home if spec is None else spec.home), spec)
    return target_folder(served, target)


def _registry(home: Path, spec: PlatformSpec | None) -> Registry:
    if spec is not None:
        return registry_from(spec)
    if not home.is_dir():
        raise Invalid(
            f"there is no home folder {home}; say --home DIR, set MENDLOOP_HOME, or name a Platform"
            " document by --config"
        )
    return embedded_registry(Home(home))
