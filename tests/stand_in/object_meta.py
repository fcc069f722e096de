"""What an API server asks of every object, whatever its kind: names, labels, what never changes.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/ and labels/.
"""

from __future__ import annotations

import re
from typing import Any

from tests.stand_in.kubernetes_cluster import Body, Failure, Place

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_MAPS = ("labels", "annotations")


def checked(place: Place, body: Body, standing: Body | None) -> Body:
    """The object without what says nothing; raises Failure where it may not be written so."""
    meta = body["metadata"]
    named = meta.get("name", place.name)
    if named != place.name:
        told = f"the name of the object ({named}) does not match the name on the URL ({place.name})"
        raise Failure(400, "BadRequest", told)
    if meta.get("namespace", place.namespace) != place.namespace:
        raise Failure(400, "BadRequest", "the namespace of the object does not match the URL")
    if not _NAME.fullmatch(place.name) or len(place.name) > 253:
        raise _invalid(place, "metadata.name", place.name, "a lowercase RFC 1123 subdomain")
    for name in _MAPS:
        for key, value in (meta.get(name) or {}).items():
            if not isinstance(value, str):
                raise _invalid(place, f"metadata.{name}", {key: value}, "strings")
            if name == "labels" and not _LABEL.fullmatch(value):
                raise _invalid(place, "metadata.labels", value, "a valid label")
    if standing is not None:
        if meta.get("uid", standing["metadata"].get("uid")) != standing["metadata"].get("uid"):
            raise _invalid(place, "metadata.uid", meta["uid"], "field is immutable")
        if body.get("kind", standing.get("kind")) != standing.get("kind"):
            raise _invalid(place, "kind", body["kind"], f"must be {standing.get('kind')}")
    kept = {name: value for name, value in meta.items() if value or name not in _MAPS}
    return {**body, "metadata": kept}


def _invalid(place: Place, field: str, value: Any, wanted: str) -> Failure:
    told = f'{place.plural} "{place.name}" is invalid: {field}: Invalid value: {value!r}: {wanted}'
    return Failure(422, "Invalid", told)
