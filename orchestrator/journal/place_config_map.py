"""Copies of checkpoints in a ConfigMap: off the volume that holds the journal.

Whoever may write the journal's volume and not this ConfigMap cannot rewrite history unseen. Give
mendloop's account ``create`` and ``update`` on it, and nobody else any verb but ``get``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.journal.settings import ConfigMapPlace
from tools.errors import Conflict, Invalid, Refused, Unavailable, Uncertain
from tools.kubernetes_api import CONFIG_MAP, Exists, KubernetesApi, NotFound

Body = dict[str, Any]
Note = tuple[str, str]
_ATTEMPTS = 5
_SUFFIX = ".checkpoint"


class ConfigMapOfCheckpoints:
    """Implements Place (``orchestrator/journal/places.py``)."""

    def __init__(
        self,
        settings: ConfigMapPlace,
        *,
        connect: Callable[[], KubernetesApi] = KubernetesApi.connect,
    ) -> None:
        """The cluster is looked for when it is needed: a journal opens without one."""
        self.name = f"ConfigMap {settings.config_map}"
        self._namespace, _, self._name = settings.config_map.partition("/")
        self._keep = settings.keep
        self._connect = connect
        self._api: KubernetesApi | None = None

    def newest(self) -> int:
        """See Place."""
        return max(map(_size, self.notes()), default=0)

    def notes(self) -> dict[str, str]:
        """Every signed note there, by the name of its file."""
        return _notes(self._read())

    def put(self, notes: Sequence[Note]) -> None:
        """See Place. Only the newest stay: each covers all events before it."""
        for _ in range(_ATTEMPTS):
            body = self._read()
            held = _notes(body)
            for name, text in notes:
                if held.get(name, text) != text:
                    raise Refused(
                        f"{self.name} holds another checkpoint {name} of the same size: one of "
                        "both was not signed over this journal; save it with `kubectl get "
                        "configmap -o yaml` and compare with `mendloop audit verify`"
                    )
            newest = sorted({**held, **dict(notes)}.items(), key=lambda note: _size(note[0]))
            wanted = dict(newest[-self._keep :])
            if wanted == held:
                return
            try:
                self._write(body, wanted)
                return
            except (Conflict, Exists, NotFound, Uncertain):
                continue
        raise Unavailable(f"{self.name} is written by others all the time")

    def _write(self, body: Body | None, notes: dict[str, str]) -> None:
        if body is None:
            meta = {"namespace": self._namespace, "name": self._name}
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": notes}
            self._cluster().create(CONFIG_MAP, made)
            return
        others = {k: v for k, v in (body.get("data") or {}).items() if not k.endswith(_SUFFIX)}
        self._cluster().replace(CONFIG_MAP, {**body, "data": {**others, **notes}})

    def _read(self) -> Body | None:
        try:
            return self._cluster().read(CONFIG_MAP, self._namespace, self._name)
        except NotFound:
            return None

    def _cluster(self) -> KubernetesApi:
        if self._api is None:
            try:
                self._api = self._connect()
            except Invalid as error:
                raise Unavailable(f"{self.name}: {error}") from error
        return self._api


def _notes(body: Body | None) -> dict[str, str]:
    data = (body or {}).get("data") or {}
    return {name: text for name, text in data.items() if _size(name)}


def _size(name: str) -> int:
    """How many events a checkpoint covers, by its name; 0 for what is none."""
    stem = name.removesuffix(_SUFFIX)
    return int(stem) if name.endswith(_SUFFIX) and stem.isdecimal() else 0
