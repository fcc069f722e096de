"""Adapter of the Workloads port on one machine: one detached server process per version.

Servers outlive the controller and are found again by their records. Nothing runs in the
background: a crash is noticed, and the restart made, when the server is read.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.durable_files import locked, write_durably
from tools.errors import Invalid, Refused, Unavailable
from tools.local_server import Endpoints, LocalServer, ServerSettings, absent
from tools.server_records import ServerRecord, server_folder, target_folder
from tools.workloads import (
    ServerPhase,
    ServerRequest,
    ServerState,
    ServingConfig,
    must_leave_one_ready,
)

__all__ = ["Endpoints", "LocalWorkloads", "NoEndpoints"]

SERVING = (sys.executable, "-m", "serving")

_LOCK_EXTRA_S = 15.0


class NoEndpoints:
    """For servers that clients reach by their address: nobody has to be told of them."""

    def publish(self, target: str, version: str, address: str) -> None:
        """See Endpoints."""

    def withdraw(self, target: str, version: str) -> None:
        """See Endpoints."""


class LocalWorkloads:
    """Implements Workloads; safe to use from several processes at once."""

    def __init__(
        self,
        servers_root: Path,
        predictions_root: Path,
        *,
        endpoints: Endpoints,
        command: Sequence[str] = SERVING,
        ready_within_s: float = 60.0,
        max_crashes: int = 3,
        grace_s: float = 25.0,
        acts_on_read: bool = True,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """``max_crashes``: crashes in a row after which a server is restarted; the next one is
        final. ``grace_s`` to end by itself (a server takes up to 20 s for requests in flight).
        ``acts_on_read``: reading starts what should run and does not; False only looks."""
        self._acts_on_read = acts_on_read
        self._root = servers_root.resolve()
        self._settings = ServerSettings(
            command=tuple(command),
            predictions=predictions_root.resolve(),
            endpoints=endpoints,
            ready_within_s=ready_within_s,
            max_crashes=max_crashes,
            grace_s=grace_s,
            monotonic_s=monotonic_s,
        )

    def start(self, request: ServerRequest, *, key: str, token: int) -> ServerState:
        """See Workloads."""
        with self._writing(request.target, request.version, token) as server:
            record = server.folder.read()
            if record and record.stopping:
                server.finish_stop(record)
                record = None
            if record is None:
                record = server.folder.write(ServerRecord(request=request, key=key))
            elif record.request.artifact_digest != request.artifact_digest:
                serving = record.request.artifact_digest
                raise Invalid(
                    f"v{request.version} of {request.target} serves artifact {serving}, not "
                    f"{request.artifact_digest}; stop it first",
                    field="artifact_digest",
                )
            return server.advance(record)

    def read(self, target: str, version: str) -> ServerState:
        """See Workloads."""
        server = self._server(target, version)
        record = server.folder.read()
        if record is None:
            return absent(target, version)
        if not self._acts_on_read:
            return server.look(record)
        with self._locked(server):
            record = server.folder.read()
            return server.advance(record) if record else absent(target, version)

    def servers(self, target: str) -> tuple[ServerState, ...]:
        """See Workloads."""
        paths = target_folder(self._root, target).glob("*/server.json")
        versions = sorted((path.parent.name for path in paths), key=_natural)
        states = (self.read(target, version) for version in versions)
        return tuple(state for state in states if state.phase is not ServerPhase.ABSENT)

    def configure(
        self, target: str, version: str, config: ServingConfig, *, key: str, token: int
    ) -> ServerState:
        """See Workloads. Raises Invalid when there is no such server."""
        with self._writing(target, version, token) as server:
            record = _existing(server, target, version)
            request = record.request.model_copy(update={"config": config})
            update = {"request": request, "config_key": key}
            record = server.folder.write(record.model_copy(update=update))
            server.folder.write_config(config)
            return server.advance(record)

    def restart(self, target: str, version: str, *, key: str, token: int) -> ServerState:
        """See Workloads. Raises Invalid when there is no such server."""
        with self._writing(target, version, token) as server:
            record = _existing(server, target, version)
            if record.restart_key != key:
                # The key is recorded when the old process is gone and before the new one starts:
                # a crash in between leaves a server that the next reader starts.
                server.end_process()
                record = server.folder.write(
                    ServerRecord(
                        request=record.request,
                        key=record.key,
                        restart_key=key,
                        config_key=record.config_key,
                        port=record.port,
                        published=record.published,
                    )
                )
            return server.advance(record)

    def stop(self, target: str, version: str, *, key: str, token: int) -> ServerState:
        """See Workloads."""
        self._admit(target, token)
        must_leave_one_ready(self.servers(target), version)
        with self._writing(target, version, token) as server:
            record = server.folder.read()
            if record is not None:
                server.finish_stop(record)
        return absent(target, version)

    def _server(self, target: str, version: str) -> LocalServer:
        return LocalServer(server_folder(self._root, target, version), self._settings)

    @contextmanager
    def _writing(self, target: str, version: str, token: int) -> Iterator[LocalServer]:
        """Hold the server for a write by the owner with ``token``."""
        server = self._server(target, version)
        with self._locked(server):
            self._admit(target, token)
            yield server

    @contextmanager
    def _locked(self, server: LocalServer) -> Iterator[None]:
        with locked(server.folder.lock, timeout_s=self._settings.grace_s + _LOCK_EXTRA_S):
            yield

    def _admit(self, target: str, token: int) -> None:
        """Refuse an owner that was superseded; remember a newer one."""
        path = target_folder(self._root, target) / "token"
        with locked(path.with_name(".lock")):
            newest = _newest_token(path)
            if token < newest:
                raise Refused(
                    f"the servers of {target} belong to the owner with fencing token {newest}; a "
                    f"write with token {token} came too late. Take the lease anew before acting"
                )
            if token > newest:
                try:
                    write_durably(path, str(token))
                except OSError as error:
                    raise Unavailable(f"cannot write {path}: {error.strerror}") from error


def _existing(server: LocalServer, target: str, version: str) -> ServerRecord:
    record = server.folder.read()
    if record is None or record.stopping:
        raise Invalid(f"v{version} of {target} has no server; start it first", field="version")
    return record


def _newest_token(path: Path) -> int:
    try:
        return int(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as error:
        raise Refused(
            f"cannot tell from {path} which owner is the newest: {error}; write its number there"
        ) from error


def _natural(version: str) -> tuple[int, str]:
    return (int(version), "") if version.isdecimal() else (sys.maxsize, version)
