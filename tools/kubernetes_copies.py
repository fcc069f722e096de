"""Copies of a cluster's objects in memory, found by name, namespace and label.

Kept as JSON text: a fraction of the memory of parsed objects, and whoever reads one may change what
it got. ``managedFields``, half of most objects, are left out: the API server keeps its own when
they are missing in what is written.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

Body = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""
Pair = tuple[str, str | None]
"""Label and value; None: whatever its value."""


class Copies:
    """Not safe for threads; who shares it holds a lock."""

    def __init__(self) -> None:
        self._texts: dict[Key, str] = {}
        self._pairs: dict[Key, tuple[Pair, ...]] = {}
        self._by_pair: defaultdict[Pair, set[Key]] = defaultdict(set)

    def put(self, body: Body) -> None:
        """Keep this one instead of what was there under its name."""
        key = key_of(body)
        self.remove(key)
        meta = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
        self._texts[key] = json.dumps({**body, "metadata": meta}, separators=(",", ":"))
        labels = (meta.get("labels") or {}).items()
        self._pairs[key] = tuple(pair for n, v in labels for pair in ((n, v), (n, None)))
        for pair in self._pairs[key]:
            self._by_pair[pair].add(key)

    def remove(self, key: Key) -> None:
        """Forget it; one that is not there is no error."""
        self._texts.pop(key, None)
        for pair in self._pairs.pop(key, ()):
            self._by_pair[pair].discard(key)
            if not self._by_pair[pair]:
                del self._by_pair[pair]

    def find(self, key: Key) -> Body | None:
        """The reader's own copy."""
        text = self._texts.get(key)
        return None if text is None else _parsed(text)

    def all(self, namespace: str, pairs: Sequence[Pair] = ()) -> dict[Key, Body]:
        """Those in a namespace ("": all) that carry all the labels."""
        return {
            key: _parsed(self._texts[key])
            for key in self._candidates(pairs)
            if namespace in ("", key[0])
        }

    def _candidates(self, pairs: Sequence[Pair]) -> Iterable[Key]:
        if not pairs:
            return self._texts
        return set.intersection(*(self._by_pair.get(pair, set()) for pair in pairs))


def key_of(body: Body) -> Key:
    """Where an object stands."""
    return body["metadata"].get("namespace", ""), body["metadata"]["name"]


def revision_of(body: Body | None) -> str:
    """Which state of the object this is; empty for none."""
    return "" if body is None else str(body["metadata"]["resourceVersion"])


def pairs_of(selector: str) -> list[Pair]:
    """The labels that a selector such as ``app=flights,version`` asks for: equal to a value, or
    there at all."""
    parts = [part.partition("=") for part in selector.split(",") if part]
    return [
        (name.strip(), value.lstrip("=").strip() if is_ else None) for name, is_, value in parts
    ]


def is_within(asked: str, kept: str) -> bool:
    """Whether whatever fits the selector ``asked`` fits ``kept`` too."""
    wanted = pairs_of(asked)
    names = {name for name, _ in wanted}
    return all(
        name in names if value is None else (name, value) in wanted
        for name, value in pairs_of(kept)
    )


def carries(body: Body, pairs: Sequence[Pair]) -> bool:
    """Whether an object has all the labels."""
    labels = body["metadata"].get("labels") or {}
    return all(
        name in labels if value is None else labels.get(name) == value for name, value in pairs
    )


def _parsed(text: str) -> Body:
    body: Body = json.loads(text)
    return body
