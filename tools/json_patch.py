"""Applies RFC 6902 patches to documents: all operations or none."""

from __future__ import annotations

from typing import Any

import jsonpatch
from jsonpointer import JsonPointerException

from tools.errors import Conflict, Invalid
from tools.traffic import JsonPatch


def apply_patch(body: dict[str, Any], operations: JsonPatch, *, name: str) -> dict[str, Any]:
    """A patched copy of ``body``; ``name`` says in errors what it is.

    Raises Conflict when a ``test`` operation finds something else than it expects, Invalid when the
    patch does not fit the document.
    """
    try:
        patched = jsonpatch.apply_patch(body, [dict(operation) for operation in operations])
    except jsonpatch.JsonPatchTestFailed as error:
        raise Conflict(f"{name} is not as it was read: {error}") from error
    except (jsonpatch.JsonPatchException, JsonPointerException, TypeError) as error:
        raise Invalid(f"the patch does not fit {name}: {error}") from error
    if not isinstance(patched, dict):
        raise Invalid(f"the patch makes {name} something else than a document")
    return patched
