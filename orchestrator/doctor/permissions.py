"""Whether mendloop's account may do what it will have to do, verb by verb."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from orchestrator.doctor.check import Check, Finding
from tools.kubernetes_api import KubernetesApi
from tools.kubernetes_rights import Right, account_of, granting, may

_AT_ONCE = 8


class Permissions(Check):
    """The rights needed in one namespace, or in all ("")."""

    about = "permissions"

    def __init__(self, api: KubernetesApi, namespace: str, rights: Sequence[Right]) -> None:
        self._api, self._namespace = api, namespace
        self._rights = tuple(dict.fromkeys(rights))

    def findings(self) -> Iterable[Finding]:
        """See Check. One finding for all that is missing: it is granted by one rule."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            answers = list(pool.map(lambda r: may(self._api, r, self._namespace), self._rights))
        missing = [r for r, allowed in zip(self._rights, answers, strict=True) if not allowed]
        where = f"in {self._namespace}" if self._namespace else "in all namespaces"
        if not missing:
            yield self.ok(f"all {len(self._rights)} that are needed {where}")
            return
        account = account_of(self._api)
        yield Finding(
            about=self.about,
            outcome="missing",
            said=f"{account or 'the account'} may not, {where}: {', '.join(map(str, missing))}",
            remedy="grant it with the rules below",
            grant=tuple(granting(missing, self._namespace, account)),
        )
