"""Where the embedded platform keeps its things: one folder, its paths by name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tools.errors import Invalid


@dataclass(frozen=True)
class Home:
    """The home directory; nothing is made before ``prepare``."""

    root: Path

    def prepare(self) -> Home:
        """Make the folder. Raises Invalid when it cannot be made or written to."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Invalid(
                f"cannot make the home directory {self.root}: {error.strerror}; choose another"
            ) from error
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise Invalid(
                f"the home directory {self.root} is not writable; change its rights or choose "
                "another"
            )
        return self

    @property
    def journal(self) -> Path:
        """The journal's database."""
        return self.root / "mendloop.db"

    @property
    def checkpoints(self) -> Path:
        """LangGraph's checkpoints of open incidents."""
        return self.root / "checkpoints.db"

    @property
    def leases(self) -> Path:
        return self.root / "leases"

    @property
    def policies(self) -> Path:
        """Rules that operators add: ``*.yaml``, followed while the controller runs."""
        return self.root / "policies"

    @property
    def routes(self) -> Path:
        """VirtualService documents, ``<namespace>.<name>.json``."""
        return self.root / "routes"

    @property
    def envoy(self) -> Path:
        """Envoy's bootstrap, rendered routes and clusters, ports, log and process record."""
        return self.root / "envoy"

    @property
    def servers(self) -> Path:
        """One folder per server: ``<namespace>/<name>/<version>``."""
        return self.root / "servers"

    @property
    def predictions(self) -> Path:
        """Parquet parts of the prediction log, ``<namespace>/<name>/``."""
        return self.root / "predictions"

    @property
    def labels(self) -> Path:
        """Parquet parts of the labels, ``<namespace>/<name>/``."""
        return self.root / "labels"

    @property
    def mlflow(self) -> Path:
        """MLflow's database and artifacts."""
        return self.root / "mlflow"

    @property
    def runs(self) -> Path:
        """Pipeline runs, one folder per key."""
        return self.root / "runs"

    @property
    def pins(self) -> Path:
        """Training data pinned by its digest."""
        return self.root / "pins"

    @property
    def artifacts(self) -> Path:
        """Fetched model artifacts, ``<sha256>/``."""
        return self.root / "artifacts"
