"""The API server that tests of Kubernetes adapters talk to: a real one where there is one.

``KUBEBUILDER_ASSETS`` names a folder with ``etcd`` and ``kube-apiserver`` (the convention of
controller-runtime's envtest); ``MENDLOOP_TEST_CLUSTER=1`` takes the current kubeconfig context.
``MENDLOOP_ISTIO_CRDS`` is a file with Istio's custom resource definitions. Without any of them
``open_stand_in`` is there.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.stand_in.kubernetes_api import api_server
from tests.stand_in.real_api_server import started
from tools.kubernetes_api import Exists, Kind, KubernetesApi, NotFound
from tools.kubernetes_cache import WatchedObjects, WatchedReads
from tools.kubernetes_kinds import CUSTOM_RESOURCE_DEFINITION, NAMESPACE

ASSETS, CLUSTER, CRDS = "KUBEBUILDER_ASSETS", "MENDLOOP_TEST_CLUSTER", "MENDLOOP_ISTIO_CRDS"
_DEADLINE_S = 120.0
_ACCOUNT = Kind(group="", version="v1", kind="ServiceAccount", plural="serviceaccounts")
_QUOTA = Kind(group="", version="v1", kind="ResourceQuota", plural="resourcequotas")


def why_no_real_one() -> str:
    """Empty where a real API server can be had; else what is missing."""
    assets = os.environ.get(ASSETS)
    if not assets and not _is_cluster():
        return f"no real API server: set {ASSETS} or {CLUSTER}=1"
    for name in ("etcd", "kube-apiserver") if not _is_cluster() else ():
        if not (Path(assets or "") / name).is_file():
            return f"no real API server: there is no {name} in {ASSETS}={assets}"
    if not os.environ.get(CRDS):
        return f"Istio's definitions are needed: set {CRDS} to their file"
    return ""


def skip_unless_served(api: KubernetesApi, *kinds: Kind) -> None:
    """Skip the test where the API server is too old for what is tested."""
    for kind in kinds:
        if kind.version not in api.versions(kind.group):
            pytest.skip(f"the API server serves no {kind.api_version} (as old ones do not)")


@contextmanager
def open_stand_in() -> Iterator[KubernetesApi]:
    """The stand-in, over HTTP."""
    with api_server() as (url, _):
        yield KubernetesApi.at(url)


@contextmanager
def watching(
    api: KubernetesApi, kinds: Sequence[Kind], namespace: str = ""
) -> Iterator[WatchedReads]:
    """Copies of these kinds, read once; the watches end with the block."""
    reads = WatchedReads(api, [WatchedObjects(api, kind, namespace=namespace) for kind in kinds])
    reads.start()
    try:
        assert reads.await_copies(_DEADLINE_S)
        yield reads
    finally:
        reads.stop()


@contextmanager
def open_real(folder: Path) -> Iterator[KubernetesApi]:
    """A real API server with Istio's definitions in it; what was started ends with the block."""
    with ExitStack() as stack:
        if _is_cluster():
            api = KubernetesApi.connect()
        else:
            api = stack.enter_context(started(folder, Path(os.environ[ASSETS])))
        text = Path(os.environ[CRDS]).read_text(encoding="utf-8")
        bodies = [body for body in yaml.safe_load_all(text) if body]
        define(api, [b for b in bodies if b.get("kind") == CUSTOM_RESOURCE_DEFINITION.kind])
        yield api


def define(api: KubernetesApi, definitions: Sequence[dict[str, Any]]) -> None:
    """Custom resource definitions as they stand in the file, and the wait until they are served.
    Created, not applied: server-side apply refuses what an older server's schema does not know.
    One that is there is left as it is."""
    for body in definitions:
        with suppress(Exists):
            api.create(CUSTOM_RESOURCE_DEFINITION, body)
    await_served(api, definitions)


def await_served(api: KubernetesApi, definitions: Sequence[dict[str, Any]]) -> None:
    """Each in every version: a group may be known while its second kind is still 404."""
    for body in definitions:
        name, spec = body["metadata"]["name"], body["spec"]
        for version in [v["name"] for v in spec["versions"] if v["served"]]:
            kind, plural = spec["names"]["kind"], spec["names"]["plural"]
            listed = Kind(group=spec["group"], version=version, kind=kind, plural=plural)
            _await(partial(_is_listed, api, listed), f"{name} {version} is not served")


@contextmanager
def fresh_namespace(api: KubernetesApi) -> Iterator[str]:
    """A namespace of its own, asked to go at the end. What plays the kubelet may make its pods in
    it, and the controllers of a whole cluster none of theirs."""
    name = f"mendloop-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    api.create(NAMESPACE, body)
    try:
        if _is_cluster():
            _await(lambda: _is_there(api, _ACCOUNT, name, "default"), f"{name} is not set up")
            meta = {"namespace": name, "name": "no-pods"}
            spec = {"hard": {"pods": "0"}, "scopes": ["NotTerminating"]}
            quota = {"apiVersion": "v1", "kind": _QUOTA.kind, "metadata": meta, "spec": spec}
            api.create(_QUOTA, quota)
        yield name
    finally:
        api.delete(NAMESPACE, "", name)


def _is_cluster() -> bool:
    return os.environ.get(CLUSTER) == "1"


def _is_listed(api: KubernetesApi, kind: Kind) -> bool:
    try:
        api.list(kind, "")
    except NotFound:
        return False
    return True


def _is_there(api: KubernetesApi, kind: Kind, namespace: str, name: str) -> bool:
    try:
        api.read(kind, namespace, name)
    except NotFound:
        return False
    return True


def _await(holds: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, complaint
        threading.Event().wait(0.1)
