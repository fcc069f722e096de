"""The kill switch of a cluster: a ConfigMap that anybody with kubectl can write.

Everything: ``kubectl -n mendloop create configmap mendloop-stop --from-literal=STOP="my reason"``,
or, where it is there already, ``kubectl -n mendloop patch configmap mendloop-stop --type merge -p
'{"data": {"STOP": "my reason"}}'``. One target: the key ``STOP.namespace.name``. Any key that
begins with ``stop``, however it is written, and names no target stops everything: a switch that
was mistyped in a hurry must not be one that does nothing.

It is fetched each time. No ConfigMap means no stop; an API server that does not answer, or does not
let mendloop read it, means stop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.kill_switch import Switch
from tools.errors import Conflict, MendloopError, Unavailable
from tools.kubernetes_api import CONFIG_MAP, Exists, KubernetesApi, NotFound

Body = dict[str, Any]
NAME = "mendloop-stop"
_ALL = "STOP"
_TARGET = re.compile(r"^STOP\.(?P<namespace>[a-z0-9][-a-z0-9]*)\.(?P<name>[a-z0-9][-a-z0-9]*)$")
_ATTEMPTS = 5


class StopConfigMap:
    """Implements Switchboard (``orchestrator/kill_switch.py``)."""

    def __init__(self, api: KubernetesApi, *, namespace: str, name: str = NAME) -> None:
        """``namespace`` is mendloop's own."""
        self._api, self._namespace, self._name = api, namespace, name
        self._where = f"ConfigMap {namespace}/{name}"

    def on(self, targets: Sequence[str | None]) -> list[Switch]:
        """See Switchboard."""
        try:
            data = self._data(self._read())
        except MendloopError as error:
            raise Unavailable(f"the kill switch cannot be read: {error}") from error
        found = [
            Switch(target, self._named(_key(target)), data[_key(target)])
            for target in targets
            if _key(target) in data
        ]
        for key, text in sorted(data.items()) if None in targets else ():
            if _is_mistyped(key):
                where = self._named(key)
                found.append(Switch(None, where, text or f"{where} names no target: all stopped"))
        return found

    def turn_on(self, target: str | None, text: str) -> str:
        """See Switchboard."""
        try:
            self._change(lambda data: {**data, _key(target): text})
        except MendloopError as error:
            raise Unavailable(
                f"cannot write {self._where}: {error}; nothing is paused, scale mendloop's "
                "Deployment to 0"
            ) from error
        return self._named(_key(target))

    def turn_off(self, target: str | None) -> None:
        """See Switchboard. Everything goes on only when its mistyped keys are gone too."""

        def without(data: dict[str, str]) -> dict[str, str]:
            gone = {_key(target)}
            if target is None:
                gone |= {key for key in data if _is_mistyped(key)}
            return {key: text for key, text in data.items() if key not in gone}

        try:
            self._change(without)
        except MendloopError as error:
            raise Unavailable(f"cannot write {self._where}: {error}; still paused") from error

    def targets(self) -> list[str]:
        """See Switchboard."""
        found = (_TARGET.match(key) for key in self._data(self._read()))
        return sorted(f"{match['namespace']}/{match['name']}" for match in found if match)

    def _change(self, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Read, change, write, tested by revision; somebody else's write is read again."""
        for _ in range(_ATTEMPTS):
            body = self._read()
            before = self._data(body)
            after = change(before)
            if after == before:
                return
            try:
                if body is None:
                    self._api.create(CONFIG_MAP, self._made(after))
                else:
                    binary = body.get("binaryData") or {}
                    kept = {key: value for key, value in binary.items() if key in after}
                    texts = {key: text for key, text in after.items() if key not in kept}
                    changed = {"data": texts, "binaryData": kept or None}
                    self._api.replace(CONFIG_MAP, {**body, **changed})
                return
            except (Conflict, Exists, NotFound):
                continue
        raise Unavailable(f"{self._where} is written by others all the time")

    def _read(self) -> Body | None:
        try:
            return self._api.read(CONFIG_MAP, self._namespace, self._name)
        except NotFound:
            return None

    def _data(self, body: Body | None) -> dict[str, str]:
        """Keys and texts; what was put there as binary counts by its key."""
        if body is None:
            return {}
        return {**dict.fromkeys(body.get("binaryData") or {}, ""), **(body.get("data") or {})}

    def _made(self, data: dict[str, str]) -> Body:
        meta = {"namespace": self._namespace, "name": self._name}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}

    def _named(self, key: str) -> str:
        return f"{self._where} key {key}"


def _key(target: str | None) -> str:
    """Names hold no dots, so the key can be read back."""
    return _ALL if target is None else f"{_ALL}.{target.replace('/', '.')}"


def _is_mistyped(key: str) -> bool:
    return key.lower().startswith("stop") and key != _ALL and not _TARGET.match(key)
