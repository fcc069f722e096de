"""What a document says of a target, with mendloop's stamps on it.

Each write stamps who wrote what into the document's annotations, in the same patch as the routes:
so a write is never done twice, a superseded owner is refused, and somebody else's edit is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from tools.arm_routes import arms_of
from tools.errors import Refused
from tools.json_patch import apply_patch
from tools.traffic import RouteDocument
from tools.traffic_split import TrafficSplit
from tools.values import Value, canonical_json, digest
from tools.virtual_service import annotations_of, read_split

TOKEN = "mendloop.dev/fencing-token"
RECEIPT = "mendloop.dev/receipt"
WRITTEN = "mendloop.dev/written"
SPLIT = "mendloop.dev/split"
PREVIOUS = "mendloop.dev/previous"


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
    is_ab_test: bool = False
    """Callers keep the version that they once got; ``split`` is that of new ones."""


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
        edited=_edit_since(document, stamps, host, split),
        is_ab_test=bool(arms_of(document.body, host)),
    )


def _edit_since(
    document: RouteDocument, stamps: Mapping[str, str], host: str, split: TrafficSplit
) -> str:
    written = stamps.get(WRITTEN)
    if written is None or written == _written(document.body, host):
        return ""
    ours = _recorded_split(stamps.get(SPLIT))
    if ours == split:
        return "the routes of its A/B test are not as mendloop wrote them"
    return f"it has {split}, mendloop wrote {ours or 'something else'}"


def _written(body: Mapping[str, Any], host: str) -> str:
    """Digest of the owned part, from its meaning: stores may reorder or reformat a document."""
    found: dict[str, Any] = {"host": host, "split": read_split(body, host).model_dump()}
    arms = arms_of(body, host)
    return digest({**found, "arms": arms} if arms else found)


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


def stamped(
    document: RouteDocument,
    host: str,
    operations: list[dict[str, Any]],
    *,
    key: str,
    token: int,
) -> list[dict[str, Any]]:
    """``operations``, and the stamps that say who wrote what they come to."""
    where = f"VirtualService {document.namespace}/{document.name}"
    after = apply_patch(document.body, operations, name=where)
    stamps = {
        TOKEN: str(token),
        RECEIPT: key,
        WRITTEN: _written(after, host),
        SPLIT: canonical_json(read_split(after, host).model_dump()),
        PREVIOUS: canonical_json(read_split(document.body, host).model_dump()),
    }
    return operations + stamp_operations(document, stamps)


def stamp_operations(document: RouteDocument, stamps: Mapping[str, str]) -> list[dict[str, Any]]:
    metadata = document.body.get("metadata", {})
    if not metadata.get("annotations"):
        return [{"op": "add", "path": "/metadata/annotations", "value": dict(stamps)}]
    return [
        {"op": "add", "path": f"/metadata/annotations/{name.replace('/', '~1')}", "value": value}
        for name, value in stamps.items()
    ]
