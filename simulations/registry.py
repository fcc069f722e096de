"""Model registry in memory: versions with their artifacts' bytes, for rehearsals and tests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from simulations.faults import Fault, exposed, no_fault
from tools.artifact import artifact_digest
from tools.clock import Clock
from tools.errors import Invalid, Refused
from tools.registry import Fence, ModelVersion, Registration


@dataclass
class _Model:
    versions: dict[str, ModelVersion] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    """Target to the highest fencing token that was shown."""


class MemoryRegistry:
    """Implements Registry for all controllers of one simulated world."""

    def __init__(self, clock: Clock, *, fault: Fault = no_fault) -> None:
        self.artifacts: dict[tuple[str, str], dict[str, bytes]] = {}
        """Files of each (model, version); a test may damage them."""
        self._clock = clock
        self._fault = fault
        self._models: dict[str, _Model] = {}
        self._whole: dict[Path, dict[str, bytes]] = {}
        """What was written into a folder and then had the digest that it is called by."""

    def register(self, registration: Registration, *, key: str) -> ModelVersion:
        """See Registry."""
        if not key:
            raise Invalid("expected an idempotency key", field="key")
        with exposed(self._fault, "registry.register"):
            model = self._models.setdefault(registration.model, _Model())
            made = _of_run(model, key)
            if made is None:
                made = self._make(model, registration, key)
            return _with_aliases(model, made)

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """See Registry."""
        with exposed(self._fault, "registry.versions"):
            known = self._models.get(model, _Model())
            return tuple(_with_aliases(known, version) for version in known.versions.values())

    def get(self, model: str, version: str) -> ModelVersion:
        """See Registry."""
        with exposed(self._fault, "registry.get"):
            return self._get(model, version)

    def by_alias(self, model: str, alias: str) -> ModelVersion | None:
        """See Registry."""
        with exposed(self._fault, "registry.by_alias"):
            version = self._models.get(model, _Model()).aliases.get(alias)
            return None if version is None else self._get(model, version)

    def by_run(self, model: str, run_key: str) -> ModelVersion | None:
        """See Registry."""
        with exposed(self._fault, "registry.by_run"):
            known = self._models.get(model, _Model())
            made = _of_run(known, run_key)
            return None if made is None else _with_aliases(known, made)

    def claim(self, model: str, fence: Fence) -> None:
        """See Registry."""
        with exposed(self._fault, "registry.claim"):
            self._claim(model, fence)

    def set_alias(
        self, model: str, alias: str, version: str, *, key: str, fence: Fence | None = None
    ) -> None:
        """See Registry."""
        with exposed(self._fault, "registry.set_alias"):
            self._get(model, version)
            self._claim(model, fence)
            self._models[model].aliases[alias] = version

    def delete_alias(self, model: str, alias: str, *, key: str, fence: Fence | None = None) -> None:
        """See Registry."""
        with exposed(self._fault, "registry.delete_alias"):
            self._claim(model, fence)
            self._models.get(model, _Model()).aliases.pop(alias, None)

    def fetch(self, model: str, version: str, into: Path) -> Path:
        """See Registry; the folder is called by its digest."""
        with exposed(self._fault, "registry.fetch"):
            expected = self._get(model, version).artifact_digest
            folder = into / expected
            files = self.artifacts[(model, version)]
            if _is_copy(folder, files) and self._whole.get(folder) == files:
                return folder
            for name, content in files.items():
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            if not folder.is_dir() or artifact_digest(folder) != expected:
                raise Refused(f"the artifact of {model} version {version} was changed")
            self._whole[folder] = dict(files)
            return folder

    def _make(self, model: _Model, registration: Registration, key: str) -> ModelVersion:
        number = str(len(model.versions) + 1)
        folder = registration.artifact
        made = ModelVersion(
            model=registration.model,
            version=number,
            artifact_digest=artifact_digest(folder),
            data_digest=registration.data_digest,
            run_key=key,
            gates=registration.gates,
            metrics=registration.metrics,
            reference=registration.reference,
            aliases=(),
            created_at=self._clock.now().isoformat(),
        )
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        self.artifacts[(registration.model, number)] = {
            path.relative_to(folder).as_posix(): path.read_bytes() for path in files
        }
        model.versions[number] = made
        return made

    def _claim(self, model: str, fence: Fence | None) -> None:
        if fence is None or model not in self._models:
            return
        tokens = self._models[model].tokens
        newest = tokens.get(fence.target, 0)
        if fence.token < newest:
            raise Refused(
                f"the aliases of {model} belong to the owner of {fence.target} with fencing token "
                f"{newest}; a write with token {fence.token} came too late"
            )
        tokens[fence.target] = fence.token

    def _get(self, model: str, version: str) -> ModelVersion:
        known = self._models.get(model, _Model())
        if version not in known.versions:
            raise Invalid(f"there is no version {version} of {model}")
        return _with_aliases(known, known.versions[version])


def _is_copy(folder: Path, files: dict[str, bytes]) -> bool:
    try:
        return all((folder / name).read_bytes() == content for name, content in files.items())
    except OSError:
        return False


def _of_run(model: _Model, key: str) -> ModelVersion | None:
    return next((each for each in model.versions.values() if each.run_key == key), None)


def _with_aliases(model: _Model, made: ModelVersion) -> ModelVersion:
    carried = sorted(alias for alias, version in model.aliases.items() if version == made.version)
    return made.model_copy(update={"aliases": tuple(carried)})
