"""Renders VirtualService documents and server addresses as Envoy's routes and clusters.

Pure: the same documents, revision and endpoints give the same files. What Envoy could not be told
faithfully is Refused rather than left out. Each version becomes two clusters with one address: one
for its requests and one for copies of requests, so that the statistics of copies stay apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tools.envoy_bootstrap import ROUTE_CONFIG
from tools.errors import Refused
from tools.values import digest
from tools.virtual_service import mirrors, references, target_of, weight_of

Endpoints = Mapping[str, Mapping[str, str]]
"""Target to version to ``host:port``."""

MIRROR_SUFFIX = "~mirror"
METADATA = "mendloop"
REVISION = "revision"
"""Under these, Envoy's dump says which revision of which document it routes by."""

_TYPE = "type.googleapis.com/"
_ROUTE_CONFIGURATION = _TYPE + "envoy.config.route.v3.RouteConfiguration"
_CLUSTER = _TYPE + "envoy.config.cluster.v3.Cluster"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

_SPEC_FIELDS = {"hosts", "http", "gateways"}
_ROUTE_FIELDS = {"name", "match", "route", "timeout", "retries"} | {
    "mirror",
    "mirrorPercentage",
    "mirrors",
}
_MATCH_FIELDS = {"name", "uri", "headers", "method"}
_ENTRY_FIELDS = {"destination", "weight", "headers"}

# Nothing that may have reached the server is sent again. Istio's default retries 503s as well; here
# they must be seen, because they are evidence about the version that gave them.
_RETRIES = {"attempts": 2, "retryOn": "connect-failure,refused-stream,reset-before-request"}

_UPSTREAM_IDLE = "4s"
"""Below what servers keep open (uvicorn: 5 s): a server must not close a connection that Envoy is
about to use, which would fail a request."""
_CONNECT_TIMEOUT = "1s"
_MAX_IN_FLIGHT = 4096

_APPEND = {"set": "OVERWRITE_IF_EXISTS_OR_ADD", "add": "APPEND_IF_EXISTS_OR_ADD"}

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def clusters(endpoints: Endpoints) -> dict[str, Any]:
    """The cluster discovery response (CDS) for ``endpoints``."""
    resources = [
        _cluster(name, address)
        for target in sorted(endpoints)
        for version, address in sorted(endpoints[target].items())
        for name in (cluster_name(target, version), cluster_name(target, version) + MIRROR_SUFFIX)
    ]
    return {"version_info": digest(resources)[:16], "resources": resources}


def virtual_host(body: Mapping[str, Any]) -> dict[str, Any]:
    """Envoy's virtual host for one document.

    Raises Refused, naming document and field, on what Envoy could not do.
    """
    _check_fields(body, body["spec"], _SPEC_FIELDS, "")
    if not body["spec"].get("hosts"):
        raise _refused(body, "hosts", "a document without hosts is a delegate, which needs a root")
    domains = [domain for host in body["spec"]["hosts"] for domain in _domains(host, body)]
    return {
        "name": _name(body),
        "domains": domains,
        "routes": list(_routes(body)),
        "metadata": _revision(body["metadata"].get("resourceVersion", "0")),
    }


def routes(virtual_hosts: Sequence[Mapping[str, Any]], revision: int) -> dict[str, Any]:
    """The route discovery response (RDS); Envoy reports ``revision`` back when it follows.

    Raises Refused when two virtual hosts claim one domain: Envoy would refuse all of them.
    """
    taken: dict[str, str] = {}
    for host in virtual_hosts:
        for domain in host["domains"]:
            other = taken.setdefault(domain, host["name"])
            if other != host["name"]:
                raise Refused(
                    f"VirtualService {host['name']}, spec.hosts: {domain!r} belongs to {other} "
                    "already; give each document its own hosts"
                )
    configuration = {
        "@type": _ROUTE_CONFIGURATION,
        "name": ROUTE_CONFIG,
        "ignore_port_in_host_matching": True,
        "virtual_hosts": sorted(virtual_hosts, key=lambda host: str(host["name"])),
        # Envoy keeps reporting the old version_info when the configuration itself is unchanged,
        # as after a write of annotations only.
        "metadata": _revision(str(revision)),
    }
    return {"version_info": str(revision), "resources": [configuration]}


def cluster_name(target: str, version: str) -> str:
    """Envoy's name for the server of one version."""
    return f"{target}/v{version}"


def version_of(cluster: str) -> tuple[str, str] | None:
    """(target, version) of a cluster name without the mirror suffix; None for other clusters."""
    target, found, version = cluster.rpartition("/v")
    return (target, version) if found and target.count("/") == 1 else None


def cluster_references(routes: Iterable[Mapping[str, Any]], namespace: str) -> set[str]:
    """Every cluster that the http routes of a document send requests or copies to."""
    return {
        f"{target}/{subset}" for route in routes for target, subset in references(route, namespace)
    }


def _revision(revision: str) -> dict[str, Any]:
    return {"filter_metadata": {METADATA: {REVISION: revision}}}


def _routes(body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for index, route in enumerate(body["spec"]["http"]):
        where = f"http[{index}]"
        _check_fields(body, route, _ROUTE_FIELDS, where)
        action = _action(body, route, where)
        for match in route.get("match") or [{}]:
            yield {"match": _match(body, match, f"{where}.match"), "route": action}


def _action(body: Mapping[str, Any], route: Mapping[str, Any], where: str) -> dict[str, Any]:
    namespace = body["metadata"]["namespace"]
    entries = route.get("route") or []
    for entry in entries:
        _check_fields(body, entry, _ENTRY_FIELDS, f"{where}.route")
    weighted = [
        {
            "name": _cluster_of(entry["destination"], namespace),
            "weight": weight_of(entry, entries),
            **_headers(body, entry, where),
        }
        for entry in entries
        if weight_of(entry, entries)
    ]
    if not weighted:
        raise _refused(body, f"{where}.route", "no destination has any weight")
    action: dict[str, Any] = {
        "timeout": _duration(body, route.get("timeout", "0s"), f"{where}.timeout"),
        "retry_policy": _retry_policy(body, {**_RETRIES, **route.get("retries", {})}, where),
        "request_mirror_policies": [_mirror_policy(mirror, namespace) for mirror in mirrors(route)],
    }
    if len(weighted) == 1 and set(weighted[0]) == {"name", "weight"}:
        return {"cluster": weighted[0]["name"], **action}
    return {"weighted_clusters": {"clusters": weighted}, **action}


def _headers(body: Mapping[str, Any], entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What a destination changes about the headers of requests to it and of its answers."""
    given, found = entry.get("headers") or {}, dict[str, Any]()
    _check_fields(body, given, {"request", "response"}, f"{where}.route.headers")
    for side, changes in given.items():
        _check_fields(body, changes, {"set", "add", "remove"}, f"{where}.route.headers.{side}")
        added = [
            {"header": {"key": name, "value": value}, "append_action": _APPEND[verb]}
            for verb in ("set", "add")
            for name, value in (changes.get(verb) or {}).items()
        ]
        if added:
            found[f"{side}_headers_to_add"] = added
        if changes.get("remove"):
            found[f"{side}_headers_to_remove"] = list(changes["remove"])
    return found


def _mirror_policy(mirror: Mapping[str, Any], namespace: str) -> dict[str, Any]:
    percent = mirror.get("percentage", {}).get("value", 100.0)
    return {
        "cluster": _cluster_of(mirror["destination"], namespace) + MIRROR_SUFFIX,
        "runtime_fraction": {
            "default_value": {"numerator": round(percent * 10_000), "denominator": "MILLION"}
        },
    }


def _retry_policy(
    body: Mapping[str, Any], retries: Mapping[str, Any], where: str
) -> dict[str, Any]:
    _check_fields(body, retries, {"attempts", "retryOn", "perTryTimeout"}, f"{where}.retries")
    policy = {"retry_on": retries["retryOn"], "num_retries": retries["attempts"]}
    if "perTryTimeout" in retries:
        place = f"{where}.retries.perTryTimeout"
        policy["per_try_timeout"] = _duration(body, retries["perTryTimeout"], place)
    return policy


def _match(body: Mapping[str, Any], match: Mapping[str, Any], where: str) -> dict[str, Any]:
    _check_fields(body, match, _MATCH_FIELDS, where)
    headers = dict(match.get("headers") or {})
    if "method" in match:
        headers[":method"] = match["method"]
    found = [
        {"name": name, "string_match": _string(body, wanted, f"{where}.headers")}
        if wanted
        else {"name": name, "present_match": True}
        for name, wanted in headers.items()
    ]
    uri = _string(body, match.get("uri") or {"prefix": "/"}, f"{where}.uri")
    return {("path" if kind == "exact" else kind): value for kind, value in uri.items()} | {
        "headers": found
    }


def _string(body: Mapping[str, Any], wanted: Mapping[str, Any], where: str) -> dict[str, Any]:
    match dict(wanted):
        case {"exact": value} | {"prefix": value} if len(wanted) == 1:
            return {next(iter(wanted)): value}
        case {"regex": value} if len(wanted) == 1:
            return {"safe_regex": {"regex": value}}
    raise _refused(body, where, f"expected one of exact, prefix, regex, got {dict(wanted)}")


def _cluster_of(destination: Mapping[str, Any], namespace: str) -> str:
    return f"{target_of(destination['host'], namespace)}/{destination.get('subset', '')}"


def _cluster(name: str, address: str) -> dict[str, Any]:
    host, _, port = address.rpartition(":")
    socket_address = {"address": host, "port_value": int(port)}
    endpoint = {"endpoint": {"address": {"socket_address": socket_address}}}
    limits = {
        "max_connections": _MAX_IN_FLIGHT,
        "max_pending_requests": _MAX_IN_FLIGHT,
        "max_requests": _MAX_IN_FLIGHT,
    }
    return {
        "@type": _CLUSTER,
        "name": name,
        "type": "STATIC",
        "connect_timeout": _CONNECT_TIMEOUT,
        "circuit_breakers": {"thresholds": [limits]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {
                "@type": _TYPE + _HTTP_OPTIONS,
                "common_http_protocol_options": {"idle_timeout": _UPSTREAM_IDLE},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def _domains(host: str, body: Mapping[str, Any]) -> list[str]:
    """The names of a short host as Kubernetes resolves them; others as they are."""
    if "*" in host or "." in host:
        return [host]
    space = f"{host}.{body['metadata']['namespace']}"
    return [host, space, f"{space}.svc", f"{space}.svc.cluster.local"]


def _duration(body: Mapping[str, Any], text: object, where: str) -> str:
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not found:
        raise _refused(body, where, f"expected a duration such as 500ms or 2s, got {text!r}")
    return f"{float(found[1]) * _SECONDS[found[2]]:.3f}s"


def _check_fields(
    body: Mapping[str, Any], part: Mapping[str, Any], known: set[str], where: str
) -> None:
    unknown = sorted(set(part) - known)
    if unknown:
        field = f"{where}.{unknown[0]}" if where else unknown[0]
        raise _refused(body, field, "the embedded data plane does not know this field")


def _name(body: Mapping[str, Any]) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['name']}"


def _refused(body: Mapping[str, Any], field: str, reason: str) -> Refused:
    return Refused(f"VirtualService {_name(body)}, spec.{field}: {reason}")
