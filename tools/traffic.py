"""Port: the VirtualService documents that say which version of a model answers requests.

The port moves documents, nothing else. Which routes belong to a target, how they are edited and
whether the traffic followed is decided above it (``tools/routing.py``) by the same code for every
adapter. Adapters: ``tools/envoy.py`` (one machine), later ``tools/istio.py`` (Kubernetes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tools.values import Value

JsonPatch = Sequence[Mapping[str, Any]]
"""RFC 6902 operations: ``{"op": "replace", "path": "/spec/...", "value": ...}``."""


class RouteDocument(Value):
    """One VirtualService (``networking.istio.io/v1``) as the store holds it.

    ``body`` is the whole document. ``resource_version`` changes with every write, whoever made it.
    """

    name: str
    namespace: str
    body: dict[str, Any]
    resource_version: str


class Traffic(Protocol):
    """Reads and patches VirtualService documents."""

    def read(self, namespace: str, name: str) -> RouteDocument:
        """The document as it is now.

        Raises Invalid when there is none, Unavailable when the store does not answer.
        """

    def patch(
        self, namespace: str, name: str, operations: JsonPatch, *, resource_version: str
    ) -> RouteDocument:
        """Apply ``operations`` atomically if the document still has ``resource_version``.

        Raises Conflict when somebody wrote in between (nothing was changed), Uncertain when the
        answer was lost. Returns the document as stored; whether the data plane follows is a
        separate question, answered by ``applied`` and by the observed traffic share.
        """

    def applied(self, namespace: str, name: str, *, resource_version: str) -> bool | None:
        """Whether the data plane routes by this or a later version. None: it does not say."""
