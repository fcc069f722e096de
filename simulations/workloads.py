"""Model servers in virtual time: they start, load, crash and stop without processes."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from simulations.faults import Fault, exposed, no_fault
from tools.clock import Clock
from tools.errors import Invalid, Refused
from tools.local_server import Endpoints
from tools.workloads import (
    ServerPhase,
    ServerRequest,
    ServerState,
    ServingConfig,
    must_leave_one_ready,
)


@dataclass
class _Server:
    request: ServerRequest
    key: str
    address: str
    started_s: float
    is_up: bool = True
    is_published: bool = False
    restart_due_s: float | None = None
    restart_key: str = ""
    restarts: int = 0
    crashes: int = 0
    failure: str = ""
    config: ServingConfig = field(default_factory=ServingConfig)


class MemoryWorkloads:
    """Implements Workloads for all controllers of one simulated world."""

    def __init__(
        self,
        clock: Clock,
        *,
        endpoints: Endpoints,
        load_s: float = 2.0,
        max_crashes: int = 3,
        backoff_s: float = 0.5,
        fault: Fault = no_fault,
    ) -> None:
        """``load_s``: from start to ready. Artifacts whose digest is in ``broken`` never load."""
        self.broken: set[str] = set()
        self._clock = clock
        self._endpoints = endpoints
        self._load_s = load_s
        self._max_crashes = max_crashes
        self._backoff_s = backoff_s
        self._fault = fault
        self._servers: dict[str, dict[str, _Server]] = defaultdict(dict)
        self._tokens: dict[str, int] = {}
        self._made = 0

    def start(self, request: ServerRequest, *, key: str, token: int) -> ServerState:
        """See Workloads."""
        with self._writing("start", request.target, token):
            server = self._servers[request.target].get(request.version)
            if server is None:
                self._made += 1
                server = _Server(request, key, f"server-{self._made}:80", self._now())
                server.config = request.config
                self._servers[request.target][request.version] = server
            elif server.request.artifact_digest != request.artifact_digest:
                raise Invalid(
                    f"v{request.version} serves artifact {server.request.artifact_digest}",
                    field="artifact_digest",
                )
            return self._advance(server)

    def read(self, target: str, version: str) -> ServerState:
        """See Workloads."""
        with exposed(self._fault, "workloads.read"):
            server = self._servers[target].get(version)
            return self._advance(server) if server else _absent(target, version)

    def servers(self, target: str) -> tuple[ServerState, ...]:
        """See Workloads."""
        with exposed(self._fault, "workloads.servers"):
            versions = sorted(self._servers[target], key=_natural)
            return tuple(self._advance(self._servers[target][v]) for v in versions)

    def configure(
        self, target: str, version: str, config: ServingConfig, *, key: str, token: int
    ) -> ServerState:
        """See Workloads; followed at once."""
        with self._writing("configure", target, token):
            server = self._existing(target, version)
            server.config = config
            return self._advance(server)

    def restart(self, target: str, version: str, *, key: str, token: int) -> ServerState:
        """See Workloads."""
        with self._writing("restart", target, token):
            server = self._existing(target, version)
            if server.restart_key != key:
                server.restart_key = key
                server.failure, server.crashes, server.restarts = "", 0, 0
                self._start(server)
            return self._advance(server)

    def stop(self, target: str, version: str, *, key: str, token: int) -> ServerState:
        """See Workloads."""
        with self._writing("stop", target, token):
            if version in self._servers[target]:
                standing = [self._advance(server) for server in self._servers[target].values()]
                must_leave_one_ready(standing, version)
                self._endpoints.withdraw(target, version)
                del self._servers[target][version]
            return _absent(target, version)

    def crash(self, target: str, version: str) -> None:
        """What the world may do to a server."""
        self._existing(target, version).is_up = False

    def vanish(self, target: str, version: str) -> None:
        """Gone without a trace, as a Deployment that somebody deleted."""
        self._existing(target, version)
        del self._servers[target][version]

    def begin_ready(self, target: str, version: str) -> None:
        """The server was there before the world began."""
        server = self._existing(target, version)
        server.started_s = -self._load_s
        self._advance(server)

    def answers(self, target: str, version: str) -> bool:
        """Whether the server would answer a request now."""
        server = self._servers[target].get(version)
        return server is not None and self._is_ready(server)

    def _advance(self, server: _Server) -> ServerState:
        if not server.is_up and not server.failure:
            self._after_crash(server)
        if server.failure:
            return _state(server, ServerPhase.FAILED, server.failure)
        if not server.is_up:
            return _state(server, ServerPhase.STARTING, "crashed, restarts soon")
        if not self._is_ready(server):
            return _state(server, ServerPhase.STARTING, "still loading")
        if not server.is_published:
            self._endpoints.publish(server.request.target, server.request.version, server.address)
            server.is_published = True
        return _state(server, ServerPhase.READY, "")

    def _after_crash(self, server: _Server) -> None:
        if server.restart_due_s is None:
            server.crashes += 1
            if server.crashes > self._max_crashes:
                server.failure = f"crashed {server.crashes} times in a row"
                return
            server.restart_due_s = self._now() + self._backoff_s * 2 ** (server.crashes - 1)
        if self._now() >= server.restart_due_s:
            server.restarts += 1
            self._start(server)

    def _start(self, server: _Server) -> None:
        server.is_up, server.restart_due_s, server.started_s = True, None, self._now()

    def _is_ready(self, server: _Server) -> bool:
        is_loaded = self._now() - server.started_s >= self._load_s
        return server.is_up and is_loaded and server.request.artifact_digest not in self.broken

    def _existing(self, target: str, version: str) -> _Server:
        if version not in self._servers[target]:
            raise Invalid(f"v{version} of {target} has no server; start it first", field="version")
        return self._servers[target][version]

    @contextmanager
    def _writing(self, call: str, target: str, token: int) -> Iterator[None]:
        with exposed(self._fault, f"workloads.{call}"):
            newest = self._tokens.get(target, 0)
            if token < newest:
                raise Refused(f"the servers of {target} belong to token {newest}, not {token}")
            self._tokens[target] = token
            yield

    def _now(self) -> float:
        return self._clock.monotonic_s()


def _state(server: _Server, phase: ServerPhase, reason: str) -> ServerState:
    return ServerState(
        target=server.request.target,
        version=server.request.version,
        phase=phase,
        reason=reason,
        address=server.address,
        artifact_digest=server.request.artifact_digest,
        config=server.config,
        restarts=server.restarts,
        key=server.key,
    )


def _absent(target: str, version: str) -> ServerState:
    return ServerState(target=target, version=version, phase=ServerPhase.ABSENT)


def _natural(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (sys.maxsize, version)
