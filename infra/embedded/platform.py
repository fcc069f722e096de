"""Starts and stops what a managed model stands on when there is one machine: Envoy and servers.

Everything started is detached and recorded, so that the next command finds it again, whoever
started it and however that one ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

import psutil

from infra.embedded.home import Home
from tools.durable_files import locked, write_durably
from tools.envoy import EnvoyTraffic
from tools.envoy_admin import ADMIN_PORT, PREDICT_PORT, EnvoyAdmin
from tools.envoy_bootstrap import binary, bootstrap
from tools.errors import Invalid, Unavailable
from tools.process_records import (
    RECORD_NAME,
    ProcessRecord,
    end,
    end_all,
    find_by_argument,
    is_alive,
    read_record,
    spawn,
    write_record,
)
from tools.values import Value

_START_S = 20.0
_ENVOY_GRACE_S = 5.0
_SERVER_GRACE_S = 15.0
_POLL_S = 0.02
_LOG_LINES = 5


class Platform(Value):
    """A running platform's addresses."""

    predict_url: str
    """Where clients send requests."""
    admin_url: str
    """Envoy's admin interface: metrics at ``/stats/prometheus``."""
    pid: int


class StopReport(Value):
    """What a stop ended, and what it found and left alone."""

    stopped: tuple[str, ...] = ()
    leftovers: tuple[str, ...] = ()
    """Processes that use the home but were not started by the platform, ``pid: command``."""


def start_platform(home: Path, port: int = 0, objectives_ms: Sequence[float] = ()) -> Platform:
    """Envoy under ``home``, started when it does not run yet.

    ``port`` 0 takes any free one. ``objectives_ms`` are the latency objectives to count by; Envoy's
    histograms keep two significant digits, so that 250 is counted exactly and 255 nearly. Raises
    Invalid when the home cannot be written to, when the port is in use, or when Envoy runs already
    on another port; Unavailable when Envoy does not come up.
    """
    place = Home(home.resolve()).prepare()
    with locked(place.envoy / ".lock", timeout_s=_START_S + _ENVOY_GRACE_S):
        running = platform_status(home)
        if running is None:
            _end_remains(place.envoy)
            return _start(place, port, objectives_ms)
        if port and running.predict_url != _url(port):
            raise Invalid(
                f"the platform under {home} runs already at {running.predict_url}; stop it first "
                f"to have it on port {port}",
                field="port",
            )
        return running


def platform_status(home: Path) -> Platform | None:
    """The platform that runs under ``home``; None when it does not, or does not answer."""
    folder = Home(home.resolve()).envoy
    record = read_record(folder / RECORD_NAME)
    if record is None or not is_alive(record) or not EnvoyAdmin(_ports_file(folder)).is_live():
        return None
    ports = json.loads(_ports_file(folder).read_text(encoding="utf-8"))
    if PREDICT_PORT not in ports:
        return None
    return Platform(
        predict_url=_url(ports[PREDICT_PORT]), admin_url=_url(ports[ADMIN_PORT]), pid=record.pid
    )


def stop_platform(home: Path) -> StopReport:
    """End Envoy, then every server and pipeline run recorded under ``home``.

    Requests in flight are answered and prediction logs flushed, within a grace. Idempotent.
    """
    place = Home(home.resolve())
    if not place.root.is_dir():
        return StopReport()
    with locked(place.envoy / ".lock", timeout_s=_START_S + _ENVOY_GRACE_S):
        stopped = [f"envoy ({record.pid})" for record in _end_remains(place.envoy)]
        stopped += _end_recorded(place)
        _ports_file(place.envoy).unlink(missing_ok=True)
    return StopReport(stopped=tuple(stopped), leftovers=tuple(_leftovers(place.root)))


def _start(home: Home, port: int, objectives_ms: Sequence[float]) -> Platform:
    folder = home.envoy
    if port:
        _check_free(port)
    EnvoyTraffic(home.routes, folder).render()
    config = folder / "bootstrap.json"
    admin_address = folder / "admin-address"
    admin_address.unlink(missing_ok=True)
    _ports_file(folder).unlink(missing_ok=True)
    content = bootstrap(folder, epoch=uuid.uuid4().hex, port=port, objectives_ms=objectives_ms)
    write_durably(config, json.dumps(content, indent=2))
    record = spawn(_command(config, admin_address), log=folder / "envoy.log")
    write_record(folder / RECORD_NAME, record)
    try:
        return _await_start(folder, record, admin_address)
    except Unavailable:
        end(record, grace_s=_ENVOY_GRACE_S)
        raise


def _command(config: Path, admin_address: Path) -> list[str]:
    return [
        str(binary()),
        *("--config-path", str(config)),
        *("--admin-address-path", str(admin_address)),
        *("--concurrency", str(min(2, os.cpu_count() or 1))),
        *("--log-level", "warning"),
        "--disable-hot-restart",
    ]


def _await_start(folder: Path, record: ProcessRecord, admin_address: Path) -> Platform:
    deadline = time.monotonic() + _START_S
    admin = EnvoyAdmin(_ports_file(folder))
    while time.monotonic() < deadline:
        if not is_alive(record):
            raise Unavailable(f"Envoy ended while starting: {_last_lines(folder)}")
        ports = _ports(admin_address, admin)
        if ports:
            write_durably(_ports_file(folder), json.dumps(ports))
        if PREDICT_PORT in ports and admin.is_live():
            return Platform(
                predict_url=_url(ports[PREDICT_PORT]),
                admin_url=_url(ports[ADMIN_PORT]),
                pid=record.pid,
            )
        time.sleep(_POLL_S)
    raise Unavailable(f"Envoy was not ready within {_START_S:g} s: {_last_lines(folder)}")


def _ports(admin_address: Path, admin: EnvoyAdmin) -> dict[str, int]:
    """What is known of Envoy's ports so far; the admin port comes first and leads to the other."""
    try:
        ports = {ADMIN_PORT: int(admin_address.read_text(encoding="utf-8").rpartition(":")[2])}
    except (OSError, ValueError):
        return {}
    with contextlib.suppress(Unavailable):
        listener = admin.listener_port()
        if listener:
            ports[PREDICT_PORT] = listener
    return ports


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise Invalid(
                f"port {port} of 127.0.0.1 cannot be had ({error}); free it, choose another, or "
                "use 0 for any",
                field="port",
            ) from error


def _end_remains(folder: Path) -> list[ProcessRecord]:
    """End this home's Envoy, also one whose starter died before it could record it."""
    recorded = read_record(folder / RECORD_NAME)
    found = find_by_argument(str(folder / "bootstrap.json"))
    if recorded and is_alive(recorded) and recorded not in found:
        found.append(recorded)
    end_all(found, grace_s=_ENVOY_GRACE_S)
    (folder / RECORD_NAME).unlink(missing_ok=True)
    return found


def _end_recorded(home: Home) -> list[str]:
    """End servers and pipeline runs; a server whose record is gone is started anew when read."""
    found = [*home.servers.rglob(RECORD_NAME), *home.runs.rglob(RECORD_NAME)]
    paths = {path: read_record(path) for path in sorted(found)}
    alive = {path: record for path, record in paths.items() if record and is_alive(record)}
    end_all(list(alive.values()), grace_s=_SERVER_GRACE_S)
    for path in paths:
        path.unlink(missing_ok=True)
    return [f"{path.parent.relative_to(home.root)} ({alive[path].pid})" for path in alive]


def _leftovers(home: Path) -> list[str]:
    """Processes whose command line names the home or something in it, this one's family aside."""
    own = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    return [
        f"{process.info['pid']}: {' '.join(process.info['cmdline'])}"
        for process in psutil.process_iter(["pid", "cmdline"])
        if process.info["pid"] not in own
        and any(
            argument == str(home) or argument.startswith(f"{home}{os.sep}")
            for argument in process.info["cmdline"] or []
        )
    ]


def _last_lines(folder: Path) -> str:
    log = folder / "envoy.log"
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    return " | ".join(lines) or f"nothing in {log}"


def _ports_file(folder: Path) -> Path:
    return folder / "ports.json"


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}"
