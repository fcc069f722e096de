"""mendloop's chart installed in a real API server, and connections of the accounts it makes."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.infra.programs import helm
from tests.infra.standards import of_kind
from tests.promises.test_reads import until
from tests.stand_in.real_api_server import connection
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_kinds import Kind
from tools.kubernetes_rights import Right, may

_RBAC = "rbac.authorization.k8s.io"
KINDS = {
    "ServiceAccount": Kind(group="", version="v1", kind="ServiceAccount", plural="serviceaccounts"),
    "Role": Kind(group=_RBAC, version="v1", kind="Role", plural="roles"),
    "RoleBinding": Kind(group=_RBAC, version="v1", kind="RoleBinding", plural="rolebindings"),
}


class Release:
    """The chart installed once per level, and a kubeconfig of each service account."""

    def __init__(self, admin: KubernetesApi, own: str, models: str, folder: Path) -> None:
        self.admin, self.own, self.models, self.folder = admin, own, models, folder

    def install(self, level: str) -> KubernetesApi:
        """What the chart says about the account, and the account's connection."""
        values = {"access": {"level": level, "namespaces": [self.models]}}
        objects = of_kind(helm(values, name=f"m-{level}", namespace=self.own), *KINDS)
        for body in objects:
            self.admin.create(KINDS[body["kind"]], body)
        [account] = [o["metadata"]["name"] for o in of_kind(objects, "ServiceAccount")]
        path = f"{KINDS['ServiceAccount'].path(self.own, account)}/token"
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = self.admin._call("POST", path, what="a token", body=request)["status"]["token"]
        settings = self.admin._client.configuration
        self.tell(settings.host, settings.ssl_ca_cert, token)
        api = connection(settings.host, token, settings.ssl_ca_cert)
        last = Right(group="mendloop.dev", resource="managedmodels/status", verb="patch")
        assert until(lambda: may(api, last, self.models)), "RBAC does not learn of the role"
        return api

    def tell(self, host: str, certificate: str, token: str) -> None:
        """A kubeconfig, for who reads one."""
        cluster = {"server": host, "certificate-authority": certificate}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "it",
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "clusters": [{"name": "it", "cluster": cluster}],
            "users": [{"name": "it", "user": {"token": token}}],
        }
        self.kubeconfig.write_text(yaml.safe_dump(document), encoding="utf-8")

    @property
    def kubeconfig(self) -> Path:
        """Of the level that was installed last."""
        return self.folder / "kubeconfig"
