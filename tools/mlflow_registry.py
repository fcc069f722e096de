"""Registry on MLflow: a tracking server, or a SQLite file without one.

Everything that mendloop knows of a version is one JSON document in the run's artifacts
(``mendloop/version.json``, checked against the digest in the version's tags), because tags are
limited in length and references are not. Tags carry what people and searches need. Versions never
change, so a document is read once per process; aliases are read every time.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tools.artifact import artifact_digest
from tools.errors import Invalid, Refused
from tools.mlflow_connection import MlflowConnection
from tools.mlflow_fencing import claim, confirm
from tools.mlflow_http import MlflowAccess
from tools.mlflow_making import (
    DOCUMENT,
    DOCUMENT_DIGEST,
    MODEL_FOLDER,
    RUN_KEY,
    make_version,
)
from tools.mlflow_rights import missing_alias_rights
from tools.mlflow_searches import (
    carriers,
    ensure_model,
    find_model,
    get_version,
    quoted,
    registered_models,
    search_versions,
)
from tools.registry import Fence, ModelVersion, Registration
from tools.values import digest
from tools.version_document import FOREIGN, VersionDocument, document_of

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion as MlflowVersion
    from mlflow.entities.model_registry import RegisteredModel
    from mlflow.tracking import MlflowClient


class MlflowRegistry:
    """Implements FleetRegistry."""

    def __init__(
        self, tracking_uri: str, artifact_root: str | Path, *, access: MlflowAccess | None = None
    ) -> None:
        """``artifact_root`` (folder or URI) takes the artifacts of a registry used first by us;
        empty: a server takes them and passes them on."""
        self._mlflow = MlflowConnection(tracking_uri, str(artifact_root), access)
        self._documents: dict[tuple[str, str], VersionDocument] = {}
        self._read: dict[tuple[str, int, str], MlflowVersion] = {}
        """Versions that carry an alias, by model, when that was made, and number."""

    def register(self, registration: Registration, *, key: str) -> ModelVersion:
        """See Registry."""
        if not key:
            raise Invalid("expected an idempotency key", field="key")
        document = document_of(registration)
        with (
            self._mlflow.translated(f"register a version of {registration.model}"),
            self._mlflow.writing(),
        ):
            client = self._mlflow.client()
            found = self._of_run(client, registration.model, key)
            if found is None:
                ensure_model(client, registration.model)
                experiment = self._mlflow.experiment(client)
                found = make_version(client, experiment, registration, document, key)
            return self._version(client, found)

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """See Registry."""
        with self._mlflow.translated(f"list the versions of {model}"):
            client = self._mlflow.client()
            found = search_versions(client, f"name = '{quoted(model)}'")
            aliases = self._aliases(client, model) if found else {}
            return tuple(self._version(client, each, aliases) for each in found)

    def get(self, model: str, version: str) -> ModelVersion:
        """See Registry."""
        with self._mlflow.translated(f"read version {version} of {model}"):
            client = self._mlflow.client()
            return self._version(client, get_version(client, model, version))

    def by_alias(self, model: str, alias: str) -> ModelVersion | None:
        """See Registry."""
        with self._mlflow.translated(f"read alias {alias} of {model}"):
            client = self._mlflow.client()
            aliases = self._aliases(client, model)
            version = aliases.get(alias)
            if version is None:
                return None
            return self._version(client, get_version(client, model, version), aliases)

    def aliased(self, models: Collection[str]) -> Mapping[str, Mapping[str, ModelVersion]]:
        """See FleetRegistry. Versions do not change: each is read once, aliases each time."""
        wanted = set(models)
        with self._mlflow.translated("list the registered models"):
            client = self._mlflow.client()
            return {
                each.name: self._carriers(client, each)
                for each in registered_models(client)
                if each.name in wanted
            }

    def _carriers(self, client: MlflowClient, found: RegisteredModel) -> dict[str, ModelVersion]:
        aliases, versions = carriers(found), {}
        for alias, version in aliases.items():
            place = (found.name, found.creation_timestamp, version)
            if place not in self._read:
                self._read[place] = get_version(client, found.name, version)
            versions[alias] = self._version(client, self._read[place], aliases)
        return versions

    def by_run(self, model: str, run_key: str) -> ModelVersion | None:
        """See Registry."""
        with self._mlflow.translated(f"look for run {run_key} of {model}"):
            client = self._mlflow.client()
            found = self._of_run(client, model, run_key)
            return None if found is None else self._version(client, found)

    def claim(self, model: str, fence: Fence) -> None:
        """See Registry."""
        with self._mlflow.translated(f"claim {model}"), self._mlflow.writing():
            client = self._mlflow.client()
            found = find_model(client, model)
            if found is not None:
                claim(client, model, fence, found.tags)

    def set_alias(
        self, model: str, alias: str, version: str, *, key: str, fence: Fence | None = None
    ) -> None:
        """See Registry."""
        what = f"set alias {alias} of {model} to {version}"
        with self._mlflow.translated(what), self._mlflow.writing():
            client = self._mlflow.client()
            get_version(client, model, version)  # MLflow sets aliases to missing versions
            carried = self._claimed(client, model, fence)
            if carried.get(alias) != version:
                client.set_model_version_tag(model, version, f"mendloop.alias.{alias}.key", key)
                client.set_registered_model_alias(model, alias, version)
            self._confirmed(client, model, fence, what)

    def delete_alias(self, model: str, alias: str, *, key: str, fence: Fence | None = None) -> None:
        """See Registry."""
        what = f"remove alias {alias} of {model}"
        with self._mlflow.translated(what), self._mlflow.writing():
            client = self._mlflow.client()
            version = self._claimed(client, model, fence).get(alias)
            if version is not None:
                client.set_model_version_tag(model, version, f"mendloop.alias.{alias}.key", key)
                client.delete_registered_model_alias(model, alias)
            self._confirmed(client, model, fence, what)

    def missing_rights(self, model: str) -> tuple[str, ...]:
        """What the account may not do with the model's aliases, and how to grant it; empty: it may.

        Changes nothing. Raises Unavailable when the registry does not say.
        """
        with self._mlflow.translated(f"ask for the rights on {model}"):
            client = self._mlflow.client()
            if not self._mlflow.is_server:
                with self._mlflow.writing():
                    return ()
            return missing_alias_rights(client, model, self._mlflow.account)

    def fetch(self, model: str, version: str, into: Path) -> Path:
        """See Registry; the folder is called by its digest."""
        expected = self.get(model, version).artifact_digest
        if not expected:
            raise Refused(f"{model} version {version} was not registered by mendloop")
        folder = into / expected
        if folder.is_dir() and artifact_digest(folder) == expected:
            return folder
        with self._mlflow.translated(f"fetch the artifact of version {version} of {model}"):
            client = self._mlflow.client()
            run_id = get_version(client, model, version).run_id or ""
            if not client.list_artifacts(run_id, MODEL_FOLDER):
                raise Refused(f"the artifact of {model} version {version} is missing")
            into.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=into, prefix=".fetching-") as beside:
                fetched = Path(client.download_artifacts(run_id, MODEL_FOLDER, beside))
                actual = artifact_digest(fetched)
                if actual != expected:
                    raise Refused(
                        f"the artifact of {model} version {version} has digest {actual}, the "
                        f"registry says {expected}: it was changed; do not serve it"
                    )
                shutil.rmtree(folder, ignore_errors=True)
                fetched.rename(folder)
        return folder

    def _of_run(self, client: MlflowClient, model: str, key: str) -> MlflowVersion | None:
        query = f"name = '{quoted(model)}' and tags.`{RUN_KEY}` = '{quoted(key)}'"
        found = search_versions(client, query)
        return found[0] if found else None

    def _version(
        self, client: MlflowClient, found: MlflowVersion, aliases: dict[str, str] | None = None
    ) -> ModelVersion:
        name, version = found.name, str(found.version)
        carried = self._aliases(client, name) if aliases is None else aliases
        created = datetime.fromtimestamp(found.creation_timestamp / 1000, UTC)
        document = self._document(client, found)
        return ModelVersion(
            model=name,
            version=version,
            artifact_digest=document.artifact_digest,
            data_digest=document.data_digest,
            run_key=found.tags.get(RUN_KEY, ""),
            gates=document.gates,
            metrics=document.metrics,
            reference=document.reference,
            aliases=tuple(sorted(a for a, carrier in carried.items() if carrier == version)),
            created_at=created.isoformat(),
        )

    def _document(self, client: MlflowClient, found: MlflowVersion) -> VersionDocument:
        expected = found.tags.get(DOCUMENT_DIGEST)
        if expected is None:
            return FOREIGN
        place = (found.name, str(found.version))
        if place not in self._documents:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(client.download_artifacts(found.run_id or "", DOCUMENT, folder))
                content = json.loads(path.read_text(encoding="utf-8"))
            if digest(content) != expected:
                raise Refused(
                    f"{DOCUMENT} of {found.name} version {found.version} was changed after it "
                    "was registered; retire that version"
                )
            self._documents[place] = VersionDocument.model_validate(content)
        return self._documents[place]

    def _aliases(self, client: MlflowClient, model: str) -> dict[str, str]:
        found = find_model(client, model)
        return {} if found is None else carriers(found)

    def _claimed(self, client: MlflowClient, model: str, fence: Fence | None) -> dict[str, str]:
        """Alias to version, of a model whose owner has shown its token."""
        found = find_model(client, model)
        if found is None:
            return {}
        if fence is not None:
            claim(client, model, fence, found.tags)
        return carriers(found)

    def _confirmed(self, client: MlflowClient, model: str, fence: Fence | None, what: str) -> None:
        found = find_model(client, model) if fence is not None else None
        if fence is not None and found is not None:
            confirm(model, fence, found.tags, f"the write {what!r}")
