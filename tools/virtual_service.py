"""What mendloop reads in an Istio VirtualService and how it edits one: pure functions.

mendloop owns little of a document: the destinations and weights of the http routes that carry a
target's traffic, their mirror, and its own ``mendloop.dev/`` annotations. Versions are subsets
named ``v<version>``. Everything else belongs to others and is never touched; a document in which
the owned part cannot be told apart safely is Refused.
Source of the fields: https://istio.io/latest/docs/reference/config/networking/virtual-service/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tools.errors import Refused
from tools.traffic_split import Mirror, TrafficSplit

API_VERSION = "networking.istio.io/v1"
KIND = "VirtualService"
ROUTES_ANNOTATION = "mendloop.dev/routes"
"""Written by people: comma-separated names of the http routes that mendloop shall shift, for
documents in which that is not plain."""

_SUBSET = re.compile(r"v([A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)")
_OWNED_FIELDS = {"destination", "weight"}
_OWNED_DESTINATION = {"host", "subset", "port"}

Body = Mapping[str, Any]
Operation = dict[str, Any]


def virtual_service(
    namespace: str, name: str, *, host: str, version: str, hosts: Sequence[str], timeout: str = "5s"
) -> dict[str, Any]:
    """A new document that sends every request to one version of ``host``."""
    destination = {"host": host, "subset": f"v{version}"}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "hosts": list(hosts),
            "http": [
                {
                    "name": "primary",
                    "route": [{"destination": destination, "weight": 100}],
                    "timeout": timeout,
                }
            ],
        },
    }


def read_split(body: Body, host: str) -> TrafficSplit:
    """The split in force for ``host``. Raises Refused when the document cannot say safely."""
    splits = [_split_of(body, index, host) for index in owned_routes(body, host)]
    if any(split != splits[0] for split in splits):
        told = "; ".join(str(split) for split in splits)
        raise _refused(body, f"its routes to {host} divide traffic differently ({told})")
    return splits[0]


def split_operations(body: Body, host: str, split: TrafficSplit) -> list[Operation]:
    """The smallest RFC 6902 patch that makes ``split`` true of every owned route of ``host``.

    Each route that changes is tested first to be still as it was read.
    """
    operations: list[Operation] = []
    for index in owned_routes(body, host):
        if _split_of(body, index, host) == split:
            continue
        path = f"/spec/http/{index}"
        operations.append({"op": "test", "path": path, "value": body["spec"]["http"][index]})
        operations += _share_operations(body["spec"]["http"][index]["route"], path, split)
        operations += _mirror_operations(body, index, host, split.mirror)
    return operations


def owned_routes(body: Body, host: str) -> tuple[int, ...]:
    """Indices of the http routes that carry the traffic of ``host``; never empty.

    The routes named by the annotation ``mendloop.dev/routes``; else the only route to the host;
    else the only one that is not an override (reachable with a header only, one destination).
    """
    http = _http(body)
    candidates = [i for i, route in enumerate(http) if _carries(route, host, _namespace(body))]
    named = annotations_of(body).get(ROUTES_ANNOTATION)
    if named is not None:
        return _named_routes(body, http, candidates, named)
    if len(candidates) > 1:
        candidates = [i for i in candidates if not _is_override(http[i])]
    if len(candidates) == 1:
        return (candidates[0],)
    delegates = [_delegate(route["delegate"], body) for route in http if route.get("delegate")]
    if delegates:
        raise _refused(
            body,
            f"it delegates to {', '.join(delegates)}; name the one that holds the route to {host} "
            "in spec.serving.route",
        )
    if not candidates:
        raise _refused(body, f"no http route leads to {host}; add one or correct the host")
    raise _refused(
        body,
        f"{len(candidates)} http routes lead to {host} and it is not plain which are meant; name "
        f"them in the annotation {ROUTES_ANNOTATION}",
    )


def annotations_of(body: Body) -> dict[str, str]:
    """The document's annotations; empty when it has none."""
    return dict(body.get("metadata", {}).get("annotations") or {})


def references(route: Body, namespace: str) -> Iterator[tuple[str, str]]:
    """(target, subset) of every destination of one http route that requests or copies reach."""
    destinations = route.get("route") or []
    for entry in destinations:
        if weight_of(entry, destinations):
            yield _reference(entry["destination"], namespace)
    for mirror in mirrors(route):
        yield _reference(mirror["destination"], namespace)


def mirrors(route: Body) -> list[dict[str, Any]]:
    """The mirrors of one http route in the shape of its ``mirrors`` field."""
    listed = [dict(mirror) for mirror in route.get("mirrors") or []]
    if route.get("mirror"):
        percent = route.get("mirrorPercentage", {"value": 100.0})
        listed.append({"destination": route["mirror"], "percentage": percent})
    return listed


def target_of(host: str, namespace: str) -> str:
    """``namespace/name`` of a destination host, short or fully qualified."""
    name, _, rest = host.partition(".")
    return f"{rest.partition('.')[0] or namespace}/{name}"


def _reference(destination: Body, namespace: str) -> tuple[str, str]:
    return target_of(destination["host"], namespace), destination.get("subset", "")


def _http(body: Body) -> list[dict[str, Any]]:
    if body.get("kind") != KIND:
        raise _refused(body, f"it is a {body.get('kind')!r}, expected a {KIND}")
    http = body.get("spec", {}).get("http")
    if not isinstance(http, list) or not http:
        raise _refused(body, "it has no http routes (spec.http)")
    for index, route in enumerate(http):
        if not is_well_formed_route(route):
            raise _refused(body, f"spec.http[{index}] is malformed: {route}")
    return http


def is_well_formed_route(route: object) -> bool:
    """Whether one http route has the shape that the functions here rely on."""
    if not isinstance(route, dict) or not isinstance(route.get("route") or [], list):
        return False
    return all(
        isinstance(entry, dict)
        and isinstance(entry.get("destination"), dict)
        and isinstance(entry["destination"].get("host"), str)
        and isinstance(entry.get("weight", 0), int)
        and entry.get("weight", 0) >= 0
        for entry in route.get("route") or []
    )


def _carries(route: Body, host: str, namespace: str) -> bool:
    target = target_of(host, namespace)
    return any(
        target_of(entry["destination"]["host"], namespace) == target
        for entry in route.get("route") or []
    )


def _is_override(route: Body) -> bool:
    """Whether only requests with a special header get here, all to one destination."""
    matches = route.get("match") or []
    return bool(matches) and all("headers" in m for m in matches) and len(route["route"]) == 1


def _named_routes(
    body: Body, http: Sequence[Body], candidates: Sequence[int], named: str
) -> tuple[int, ...]:
    names = [name.strip() for name in named.split(",") if name.strip()]
    found = tuple(i for i in candidates if http[i].get("name") in names)
    if not names or sorted(http[i]["name"] for i in found) != sorted(names):
        raise _refused(
            body, f"the annotation {ROUTES_ANNOTATION} names {named!r}, not all of which lead there"
        )
    return found


def _split_of(body: Body, index: int, host: str) -> TrafficSplit:
    route = _http(body)[index]
    shares: dict[str, int] = {}
    for entry in route["route"]:
        version = _version(body, entry["destination"], host)
        if version is None or version in shares:
            where = f"spec.http[{index}] sends to {entry['destination']}"
            raise _refused(body, f"{where}, expected subsets v<version> of {host}, each once")
        shares[version] = weight_of(entry, route["route"])
    if sum(shares.values()) != 100:
        raise _refused(body, f"the weights of spec.http[{index}] add up to {sum(shares.values())}")
    return TrafficSplit(shares=shares, mirror=_mirror_of(body, index, host))


def weight_of(entry: Body, entries: Sequence[Body]) -> int:
    """An only destination needs no weight; among several, none means 0."""
    return int(entry.get("weight", 100 if len(entries) == 1 else 0))


def _mirror_of(body: Body, index: int, host: str) -> Mirror | None:
    route = _http(body)[index]
    if any(_version(body, m["destination"], host) for m in route.get("mirrors") or []):
        raise _refused(body, f"spec.http[{index}].mirrors copies to {host}; use mirror instead")
    version = _version(body, route["mirror"], host) if route.get("mirror") else None
    if version is None:
        return None
    percent = route.get("mirrorPercentage", {}).get("value", 100.0)
    return Mirror(version=version, percent=percent) if percent else None


def _version(body: Body, destination: Body, host: str) -> str | None:
    namespace = _namespace(body)
    if target_of(destination["host"], namespace) != target_of(host, namespace):
        return None
    subset = _SUBSET.fullmatch(destination.get("subset", ""))
    return subset[1] if subset else None


def _share_operations(
    entries: Sequence[Body], path: str, split: TrafficSplit
) -> Iterator[Operation]:
    """Weights in place first, then new destinations, then removals from the end.

    A destination that loses its share goes, unless somebody hung their own fields on it.
    """
    missing = dict(split.shares)
    gone: list[int] = []
    for index, entry in enumerate(entries):
        share = missing.pop(entry["destination"]["subset"].removeprefix("v"), 0)
        if not share and not _has_foreign_fields(entry):
            gone.append(index)
        elif weight_of(entry, entries) != share:
            op = "replace" if "weight" in entry else "add"
            yield {"op": op, "path": f"{path}/route/{index}/weight", "value": share}
    for version, share in missing.items():
        destination = {**entries[0]["destination"], "subset": f"v{version}"}
        yield {
            "op": "add",
            "path": f"{path}/route/-",
            "value": {"destination": destination, "weight": share},
        }
    for index in reversed(gone):
        yield {"op": "remove", "path": f"{path}/route/{index}"}


def _has_foreign_fields(entry: Body) -> bool:
    return bool(set(entry) - _OWNED_FIELDS or set(entry["destination"]) - _OWNED_DESTINATION)


def _mirror_operations(
    body: Body, index: int, host: str, mirror: Mirror | None
) -> Iterator[Operation]:
    route, path = _http(body)[index], f"/spec/http/{index}"
    if mirror == _mirror_of(body, index, host):
        return
    is_ours = bool(route.get("mirror") and _version(body, route["mirror"], host))
    if mirror is None:
        yield {"op": "remove", "path": f"{path}/mirror"}
        if "mirrorPercentage" in route:
            yield {"op": "remove", "path": f"{path}/mirrorPercentage"}
        return
    if route.get("mirrors") or (route.get("mirror") and not is_ours):
        raise _refused(body, f"spec.http[{index}] already copies its requests to somebody else")
    destination = {**route["route"][0]["destination"], "subset": f"v{mirror.version}"}
    yield {"op": "add", "path": f"{path}/mirror", "value": destination}
    percentage = {"value": mirror.percent}
    yield {"op": "add", "path": f"{path}/mirrorPercentage", "value": percentage}


def _delegate(delegate: Body, body: Body) -> str:
    return f"{delegate.get('namespace') or _namespace(body)}/{delegate.get('name', '?')}"


def _namespace(body: Body) -> str:
    return str(body.get("metadata", {}).get("namespace", "default"))


def _refused(body: Body, reason: str) -> Refused:
    name = body.get("metadata", {}).get("name", "(unnamed)")
    return Refused(f"VirtualService {_namespace(body)}/{name} cannot be edited safely: {reason}")
