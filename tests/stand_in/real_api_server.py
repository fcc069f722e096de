"""A real API server in processes of its own: etcd and kube-apiserver, as envtest starts them.

Flags are those that kube-apiserver has had from 1.20 to today. There is no controller manager: a
namespace that is deleted stays Terminating, nobody makes pods, and the service account that pods
run under by default does not come by itself.
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from socket import create_server
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tools.errors import MendloopError
from tools.kubernetes_api import KubernetesApi

_DEADLINE_S = 120.0


@contextmanager
def started(folder: Path, assets: Path) -> Iterator[KubernetesApi]:
    """Its administrator's connection; etcd and kube-apiserver end with the block."""
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
        "--service-cluster-ip-range=10.0.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--disable-admission-plugins=ServiceAccount",
    ]
    with ExitStack() as stack:
        running = [
            stack.enter_context(_process(command, folder / f"{name}.log"))
            for name, command in (("etcd", etcd), ("kube-apiserver", apiserver))
        ]
        certificate = folder / "certificates" / "apiserver.crt"
        _await(certificate.exists, "writes no certificate", folder, running)
        api = connection(f"https://127.0.0.1:{secure}", token, certificate)
        _await(lambda: _is_ready(api), "does not get ready", folder, running)
        yield api
    shutil.rmtree(folder / "etcd", ignore_errors=True)


def connection(url: str, token: str, certificate: str | Path) -> KubernetesApi:
    """By a bearer token, to a server with a certificate of its own."""
    from kubernetes import client

    settings = client.Configuration()
    settings.host = url
    settings.ssl_ca_cert = str(certificate)
    settings.api_key["authorization"] = f"Bearer {token}"
    settings.retries = False
    return KubernetesApi(client.ApiClient(settings))


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _is_ready(api: KubernetesApi) -> bool:
    """It has made its first namespace and RBAC's own roles; what is refused is not there yet."""
    try:
        api._client.call_api("/readyz", "GET", auth_settings=["BearerToken"])
        return bool(api._call("GET", "/api/v1/namespaces/default", what="namespace default"))
    except (MendloopError, *_no_answer()):
        return False


def _no_answer() -> tuple[type[Exception], ...]:
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    return (ApiException, HTTPError)


def _await(
    holds: Callable[[], bool],
    complaint: str,
    folder: Path,
    running: list[subprocess.Popen[bytes]],
) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not holds():
        has_ended = any(process.poll() is not None for process in running)
        if has_ended or time.monotonic() > deadline:
            tails = [
                f"{log.name}:\n{log.read_text(errors='replace')[-2000:]}"
                for log in sorted(folder.glob("*.log"))
            ]
            raise AssertionError(f"the API server {complaint}:\n" + "\n".join(tails))
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
