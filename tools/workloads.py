"""Port: the servers that answer for the versions of a model, one workload per version.

Every write carries an idempotency ``key`` (stamped on what it makes) and the fencing ``token`` of
the lease; a write with a token lower than the newest one seen for that target is Refused.
Adapters: ``tools/local_processes.py`` (server processes), ``tools/kubernetes_workloads.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from tools.errors import Refused
from tools.values import Value


class ServerPhase(StrEnum):
    """Where a server stands. FAILED needs a change to leave; ABSENT was never made or is gone."""

    ABSENT = "absent"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"


class ServingConfig(Value):
    """What a running server takes without a restart.

    ``masked`` columns are served as missing, so that the fitted imputer stands in for them; the
    prediction log still records what really arrived.
    """

    masked: tuple[str, ...] = ()


class ServerRequest(Value):
    """The server that should exist for one version of one target."""

    target: str
    version: str
    artifact: Path
    """Local folder of the model artifact, its digest already checked against the registry."""
    artifact_digest: str
    config: ServingConfig = ServingConfig()


class ServerState(Value):
    """What is true of a server now, as read from the server itself wherever possible."""

    target: str
    version: str
    phase: ServerPhase
    reason: str = ""
    """Why it is not READY, for people: exit code, last lines of its log, what it waits for."""
    address: str = ""
    """host:port of its HTTP endpoint; empty while ABSENT."""
    artifact_digest: str = ""
    config: ServingConfig = ServingConfig()
    """The configuration in force, as the server reports it."""
    restarts: int = 0
    key: str = ""
    """Idempotency key of the call that made it."""


class Workloads(Protocol):
    """Starts, reads, configures and stops the servers of a target."""

    def start(self, request: ServerRequest, *, key: str, token: int) -> ServerState:
        """Make the server exist; returns at once, usually STARTING.

        Idempotent: the same version with the same artifact digest is left as it is. Raises Refused
        on a stale token and Invalid when another artifact already serves under that version.
        """

    def read(self, target: str, version: str) -> ServerState:
        """State now. A crashed server is restarted by the adapter within its limit, then FAILED."""

    def servers(self, target: str) -> tuple[ServerState, ...]:
        """Every server of the target that is not ABSENT, ordered by version."""

    def configure(
        self, target: str, version: str, config: ServingConfig, *, key: str, token: int
    ) -> ServerState:
        """Hand a running server its configuration; it follows within seconds (read it back)."""

    def restart(self, target: str, version: str, *, key: str, token: int) -> ServerState:
        """Start the server anew with the same artifact; also leaves FAILED. Once per key."""

    def stop(self, target: str, version: str, *, key: str, token: int) -> ServerState:
        """Let requests in flight finish, flush the prediction log, end it. Idempotent.

        Refused while the version has a share of the traffic, and while it is the only one of the
        target that is READY: whatever comes next, there has to be something to go back to.
        """


def must_leave_one_ready(servers: Iterable[ServerState], version: str) -> None:
    """For adapters, before they stop ``version``; ``servers`` are all of the target.

    Raises Refused when no other one could answer.
    """
    ready = {server.version for server in servers if server.phase is ServerPhase.READY}
    if ready == {version}:
        raise Refused(
            f"v{version} is the only version whose server is ready: it stays up, with traffic or"
            " without; see that another one is ready first"
        )
