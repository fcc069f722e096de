"""A/B tests in a VirtualService: who got a version keeps it, and a header asks for one. Pure.

The weighted route draws the version of a new caller and gives it a cookie that says which; routes
of mendloop's own before it, two per version, catch the header and the cookie. So a caller stays
with a version for as long as the cookie lasts, whatever the weights are, without anything that
knows all callers (Istio's ``consistentHash`` sticks to a pod of one subset, not to a subset).
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from tools.errors import Refused
from tools.json_patch import apply_patch
from tools.traffic_split import TrafficSplit
from tools.values import Value
from tools.virtual_service import owned_routes, split_operations, target_of

Body = Mapping[str, Any]
Operation = dict[str, Any]
_COOKIE = "set-cookie"
_NOT_COPIED = {"name", "match", "route", "mirror", "mirrorPercentage"}


class AbTest(Value):
    """Callers divided over versions for good, not request by request."""

    shares: dict[str, int]
    """Version to percent of the new callers."""
    header: str = Field(default="x-mendloop-version", pattern=r"^[a-z0-9-]+$")
    """A caller that sends it gets that version."""
    cookie: str = Field(default="mendloop-arm", pattern=r"^[A-Za-z0-9_-]+$")
    sticky_for_s: int = Field(default=14 * 86400, ge=1)

    @field_validator("shares")
    @classmethod
    def _is_a_split(cls, shares: dict[str, int]) -> dict[str, int]:
        found = TrafficSplit(shares=shares).shares
        if len(found) < 2:
            raise ValueError(f"expected shares of two versions and more, got {shares}")
        return found


def arms_of(body: Body, host: str) -> list[dict[str, Any]]:
    """mendloop's own routes of an A/B test on ``host``, as they stand."""
    return [body["spec"]["http"][index] for index in _arm_indices(body, host)]


def end_operations(body: Body, host: str, split: TrafficSplit) -> list[Operation]:
    """The patch that ends an A/B test, where there is one, and makes ``split`` true."""
    operations = _without_cookies(body, host)
    stripped = apply_patch(dict(body), operations, name="the document")
    operations += split_operations(stripped, host, split)
    for index in reversed(_arm_indices(body, host)):
        path = f"/spec/http/{index}"
        operations.append({"op": "test", "path": path, "value": body["spec"]["http"][index]})
        operations.append({"op": "remove", "path": path})
    return operations


def begin_operations(body: Body, host: str, test: AbTest) -> list[Operation]:
    """The patch that begins ``test``, in the place of another one where there is one.

    Raises Refused where the routes leave no room for it.
    """
    split = TrafficSplit(shares=test.shares)
    operations = end_operations(body, host, split)
    plain = apply_patch(dict(body), operations, name="the document")
    indices = owned_routes(plain, host)
    if len(indices) != 1:
        raise Refused(
            f"{len(indices)} routes carry the traffic of {host}; an A/B test needs one: name it in"
            " the annotation mendloop.dev/routes"
        )
    [index] = indices
    primary, path = plain["spec"]["http"][index], f"/spec/http/{index}"
    for number, entry in enumerate(primary["route"]):
        version = entry["destination"]["subset"].removeprefix("v")
        if test.shares.get(version):
            operations += _cookie_operations(entry, f"{path}/route/{number}", test, version)
    # Inserted before each other: first all that look at the header, which beats the cookie.
    for by in ("cookie", "header"):
        for version in sorted(test.shares, reverse=True):
            arm = _arm(primary, host, test, version, by)
            operations.append({"op": "add", "path": path, "value": arm})
    return operations


def _arm(
    primary: Body, host: str, test: AbTest, version: str, by: Literal["cookie", "header"]
) -> dict[str, Any]:
    """The route of those who have, or ask for, a version: else as the weighted one."""
    if by == "header":
        name, wanted = test.header, {"exact": version}
    else:
        arm = rf"{re.escape(test.cookie)}={re.escape(version)}"
        name, wanted = "cookie", {"regex": rf"(.*;\s*)?{arm}(;.*)?"}
    matches = []
    for match in primary.get("match") or [{}]:
        headers = match.get("headers") or {}
        if name in headers:
            raise Refused(
                f"the route to {host} already looks at the header {name!r}; choose another one"
                " for the A/B test"
            )
        matches.append({**match, "headers": {**headers, name: wanted}})
    destination = {**primary["route"][0]["destination"], "subset": f"v{version}"}
    rest = {field: value for field, value in primary.items() if field not in _NOT_COPIED}
    title = f"{_prefix(host)}v{version}.{by}"
    return copy.deepcopy(
        {"name": title, "match": matches, "route": [{"destination": destination}], **rest}
    )


def _cookie_operations(entry: Body, path: str, test: AbTest, version: str) -> list[Operation]:
    added = entry.get("headers", {}).get("response", {}).get("add", {})
    if any(name.lower() == _COOKIE for name in added):
        raise Refused(
            f"{path} already sets a cookie; a destination of an A/B test cannot set another one"
        )
    text = f"{test.cookie}={version}; Path=/; Max-Age={test.sticky_for_s}; SameSite=Lax"
    value: Any = {"response": {"add": {_COOKIE: text}}}
    at = f"{path}/headers"
    for name in ("headers", "response", "add"):
        if name not in entry:
            break
        entry, value, at = entry[name], value[_next(name)], f"{at}/{_next(name)}"
    return [{"op": "add", "path": at, "value": value}]


def _next(name: str) -> str:
    return {"headers": "response", "response": "add", "add": _COOKIE}[name]


def _without_cookies(body: Body, host: str) -> list[Operation]:
    """Takes the cookies of a test away, and the maps that nothing is left in."""
    operations: list[Operation] = []
    if not _arm_indices(body, host):
        return operations
    for index in owned_routes(body, host):
        for number, entry in enumerate(body["spec"]["http"][index]["route"]):
            headers = entry.get("headers", {})
            response = headers.get("response", {})
            added = response.get("add", {})
            if _COOKIE not in added:
                continue
            path = f"/spec/http/{index}/route/{number}/headers"
            if len(added) > 1:
                path += f"/response/add/{_COOKIE}"
            elif len(response) > 1:
                path += "/response/add"
            elif len(headers) > 1:
                path += "/response"
            operations.append({"op": "remove", "path": path})
    return operations


def _arm_indices(body: Body, host: str) -> list[int]:
    """Indices of our routes; a name that others gave to a route to elsewhere does not count."""
    namespace = str(body.get("metadata", {}).get("namespace", "default"))
    http = body.get("spec", {}).get("http") or []
    target = target_of(host, namespace)
    return [
        index
        for index, route in enumerate(http)
        if str(route.get("name", "")).startswith(_prefix(host))
        and [target_of(e["destination"]["host"], namespace) for e in route.get("route") or []]
        == [target]
    ]


def _prefix(host: str) -> str:
    return f"mendloop-arm.{host.partition('.')[0]}."
