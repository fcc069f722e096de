"""Follows the server's configuration file, like a mounted ConfigMap: whole changes or none."""

from __future__ import annotations

from pathlib import Path

import structlog
from pydantic import ValidationError

from tools.schema import FeatureSchema
from tools.workloads import ServingConfig

log = structlog.get_logger(__name__)

POLL_S = 0.25


class ConfigFile:
    """The configuration in force, and what is wrong with the file if anything is.

    A file that is missing, malformed or masks a column that the model does not have leaves the
    former configuration in force (at the start: the default) and is reported as ``problem``.
    """

    def __init__(self, path: Path | None, schema: FeatureSchema) -> None:
        self._path = path
        self._columns = frozenset(schema.names)
        self._seen: tuple[int, int, int] | None = None
        self.current = ServingConfig()
        self.problem = ""
        self.poll()

    def poll(self) -> None:
        """Read the file again if it changed."""
        if self._path is None:
            return
        try:
            status = self._path.stat()
            signature = (status.st_mtime_ns, status.st_size, status.st_ino)
            if signature == self._seen:
                return
            text = self._path.read_text(encoding="utf-8")
        except OSError as error:
            self._seen = None
            self._report(f"cannot read {self._path}: {error.strerror}")
            return
        except UnicodeDecodeError:
            self._seen = signature
            self._report(f"{self._path} is not UTF-8 text")
            return
        self._seen = signature
        self._apply(text)

    def _apply(self, text: str) -> None:
        try:
            config = ServingConfig.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "(document)"
            self._report(f"{self._path}: {field}: {first['msg']}")
            return
        unknown = sorted(set(config.masked) - self._columns)
        if unknown:
            self._report(f"{self._path}: masked: the model has no column {', '.join(unknown)}")
            return
        self.problem = ""
        if config != self.current:
            log.info("config.applied", masked=config.masked)
        self.current = config

    def _report(self, problem: str) -> None:
        if problem != self.problem:
            log.error("config.refused", reason=problem)
        self.problem = problem
