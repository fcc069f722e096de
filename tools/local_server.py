"""One server process through its life: started, probed, published, restarted, given up, ended.

Every method expects the caller to hold the server's lock. What happens next is derived from the
record and the world each time, so a crash of the controller between any two lines is made good by
the next look.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tools.errors import Refused, Unavailable
from tools.process_records import ProcessRecord, end, find_by_argument, is_alive, read_record, spawn
from tools.server_probe import ServerHealth, probe
from tools.server_records import ServerFolder, ServerRecord, target_folder
from tools.workloads import ServerPhase, ServerState

HOST = "127.0.0.1"
_PROBE_TIMEOUT_S = 2.0
_BACKOFF_S = 0.5
_MAX_BACKOFF_S = 30.0
_STABLE_S = 600.0
"""A server that ran this long and then crashed is not in a crash loop."""

# Servers share the cores with each other; one row needs no second thread.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Endpoints(Protocol):
    """Who is told which server answers for a version (``EnvoyTraffic``)."""

    def publish(self, target: str, version: str, address: str) -> None:
        """Requests may be sent to the server from now on. Idempotent."""

    def withdraw(self, target: str, version: str) -> None:
        """Returns when none is sent any more. Idempotent. Raises Refused while the version has a
        share of the traffic."""


@dataclass(frozen=True)
class ServerSettings:
    """How the servers of one machine are run."""

    command: tuple[str, ...]
    predictions: Path
    endpoints: Endpoints
    ready_within_s: float
    max_crashes: int
    grace_s: float
    monotonic_s: Callable[[], float]


@dataclass(frozen=True)
class LocalServer:
    """One server: its folder, and how servers are run."""

    folder: ServerFolder
    settings: ServerSettings

    def advance(self, record: ServerRecord) -> ServerState:
        """Look at the server, do what is due (start, restart, publish), say where it stands."""
        if record.failure:
            return state_of(record, ServerPhase.FAILED, record.failure)
        process = self._process()
        is_running = process is not None and is_alive(process)
        if record.stopping and not is_running:
            return absent(record.request.target, record.request.version)
        if is_running:
            return self._observe(record)
        if process is None and record.restart_due_s is None:
            return self._observe(self._spawn(record))
        return self._after_crash(record)

    def look(self, record: ServerRecord) -> ServerState:
        """Where it stands, without doing what is due: for readers that must change nothing."""
        if record.failure:
            return state_of(record, ServerPhase.FAILED, record.failure)
        process, port = read_record(self.folder.process), self.folder.listening_port()
        if process is None or port is None or not is_alive(process):
            return state_of(
                record, ServerPhase.STARTING, "it does not run; the controller starts it"
            )
        health = probe(f"{HOST}:{port}", timeout_s=_PROBE_TIMEOUT_S)
        if isinstance(health, str) or not health.is_ready:
            return state_of(record, ServerPhase.STARTING, "it is not ready")
        seen = {"config": health.config, "artifact_digest": health.artifact_digest}
        return state_of(record, ServerPhase.READY, "").model_copy(update=seen)

    def finish_stop(self, record: ServerRecord) -> None:
        """Withdraw the server from traffic, end it and forget it.

        Raises Refused or Unavailable when it cannot be withdrawn: then it goes on as before.
        """
        self.folder.write(record.model_copy(update={"stopping": True}))
        try:
            self.settings.endpoints.withdraw(record.request.target, record.request.version)
        except (Refused, Unavailable):
            self.folder.write(record.model_copy(update={"stopping": False}))
            raise
        self.end_process()
        self.folder.record_file.unlink(missing_ok=True)

    def end_process(self) -> None:
        """End the process if there is one; requests in flight are answered within the grace."""
        process = self._process()
        if process is not None:
            end(process, grace_s=self.settings.grace_s)
        self.folder.process.unlink(missing_ok=True)
        self.folder.port_file.unlink(missing_ok=True)

    def _process(self) -> ProcessRecord | None:
        """The recorded process, dead or alive; one that was started and not recorded is adopted."""
        recorded = read_record(self.folder.process)
        if recorded is not None:
            return recorded
        for orphan in find_by_argument(str(self.folder.port_file)):
            self.folder.write_process(orphan)
            return orphan
        return None

    def _spawn(self, record: ServerRecord) -> ServerRecord:
        folder, request = self.folder, record.request
        update = {
            "started_s": self.settings.monotonic_s(),
            "port": _free_or_any(record.port),
            "was_ready": False,
            "restart_due_s": None,
        }
        record = folder.write(record.model_copy(update=update))
        folder.write_config(request.config)
        folder.port_file.unlink(missing_ok=True)
        folder.process.unlink(missing_ok=True)
        arguments = {
            "--artifact": request.artifact.resolve(),
            "--target": request.target,
            "--version": request.version,
            "--port": record.port,
            "--port-file": folder.port_file,
            "--log": target_folder(self.settings.predictions, request.target),
            "--config": folder.config,
        }
        options = [str(part) for option in arguments.items() for part in option]
        process = spawn(
            [*self.settings.command, *options], log=folder.log, environment=_ENVIRONMENT
        )
        folder.write_process(process)
        return record

    def _after_crash(self, record: ServerRecord) -> ServerState:
        now = self.settings.monotonic_s()
        limit, words = self.settings.max_crashes, self.folder.last_log_lines()
        due_s = record.restart_due_s
        if due_s is None:
            crashes = 1 if now - record.started_s >= _STABLE_S else record.crashes + 1
            if crashes > limit:
                return self._give_up(record, f"crashed {crashes} times in a row: {words}")
            due_s = now + min(_BACKOFF_S * 2 ** (crashes - 1), _MAX_BACKOFF_S)
            update = {"crashes": crashes, "restart_due_s": due_s}
            record = self.folder.write(record.model_copy(update=update))
        wait_s = due_s - now
        if 0 < wait_s <= _MAX_BACKOFF_S:  # A longer wait can only come from before a reboot.
            again = f"crashed, restart {record.crashes} of {limit} in {wait_s:.1f} s"
            return state_of(record, ServerPhase.STARTING, f"{again}: {words}")
        return self._observe(
            self._spawn(record.model_copy(update={"restarts": record.restarts + 1}))
        )

    def _observe(self, record: ServerRecord) -> ServerState:
        port = self.folder.listening_port()
        if port is None:
            return self._not_ready(record, "it does not listen yet")
        health = probe(f"{HOST}:{port}", timeout_s=_PROBE_TIMEOUT_S)
        if isinstance(health, str):
            return self._not_ready(record, health)
        return self._judge(record.model_copy(update={"port": port}), health)

    def _judge(self, record: ServerRecord, health: ServerHealth) -> ServerState:
        request = record.request
        if (health.target, health.version) != (request.target, request.version):
            other = f"v{health.version} of {health.target}"
            return self._not_ready(record, f"{other} answers at port {record.port}")
        if health.artifact_digest and health.artifact_digest != request.artifact_digest:
            loaded = f"it loaded artifact {health.artifact_digest}"
            return self._give_up(record, f"{loaded}, expected {request.artifact_digest}")
        if not (health.is_ready and health.artifact_digest):
            return self._not_ready(record, "; ".join(health.problems) or "still loading")
        try:
            record = self._published(record)
        except Unavailable as error:
            return self._not_ready(record, f"ready, but requests cannot be sent to it: {error}")
        state = state_of(record, ServerPhase.READY, "; ".join(health.problems))
        return state.model_copy(update={"config": health.config})

    def _published(self, record: ServerRecord) -> ServerRecord:
        address = f"{HOST}:{record.port}"
        if record.was_ready and record.published == address:
            return record
        if not record.stopping and record.published != address:
            request = record.request
            self.settings.endpoints.publish(request.target, request.version, address)
        update = {"published": address, "was_ready": True}
        return self.folder.write(record.model_copy(update=update))

    def _not_ready(self, record: ServerRecord, reason: str) -> ServerState:
        limit_s = self.settings.ready_within_s
        if record.was_ready or self.settings.monotonic_s() - record.started_s <= limit_s:
            return state_of(record, ServerPhase.STARTING, reason)
        words = self.folder.last_log_lines()
        return self._give_up(record, f"not ready within {limit_s:g} s ({reason}): {words}")

    def _give_up(self, record: ServerRecord, reason: str) -> ServerState:
        record = self.folder.write(record.model_copy(update={"failure": reason}))
        self.end_process()
        return state_of(record, ServerPhase.FAILED, reason)


def state_of(record: ServerRecord, phase: ServerPhase, reason: str) -> ServerState:
    """The port's view of a record."""
    request = record.request
    return ServerState(
        target=request.target,
        version=request.version,
        phase=phase,
        reason=reason,
        address=f"{HOST}:{record.port}" if record.port else "",
        artifact_digest=request.artifact_digest,
        config=request.config,
        restarts=record.restarts,
        key=record.key,
    )


def absent(target: str, version: str) -> ServerState:
    """The port's view of a server that is not there."""
    return ServerState(target=target, version=version, phase=ServerPhase.ABSENT)


def _free_or_any(port: int) -> int:
    """``port`` when it can be listened on, else 0: somebody else may have taken it meanwhile."""
    with contextlib.suppress(OSError), socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        trial.bind((HOST, port))
        return port
    return 0
