"""Reaches what a Platform document names, for commands beside the controller: nothing is made."""

from __future__ import annotations

from pathlib import Path

from orchestrator.journal.address import JournalAddress
from orchestrator.journal.keys import put_given_key
from orchestrator.kill_switch import STOP_FILE, AnyOf, KillSwitch, StopFiles
from orchestrator.platform.connections import Kubernetes
from orchestrator.platform.document import PlatformSpec
from orchestrator.stop_config_map import StopConfigMap
from tools.kubernetes_api import KubernetesApi
from tools.postgres_errors import url_with_password
from tools.secret_source import SecretFrom

_SQLITE = "sqlite:///"


def kubernetes(settings: Kubernetes) -> KubernetesApi:
    """The cluster. Raises Invalid where none is configured."""
    if settings.url:
        api = KubernetesApi.at(settings.url)
    else:
        api = KubernetesApi.connect(
            kubeconfig=settings.kubeconfig or None, context=settings.context or None
        )
    connect_s = settings.connect_timeout.total_seconds()
    api.timeout_s = (connect_s, settings.read_timeout.total_seconds())
    return api


def kill_switch(spec: PlatformSpec, api: KubernetesApi | None) -> KillSwitch:
    """The files in the home, and the ConfigMap where one is named: that comes first."""
    files = StopFiles(spec.home / STOP_FILE)
    if not spec.kill_switch.config_map or api is None or spec.kubernetes is None:
        return KillSwitch(files)
    namespace, name = spec.kubernetes.namespace, spec.kill_switch.config_map
    return KillSwitch(AnyOf(StopConfigMap(api, namespace=namespace, name=name), files))


def keys(spec: PlatformSpec) -> Path:
    """The folder with the key that signs the journal."""
    url = spec.journal.url
    is_file = url.startswith(_SQLITE)
    return (Path(url.removeprefix(_SQLITE)).parent if is_file else spec.home) / "keys"


def put_key(spec: PlatformSpec) -> None:
    """The key that is kept elsewhere, put where the journal looks for one."""
    if spec.journal.key_from is not None:
        put_given_key(keys(spec), spec.journal.key_from.read("journal.keyFrom"))


def journal(spec: PlatformSpec) -> JournalAddress:
    """Where the journal is, its key in place. Raises Invalid where a secret cannot be had."""
    put_key(spec)
    return address(spec)


def address(spec: PlatformSpec) -> JournalAddress:
    """Where the journal is, for those who only look: nothing is written."""
    url = spec.journal.url
    if url.startswith(_SQLITE):
        path = Path(url.removeprefix(_SQLITE))
        return JournalAddress(path.parent, file=path.name)
    return JournalAddress(spec.home, database_url(url, spec.journal.password_from, "journal"))


def database_url(url: str, password: SecretFrom | None, what: str) -> str:
    """The URL with its password. Raises Invalid when that cannot be had."""
    if password is None or not url:
        return url
    return url_with_password(url, password.read(f"{what}.passwordFrom"))
