"""The API server that tests of Kubernetes adapters talk to: a real one where there is one.

``KUBEBUILDER_ASSETS`` names a folder with ``etcd`` and ``kube-apiserver`` (the convention of
controller-runtime's envtest); ``MENDLOOP_TEST_CLUSTER=1`` takes the current kubeconfig context.
``MENDLOOP_ISTIO_CRDS`` is a file with Istio's custom resource definitions. Without any of them
``open_stand_in`` is there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import create_server
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.stand_in.kubernetes_api import api_server
from tools.errors import MendloopError
from tools.kubernetes_api import Kind, KubernetesApi
from tools.kubernetes_cache import WatchedObjects, WatchedReads

ASSETS, CLUSTER, CRDS = "KUBEBUILDER_ASSETS", "MENDLOOP_TEST_CLUSTER", "MENDLOOP_ISTIO_CRDS"
_DEADLINE_S = 120.0
_NAMESPACE = Kind(group="", version="v1", kind="Namespace", plural="namespaces")
_DEFINITION = Kind(
    group="apiextensions.k8s.io",
    version="v1",
    kind="CustomResourceDefinition",
    plural="customresourcedefinitions",
)


def why_no_real_one() -> str:
    """Empty where a real API server can be had; else what is missing."""
    assets = os.environ.get(ASSETS)
    if not assets and os.environ.get(CLUSTER) != "1":
        return f"no real API server: set {ASSETS} or {CLUSTER}=1"
    if not os.environ.get(CRDS):
        return f"Istio's definitions are needed: set {CRDS} to their file"
    return ""


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
        if os.environ.get(CLUSTER) == "1":
            api = KubernetesApi.connect()
        else:
            api = stack.enter_context(_started(folder, Path(os.environ[ASSETS])))
        _install(api, Path(os.environ[CRDS]))
        yield api


@contextmanager
def fresh_namespace(api: KubernetesApi) -> Iterator[str]:
    """A namespace of its own, asked to go at the end."""
    name = f"mendloop-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    api._call("POST", "/api/v1/namespaces", what=f"namespace {name}", body=body)
    try:
        yield name
    finally:
        api._call("DELETE", f"/api/v1/namespaces/{name}", what=f"namespace {name}")


@contextmanager
def _started(folder: Path, assets: Path) -> Iterator[KubernetesApi]:
    """etcd and kube-apiserver on free ports, as envtest starts them."""
    clients, peers, secure = _free_port(), _free_port(), _free_port()
    etcd = [
        str(assets / "etcd"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls=http://127.0.0.1:{clients}",
        f"--advertise-client-urls=http://127.0.0.1:{clients}",
        f"--listen-peer-urls=http://127.0.0.1:{peers}",
        "--unsafe-no-fsync",
    ]
    key, token = folder / "service-accounts.key", uuid.uuid4().hex
    key.write_bytes(_private_key())
    (folder / "tokens.csv").write_text(f'{token},admin,admin,"system:masters"\n')
    apiserver = [
        str(assets / "kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{clients}",
        f"--cert-dir={folder / 'certificates'}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={secure}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--disable-admission-plugins=ServiceAccount",
        "--allow-privileged=true",
    ]
    with ExitStack() as stack:
        for name, command in (("etcd", etcd), ("kube-apiserver", apiserver)):
            stack.enter_context(_process(command, folder / f"{name}.log"))
        certificate = folder / "certificates" / "apiserver.crt"
        _await(certificate.exists, "writes no certificate", folder)
        api = _connection(f"https://127.0.0.1:{secure}", token, certificate)
        _await(lambda: _has_default_namespace(api), "does not get ready", folder)
        yield api
    shutil.rmtree(folder / "etcd", ignore_errors=True)


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _connection(url: str, token: str, certificate: Path) -> KubernetesApi:
    from kubernetes import client

    settings = client.Configuration()
    settings.host = url
    settings.ssl_ca_cert = str(certificate)
    settings.api_key["authorization"] = f"Bearer {token}"
    settings.retries = False
    return KubernetesApi(client.ApiClient(settings))


def _has_default_namespace(api: KubernetesApi) -> bool:
    """The server makes it itself once it is at work."""
    try:
        return bool(api._call("GET", "/api/v1/namespaces/default", what="namespace default"))
    except MendloopError:
        return False


def _await(holds: Callable[[], bool], complaint: str, folder: Path) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not holds():
        if time.monotonic() > deadline:
            tail = (folder / "kube-apiserver.log").read_text(errors="replace")[-2000:]
            raise AssertionError(f"the API server {complaint}:\n{tail}")
        threading.Event().wait(0.2)


def _install(api: KubernetesApi, file: Path) -> None:
    """Istio's definitions, and the wait until they are served."""
    path = f"/apis/{_DEFINITION.group}/v1/{_DEFINITION.plural}"
    for body in yaml.safe_load_all(file.read_text(encoding="utf-8")):
        if not body or body.get("kind") != _DEFINITION.kind:
            continue
        name = body["metadata"]["name"]
        query = [("fieldManager", "tests"), ("force", "true")]
        content = "application/apply-patch+yaml"
        api._call("PATCH", f"{path}/{name}", what=name, body=body, content=content, query=query)
    deadline = time.monotonic() + _DEADLINE_S
    while not api.versions("networking.istio.io"):
        assert time.monotonic() < deadline, "Istio's definitions are not served"
        threading.Event().wait(0.2)


def _private_key() -> bytes:
    key: Any = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _free_port() -> int:
    with create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
