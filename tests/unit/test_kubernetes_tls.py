"""API servers speak TLS: certificates that are trusted or not, watches that end in the midst."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.promises.test_reads import until
from tests.stand_in.kubernetes_api import Cluster, api_server
from tools.errors import Unavailable
from tools.kubernetes_api import CONFIG_MAP, KubernetesApi
from tools.kubernetes_cache import WatchedObjects

MAP: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"namespace": "default", "name": "one"},
}


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate that signs itself, for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    now, day = datetime.now(UTC), timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return folder / "cert.pem", context


def connected(url: str, trusted: Path | None) -> KubernetesApi:
    from kubernetes import client

    settings = client.Configuration()
    settings.host, settings.retries = url, False
    if trusted is not None:
        settings.ssl_ca_cert = str(trusted)
    return KubernetesApi(client.ApiClient(settings))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path, Cluster]]:
    trusted, context = certificate(tmp_path)
    with api_server(tls=context) as (url, cluster):
        yield url, trusted, cluster


def test_a_watch_over_tls_follows_and_is_stopped(served: tuple[str, Path, Cluster]) -> None:
    """The reader sleeps in TLS, and comes out when it is told to."""
    url, trusted, _ = served
    api = connected(url, trusted)
    objects = WatchedObjects(api, CONFIG_MAP)
    objects.start()
    assert objects.await_copies(5)
    connected(url, trusted).create(CONFIG_MAP, MAP)
    assert until(lambda: objects.find("default", "one") is not None)
    objects.stop()

    assert not objects._thread.is_alive()


def test_a_certificate_that_nobody_trusts_means_nothing_was_sent(
    served: tuple[str, Path, Cluster],
) -> None:
    """Neither a wrong input nor an uncertain write; the reason is told."""
    url, _, cluster = served
    api = connected(url, None)

    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        api.read(CONFIG_MAP, "default", "one")
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        api.apply(CONFIG_MAP, MAP)
    assert cluster.requests == []
