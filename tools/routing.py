"""Moves the traffic of a target: reads and shifts the split in its VirtualService, safely.

The same code for every adapter of the Traffic port. Each write stamps on the document who wrote
what (the annotations below), in the same patch as the weights: so a write is never done twice, a
superseded owner is refused, and an edit by somebody else is noticed before the next move.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tools.errors import Conflict, Invalid, Refused, Uncertain
from tools.traffic import RouteDocument, Traffic
from tools.traffic_split import Mirror, TrafficSplit
from tools.values import Value, canonical_json, digest
from tools.virtual_service import annotations_of, read_split, split_operations

__all__ = ["Mirror", "RouteState", "Router", "TrafficSplit", "read_state", "shift_operations"]

TOKEN = "mendloop.dev/fencing-token"
RECEIPT = "mendloop.dev/receipt"
WRITTEN = "mendloop.dev/written"
SPLIT = "mendloop.dev/split"
PREVIOUS = "mendloop.dev/previous"

_ATTEMPTS = 5


class RouteState(Value):
    """What a document says of one target now."""

    split: TrafficSplit
    resource_version: str
    receipt: str = ""
    """Idempotency key of mendloop's last write; empty before the first."""
    token: int = 0
    """Fencing token of the newest owner that wrote; 0 before the first."""
    previous: TrafficSplit | None = None
    """The split before mendloop's last write."""
    edited: str = ""
    """What somebody else changed since mendloop's last write; empty: nothing."""


def read_state(document: RouteDocument, host: str) -> RouteState:
    """The state of ``host`` in ``document``.

    Raises Refused when its routes cannot be told apart safely.
    """
    split = read_split(document.body, host)
    stamps = annotations_of(document.body)
    return RouteState(
        split=split,
        resource_version=document.resource_version,
        receipt=stamps.get(RECEIPT, ""),
        token=_token(document, stamps),
        previous=_recorded_split(stamps.get(PREVIOUS)),
        edited=_edit_since(stamps, host, split),
    )


def shift_operations(
    document: RouteDocument, host: str, split: TrafficSplit, *, key: str, token: int
) -> list[dict[str, Any]]:
    """The patch that makes ``split`` true and stamps it; no rule is checked here."""
    before = read_split(document.body, host)
    stamps = {
        TOKEN: str(token),
        RECEIPT: key,
        WRITTEN: _written(host, split),
        SPLIT: canonical_json(split.model_dump()),
        PREVIOUS: canonical_json(before.model_dump()),
    }
    return split_operations(document.body, host, split) + _stamp_operations(document, stamps)


class Router:
    """Reads and shifts splits through a Traffic port."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    def split(self, namespace: str, name: str, host: str) -> RouteState:
        """The split of ``host`` in the document, with mendloop's stamps on it."""
        return read_state(self._traffic.read(namespace, name), host)

    def shift(
        self,
        namespace: str,
        name: str,
        host: str,
        split: TrafficSplit,
        *,
        key: str,
        token: int,
        expect: TrafficSplit | None = None,
    ) -> RouteDocument:
        """Make ``split`` true, once per ``key``; the document as it then is.

        ``expect`` is the split that the decision rested on. Raises Conflict when another one is in
        force or others keep writing; Refused on a stale token, on somebody else's edit, and on a
        document that cannot be edited safely; Invalid when the key stands for another split;
        Uncertain when reading back could not tell whether the write arrived.
        """
        lost: Uncertain | None = None
        where = f"VirtualService {namespace}/{name}"
        for _ in range(_ATTEMPTS):
            document = self._traffic.read(namespace, name)
            state = read_state(document, host)
            _check_owner(where, state, token)
            is_done = state.receipt == key and state.split == split
            if not is_done:
                _check_move(where, state, key, split, expect)
            try:
                if is_done:
                    return self._claimed(document, state, token)
                operations = shift_operations(document, host, split, key=key, token=token)
                return self._patch(document, operations)
            except Uncertain as error:
                lost = error
            except Conflict:
                continue
        if lost:
            raise Uncertain(f"{where}: {split} may or may not be in force: {lost}") from lost
        raise Conflict(f"{where} was written by others {_ATTEMPTS} times in a row; try again")

    def claim(self, namespace: str, name: str, host: str, *, token: int) -> RouteDocument:
        """Stamp a new owner's token, so that the former owner's late writes are refused.

        Changes no route. Idempotent. Raises like ``shift``, except on somebody else's edit.
        """
        where = f"VirtualService {namespace}/{name}"
        for _ in range(_ATTEMPTS):
            document = self._traffic.read(namespace, name)
            state = read_state(document, host)
            _check_owner(where, state, token)
            try:
                return self._claimed(document, state, token)
            except (Conflict, Uncertain):
                continue
        raise Conflict(f"{where} was written by others {_ATTEMPTS} times in a row; try again")

    def adopt(self, namespace: str, name: str, host: str, *, key: str, token: int) -> RouteDocument:
        """Stamp the split that is in force as mendloop's own, after a person handed it back.

        Changes no route. Idempotent. Raises like ``claim``.
        """
        where = f"VirtualService {namespace}/{name}"
        for _ in range(_ATTEMPTS):
            document = self._traffic.read(namespace, name)
            state = read_state(document, host)
            _check_owner(where, state, token)
            try:
                if not state.edited:
                    return self._claimed(document, state, token)
                operations = shift_operations(document, host, state.split, key=key, token=token)
                return self._patch(document, operations)
            except (Conflict, Uncertain):
                continue
        raise Conflict(f"{where} was written by others {_ATTEMPTS} times in a row; try again")

    def applied(self, namespace: str, name: str, *, resource_version: str) -> bool | None:
        """Whether the data plane routes by this version or a later one; None: it does not say."""
        return self._traffic.applied(namespace, name, resource_version=resource_version)

    def _claimed(self, document: RouteDocument, state: RouteState, token: int) -> RouteDocument:
        if token == state.token:
            return document
        return self._patch(document, _stamp_operations(document, {TOKEN: str(token)}))

    def _patch(self, document: RouteDocument, operations: list[dict[str, Any]]) -> RouteDocument:
        return self._traffic.patch(
            document.namespace,
            document.name,
            operations,
            resource_version=document.resource_version,
        )


def _check_owner(where: str, state: RouteState, token: int) -> None:
    if token < state.token:
        raise Refused(
            f"{where} belongs to the owner with fencing token {state.token}; a write with token "
            f"{token} came too late. Take the lease anew before acting"
        )


def _check_move(
    where: str, state: RouteState, key: str, split: TrafficSplit, expect: TrafficSplit | None
) -> None:
    if state.edited:
        raise Refused(
            f"{where} was edited by somebody else: {state.edited}. mendloop stands down until "
            "`mendloop hand-back` gives the target back"
        )
    if state.receipt == key:
        raise Invalid(
            f"{where}: the key {key} already stands for {state.split}, not {split}", field="key"
        )
    if expect is not None and state.split != expect:
        raise Conflict(f"{where} has {state.split}, expected {expect}: read again, decide again")


def _edit_since(stamps: Mapping[str, str], host: str, split: TrafficSplit) -> str:
    written = stamps.get(WRITTEN)
    if written is None or written == _written(host, split):
        return ""
    ours = _recorded_split(stamps.get(SPLIT))
    return f"it has {split}, mendloop wrote {ours or 'something else'}"


def _written(host: str, split: TrafficSplit) -> str:
    """Digest of the owned part, from its meaning: stores may reorder or reformat a document."""
    return digest({"host": host, "split": split.model_dump()})


def _recorded_split(text: str | None) -> TrafficSplit | None:
    if text is None:
        return None
    try:
        return TrafficSplit.model_validate_json(text)
    except ValidationError:
        return None


def _token(document: RouteDocument, stamps: Mapping[str, str]) -> int:
    try:
        return int(stamps.get(TOKEN, "0"))
    except ValueError as error:
        where = f"VirtualService {document.namespace}/{document.name}"
        raise Refused(
            f"{where}: the annotation {TOKEN} is {stamps[TOKEN]!r}, expected a whole number; "
            "restore it, or remove it when no mendloop acts on the document"
        ) from error


def _stamp_operations(document: RouteDocument, stamps: Mapping[str, str]) -> list[dict[str, Any]]:
    metadata = document.body.get("metadata", {})
    if not metadata.get("annotations"):
        return [{"op": "add", "path": "/metadata/annotations", "value": dict(stamps)}]
    return [
        {"op": "add", "path": f"/metadata/annotations/{name.replace('/', '~1')}", "value": value}
        for name, value in stamps.items()
    ]
