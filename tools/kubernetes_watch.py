"""One watch request: the changes that an API server streams until it or the reader ends it.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes.
A revision that is no longer kept is said by HTTP 410 or, usually, by an ERROR event after HTTP 200.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from tools.errors import Unavailable
from tools.kubernetes_errors import meaning_of_status, translated

Body = dict[str, Any]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]


@dataclass(frozen=True)
class Listing:
    """Every object of a kind, all as of one revision, from which a watch goes on."""

    items: list[Body]
    revision: str


@dataclass(frozen=True)
class Change:
    """What happened; a BOOKMARK's object says nothing but how far the stream has got."""

    type: ChangeType
    body: Body

    @property
    def revision(self) -> str:
        """From which a later watch goes on."""
        return str(self.body["metadata"]["resourceVersion"])


class Watch:
    """Iterate once, in one thread; ``stop`` may be called from another.

    Iterating raises Gone when the revision is no longer kept, and Unavailable when the stream
    breaks. It ends without an error when the server's time is up, or after ``stop``.
    """

    def __init__(self, response: Any, what: str) -> None:
        """``response``: an answer of urllib3 whose body was not read yet."""
        self._response, self._what = response, what
        self._is_stopped = False

    def __iter__(self) -> Iterator[Change]:
        try:
            with translated(self._what, is_write=False):
                for line in self._lines():
                    yield self._change(line)
        except (Unavailable, AttributeError):
            # AttributeError: urllib3 reads on from what ``stop`` has closed in another thread
            if not self._is_stopped:
                raise
        finally:
            self._response.close()

    def stop(self) -> None:
        """End it now; whoever iterates comes out."""
        self._is_stopped = True
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # it has ended already
            self._response.shutdown()

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        for piece in self._response.stream(1 << 16):
            *whole, rest = (rest + piece).split(b"\n")
            yield from (line for line in whole if line.strip())
        if rest.strip():
            yield rest

    def _change(self, line: bytes) -> Change:
        event = json.loads(line)
        match event:
            case {"type": "ERROR", "object": dict(status)}:
                raise meaning_of_status(status, self._what)
            case {
                "type": "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" as kind,
                "object": {"metadata": {"resourceVersion": str()}} as body,
            }:
                return Change(kind, body)
        raise Unavailable(f"{self._what}: expected a change, got {line[:200]!r}")
