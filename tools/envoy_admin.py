"""Asks a running Envoy what it does: its admin interface, found through the platform's port file.

The port file is read at every call, because a restarted Envoy may listen elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from tools.envoy_config import METADATA, REVISION
from tools.errors import Unavailable

ADMIN_PORT = "admin"
PREDICT_PORT = "predict"


class NotRunning(Unavailable):
    """Nothing listens on the admin port: there is no data plane that could misroute anything."""


class EnvoyAdmin:
    """Reads the admin interface of the Envoy whose ports stand in ``ports_file``."""

    def __init__(self, ports_file: Path, *, timeout_s: float = 2.0) -> None:
        self._ports_file = ports_file
        self._timeout_s = timeout_s

    def routes_revision(self) -> int | None:
        """Revision of the route configuration in force; None before the first one."""
        path = "/config_dump?resource=dynamic_route_configs"
        with _understood(path):
            found = [config.get("version_info", "") for config in self._list(path, "configs")]
            return max((int(version) for version in found if version.isdecimal()), default=None)

    def document_revision(self, name: str) -> int | None:
        """Revision of the document ``namespace/name`` that requests are routed by now."""
        path = "/config_dump?resource=dynamic_route_configs"
        with _understood(path):
            for config in self._list(path, "configs"):
                for host in config["route_config"].get("virtual_hosts", []):
                    if host["name"] == name:
                        return int(host["metadata"]["filter_metadata"][METADATA][REVISION])
            return None

    def clusters(self) -> dict[str, str]:
        """Every cluster in force with its address ``host:port``."""
        path = "/clusters?format=json"
        with _understood(path):
            return {
                status["name"]: _first_address(status)
                for status in self._list(path, "cluster_statuses")
            }

    def metrics(self, name_pattern: str) -> str:
        """Metrics whose Envoy name matches the regular expression, in Prometheus' text form."""
        return self._get("/stats/prometheus", {"filter": name_pattern})

    def listener_port(self) -> int | None:
        """Port on which requests are accepted; None while the listener is not up."""
        path = "/listeners?format=json"
        with _understood(path):
            for status in self._list(path, "listener_statuses"):
                return int(status["local_address"]["socket_address"]["port_value"])
            return None

    def is_live(self) -> bool:
        """Whether Envoy has its first configuration and accepts requests."""
        try:
            return self._get("/ready", {}).strip() == "LIVE"
        except Unavailable:
            return False

    def _list(self, path: str, field: str) -> list[dict[str, Any]]:
        """Envoy leaves out lists that are empty."""
        return list(json.loads(self._get(path, None)).get(field, []))

    def _get(self, path: str, parameters: dict[str, str] | None) -> str:
        url = f"http://127.0.0.1:{self._port()}{path}"
        # trust_env off: a proxy from the environment must not stand before the loopback address.
        try:
            with httpx.Client(trust_env=False, timeout=self._timeout_s, verify=False) as client:
                response = client.get(url, params=parameters)
                response.raise_for_status()
                return response.text
        except httpx.ConnectError as error:
            raise NotRunning(f"no Envoy listens at {url}; start the platform") from error
        except httpx.HTTPError as error:
            raise Unavailable(f"Envoy's admin interface did not answer {url}: {error!r}") from error

    def _port(self) -> int:
        try:
            ports = json.loads(self._ports_file.read_text(encoding="utf-8"))
            return int(ports[ADMIN_PORT])
        except FileNotFoundError as error:
            raise NotRunning(f"no {self._ports_file}; start the platform") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"{self._ports_file} does not name Envoy's ports: {error}") from error


@contextmanager
def _understood(path: str) -> Iterator[None]:
    """Somebody else than Envoy may answer at its old port."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Unavailable(f"the answer to {path} is not Envoy's: {error!r}") from error


def _first_address(status: dict[str, Any]) -> str:
    for host in status.get("host_statuses", []):
        address = host["address"]["socket_address"]
        return f"{address['address']}:{address['port_value']}"
    return ""
