"""Which versions Istio may send requests to: the subsets of a host's DestinationRule.

Implements the Endpoints that the workloads adapters tell. A subset selects pods by their label
``version``; what else stands in the rule (load balancing, outlier detection, TLS) is others'.
"""

from __future__ import annotations

from typing import Any

from tools.errors import Conflict, Refused, Unavailable
from tools.istio import Istio
from tools.kubernetes_api import (
    DESTINATION_RULE,
    VIRTUAL_SERVICE,
    Exists,
    KubernetesApi,
    NotAsRead,
    NotFound,
)
from tools.kubernetes_cache import Reads
from tools.virtual_service import references, target_of

Body = dict[str, Any]
_ATTEMPTS = 5


class IstioSubsets:
    """Implements Endpoints; a host without a DestinationRule gets one of its own."""

    def __init__(self, api: KubernetesApi, *, reads: Reads | None = None) -> None:
        """``reads`` tells, from copies perhaps, that there is nothing to publish."""
        self._api, self._reads = api, reads or api
        self._istio = Istio(api)

    def publish(self, target: str, version: str, address: str) -> None:
        """See Endpoints; ``address`` is of no use here, pods are found by label."""
        if _declares(self._rule(target, self._reads), version):
            return
        for _ in range(_ATTEMPTS):
            rule = self._rule(target)
            if rule is None:
                if self._create(target, version):
                    return
                continue
            if _declares(rule, version):
                return
            subsets = rule["spec"].get("subsets") or []
            change = {"op": "add", "path": "/spec/subsets", "value": [*subsets, _subset(version)]}
            if self._patched(rule, change):
                return
        raise Conflict(f"the DestinationRule of {target} is written by others all the time")

    def withdraw(self, target: str, version: str) -> None:
        """See Endpoints."""
        namespace, subset = target.partition("/")[0], f"v{version}"
        for body in self._api.list(self._istio.of(VIRTUAL_SERVICE), namespace):
            routes = body.get("spec", {}).get("http") or []
            found = {each for route in routes for each in references(route, namespace)}
            if (target, subset) in found:
                name = body["metadata"]["name"]
                raise Refused(f"{subset} of {target} still gets requests by {namespace}/{name}")
        for _ in range(_ATTEMPTS):
            rule = self._rule(target)
            subsets = (rule or {"spec": {}})["spec"].get("subsets") or []
            left = [each for each in subsets if each["name"] != subset]
            if rule is None or left == subsets:
                return
            if self._patched(rule, {"op": "add", "path": "/spec/subsets", "value": left}):
                return
        raise Conflict(f"the DestinationRule of {target} is written by others all the time")

    def versions(self, target: str) -> tuple[str, ...]:
        """The versions that have a subset."""
        rule = self._rule(target, self._reads)
        subsets = (rule or {"spec": {}})["spec"].get("subsets") or []
        return tuple(each["name"].removeprefix("v") for each in subsets)

    def _rule(self, target: str, reads: Reads | None = None) -> Body | None:
        namespace = target.partition("/")[0]
        rules = [
            rule
            for rule in (reads or self._api).list(self._istio.of(DESTINATION_RULE), namespace)
            if target_of(str(rule["spec"].get("host", "")), namespace) == target
        ]
        if len(rules) > 1:
            names = ", ".join(rule["metadata"]["name"] for rule in rules)
            raise Refused(f"several DestinationRules are about {target}: {names}; leave one")
        return rules[0] if rules else None

    def _create(self, target: str, version: str) -> bool:
        namespace, host = target.split("/", 1)
        kind = self._istio.of(DESTINATION_RULE)
        try:
            self._api.create(
                kind,
                {
                    "apiVersion": kind.api_version,
                    "kind": kind.kind,
                    "metadata": {"namespace": namespace, "name": host},
                    "spec": {"host": host, "subsets": [_subset(version)]},
                },
            )
        except Exists as error:
            if self._rule(target) is None:
                raise Unavailable(
                    f"the DestinationRule {target} is about another host; rename it"
                ) from error
            return False
        return True

    def _patched(self, rule: Body, change: Body) -> bool:
        """Whether the change took effect; False: somebody wrote in between."""
        meta = rule["metadata"]
        revision = meta["resourceVersion"]
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": revision}
        kind = self._istio.of(DESTINATION_RULE)
        try:
            self._api.patch(kind, meta["namespace"], meta["name"], [test, change])
        except (Conflict, NotAsRead, NotFound):
            return False
        return True


def _declares(rule: Body | None, version: str) -> bool:
    subsets = (rule or {"spec": {}})["spec"].get("subsets") or []
    return any(subset["name"] == f"v{version}" for subset in subsets)


def _subset(version: str) -> Body:
    return {"name": f"v{version}", "labels": {"version": f"v{version}"}}
