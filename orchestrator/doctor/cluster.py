"""The cluster: does the API server answer, what is installed, whose clock is right."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from orchestrator.doctor.check import Check, Finding
from orchestrator.kill_switch import KillSwitch
from tools.errors import MendloopError, Refused
from tools.istio import GROUP as ISTIO
from tools.istio import VERSIONS as ISTIO_VERSIONS
from tools.kubernetes_api import KubernetesApi, NotFound
from tools.kubernetes_kinds import (
    AUTOSCALER,
    MANAGED_MODEL,
    NAMESPACE,
    POD_DISRUPTION_BUDGET,
)
from tools.kubernetes_rights import account_of

MOST_SKEW_S = 30.0
"""Tokens and certificates are judged by both clocks; leases are not."""
NOTABLE_SKEW_S = 5.0
_INJECTION = ("istio-injection", "istio.io/rev")


class ApiServer(Check):
    """Whether it answers, and for whom it takes mendloop."""

    about = "api server"

    def __init__(self, api: KubernetesApi) -> None:
        self._api = api

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        self._api.server_time()
        account = account_of(self._api)
        yield self.ok(f"answers{f', for {account}' if account else ''}")


class Clock(Check):
    """This machine's clock beside the API server's."""

    about = "clock"

    def __init__(self, api: KubernetesApi, now: Callable[[], datetime]) -> None:
        self._api, self._now = api, now

    def findings(self) -> Iterable[Finding]:
        """See Check. The header tells whole seconds, and the answer took its time."""
        before = self._now()
        theirs = self._api.server_time()
        after = self._now()
        early, late = (before - theirs).total_seconds(), (after - theirs).total_seconds()
        skew_s = 0.0 if early <= 1.0 and late >= 0.0 else min(abs(early), abs(late))
        if skew_s > MOST_SKEW_S:
            yield self.missing(
                f"{skew_s:.0f} s apart from the API server's clock", "synchronise it (NTP)"
            )
        elif skew_s > NOTABLE_SKEW_S:
            yield self.warning(f"{skew_s:.0f} s apart from the API server's clock")
        else:
            yield self.ok("agrees with the API server's")


class Definitions(Check):
    """Whether the cluster serves the kinds of objects that are needed."""

    about = "custom resources"

    def __init__(
        self, api: KubernetesApi, *, istio: bool, managed_models: bool, servers: bool
    ) -> None:
        self._api, self._istio, self._managed_models = api, istio, managed_models
        self._servers = servers

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        for kind in (POD_DISRUPTION_BUDGET, AUTOSCALER) if self._servers else ():
            if kind.version not in self._api.versions(kind.group):
                yield self.missing(
                    f"{kind.api_version} is not served", "Kubernetes 1.23 or later is needed"
                )
        if self._istio:
            served = [v for v in ISTIO_VERSIONS if v in self._api.versions(ISTIO)]
            if served:
                yield self.ok(f"{ISTIO}/{served[0]} is served")
            else:
                yield self.missing(f"{ISTIO} is not served", "install Istio")
        if self._managed_models:
            if MANAGED_MODEL.version in self._api.versions(MANAGED_MODEL.group):
                yield self.ok(f"{MANAGED_MODEL.api_version} is served")
            else:
                yield self.missing(
                    f"{MANAGED_MODEL.api_version} is not served",
                    "mendloop schema ManagedModel --crd | kubectl apply --server-side -f -",
                )


class Injection(Check):
    """Whether Istio puts its proxy beside the servers: without one no weight moves a request."""

    about = "istio injection"

    def __init__(self, api: KubernetesApi, namespaces: Collection[str]) -> None:
        self._api, self._namespaces = api, namespaces

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        for name in sorted(self._namespaces):
            yield self._of(name)

    def _of(self, name: str) -> Finding:
        look = f"kubectl get namespace {name} --show-labels"
        try:
            labels = self._api.read(NAMESPACE, "", name)["metadata"].get("labels") or {}
        except NotFound:
            return self.missing(f"there is no namespace {name}", f"kubectl create namespace {name}")
        except Refused:  # an account of one namespace cannot read it, and need not
            return self.unknown(f"the labels of namespace {name} may not be read", look)
        if labels.get(_INJECTION[0]) == "enabled" or labels.get(_INJECTION[1]):
            return self.ok(f"namespace {name} gets proxies")
        return self.missing(
            f"namespace {name} is not labelled for injection",
            f"kubectl label namespace {name} {_INJECTION[0]}=enabled (or your revision's label), "
            "then restart its servers",
        )


class KillSwitches(Check):
    """Whether the switch can be read, and whether it is on."""

    about = "kill switch"

    def __init__(self, switch: KillSwitch) -> None:
        self._switch = switch

    def findings(self) -> Iterable[Finding]:
        """See Check."""
        found = self._switch.order(None)
        try:
            paused = self._switch.paused_targets()
        except MendloopError as error:
            yield self.missing(str(error), "a switch that cannot be read stops every change")
            return
        if found is not None:
            by = f" by {found.by}" if found.by else ""
            yield self.warning(f"everything is paused{by}: {found.reason}", "mendloop resume --all")
        for target in paused:
            yield self.warning(f"{target} is paused by its own name", f"mendloop resume {target}")
        if found is None and not paused:
            yield self.ok("can be read, and is off")
