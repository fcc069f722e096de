"""What a cluster's objects look like, read from watches instead of asked for each time.

The rule of staleness:
- A copy shows the world as its watch last heard of it. A watch that hears nothing is renewed every
  ``turn_s``; one that could not be renewed for ``stale_after_s`` answers Unavailable, never old
  news.
- Whoever wrote through the same ``KubernetesApi`` reads at least what it wrote: such an object is
  fetched until the copy agrees with the API server.
- What a write is decided on is fetched, or the write tests the ``resourceVersion`` it was decided
  on. Adapters therefore read copies to observe, and the API server to act.

Cost: one list at the start, then one open request per kind, whatever is in it.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import structlog

from tools.errors import MendloopError, Unavailable
from tools.kubernetes_api import Gone, KubernetesApi, NotFound
from tools.kubernetes_copies import Copies, Key, carries, is_within, key_of, pairs_of, revision_of
from tools.kubernetes_kinds import Kind
from tools.kubernetes_watch import Change, Watch

Body = dict[str, Any]
TURN_S = 30
STALE_AFTER_S = 45.0
_FIRST_RETRY_S = 0.2
_LAST_RETRY_S = 20.0
_SHORT_S = 1.0
"""A watch that ends sooner without a word counts as failed: asking on at once would not end."""

log = structlog.get_logger()


class Reads(Protocol):
    """What may be read of a cluster: from the API server itself, or from copies."""

    def read(self, kind: Kind, namespace: str, name: str) -> Body:
        """One object. Raises NotFound."""

    def list(self, kind: Kind, namespace: str, *, labels: str = "") -> list[Body]:
        """Every object of a kind in a namespace, by selector such as ``app=flights``."""


class WatchedObjects:
    """Copies of all objects of a kind, kept up to date in a thread of their own."""

    def __init__(
        self,
        api: KubernetesApi,
        kind: Kind,
        *,
        namespace: str = "",
        labels: str = "",
        turn_s: int = TURN_S,
        stale_after_s: float = STALE_AFTER_S,
        monotonic_s: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``namespace`` "" is all of them; ``labels`` narrows it down to those that carry them."""
        self.kind, self.namespace, self.labels = kind, namespace, labels
        self._api = api
        self._turn_s, self._stale_after_s = turn_s, stale_after_s
        self._monotonic_s, self._jitter = monotonic_s, jitter
        self._copies = Copies()
        self._doubted: dict[Key, int] = {}
        """Written, and by how many writes so far, since its copy was last known to be new."""
        self._lock = threading.Lock()
        self._changes = 0
        self._revision = ""
        self._heard_s: float | None = None
        self._trouble = "it was not read yet"
        self._watch: Watch | None = None
        self._stopped = threading.Event()
        self._synced = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{kind.plural}", daemon=True)

    def start(self) -> None:
        """Begin to list and watch."""
        self._thread.start()

    def stop(self, *, timeout_s: float = 5.0) -> None:
        """End the watch and its thread."""
        self._stopped.set()
        watch = self._watch
        if watch is not None:
            watch.stop()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def await_copies(self, timeout_s: float) -> bool:
        """Whether everything was read once, within ``timeout_s``."""
        return self._synced.wait(timeout_s)

    def doubt(self, namespace: str, name: str) -> None:
        """Somebody wrote the object: do not answer from its copy until it is known to be new."""
        with self._lock:
            key = (namespace, name)
            self._changes += 1
            self._doubted[key] = self._doubted.get(key, 0) + 1

    @property
    def changes(self) -> int:
        """Grows whenever a copy changed: who remembers it need not read all of them again. Raises
        Unavailable like every read."""
        with self._lock:
            self._check_fresh()
            return self._changes

    def find(self, namespace: str, name: str) -> Body | None:
        """The object; None when there is none. Raises Unavailable when that is not known."""
        key = (namespace, name)
        with self._lock:
            self._check_fresh()
            copy, is_doubted = self._copies.find(key), key in self._doubted
        return self._fetched(key) if is_doubted else copy

    def all(self, namespace: str, labels: str = "") -> list[Body]:
        """Every object in a namespace ("": all), by equality selector. Raises Unavailable."""
        wanted = pairs_of(labels)
        with self._lock:
            self._check_fresh()
            found = self._copies.all(namespace, wanted)
            doubted = [key for key in self._doubted if namespace in ("", key[0])]
        for key in doubted:
            found.pop(key, None)
            body = self._fetched(key)
            if body is not None and carries(body, [*wanted, *pairs_of(self.labels)]):
                found[key] = body
        return [found[key] for key in sorted(found)]

    def _fetched(self, key: Key) -> Body | None:
        """From the API server; the copy is trusted again once it shows the same."""
        with self._lock:
            writes = self._doubted.get(key)
        try:
            body = self._api.read(self.kind, *key)
        except NotFound:
            body = None
        with self._lock:
            is_same = revision_of(self._copies.find(key)) == revision_of(body)
            if is_same and self._doubted.get(key) == writes:  # nobody wrote while it was fetched
                self._doubted.pop(key, None)
        return body

    def _check_fresh(self) -> None:
        silent_s = None if self._heard_s is None else self._monotonic_s() - self._heard_s
        if silent_s is None or silent_s > self._stale_after_s:
            since = "never" if silent_s is None else f"for {silent_s:.0f} s not"
            raise Unavailable(
                f"{self.kind.told(self.namespace)}: the watch was {since} heard of: {self._trouble}"
            )

    def _run(self) -> None:
        retry_s, said = _FIRST_RETRY_S, ""
        while not self._stopped.is_set():
            try:
                if not self._revision:
                    self._list()
                if self._follow():
                    retry_s, said = _FIRST_RETRY_S, ""
                    continue
                self._trouble = "it ends at once, without a word"
            except Gone as error:
                self._revision, self._trouble = "", str(error)
            except MendloopError as error:
                self._trouble = str(error)
            except (KeyError, TypeError) as error:
                self._revision, self._trouble = "", f"an object that makes no sense: {error!r}"
            if self._trouble != said:
                said = self._trouble
                log.warning("watch.broken", kind=self.kind.plural, reason=said)
            self._stopped.wait(retry_s * (0.5 + self._jitter()))
            retry_s = min(2 * retry_s, _LAST_RETRY_S)

    def _list(self) -> None:
        listing = self._api.listing(self.kind, self.namespace, labels=self.labels)
        with self._lock:
            self._copies = Copies()
            for body in listing.items:
                self._copies.put(body)
            self._changes += 1
            self._revision = listing.revision
            self._heard_s = self._monotonic_s()
        self._synced.set()

    def _follow(self) -> bool:
        """One watch to its end; whether it was worth it."""
        began_s, is_heard = self._monotonic_s(), False
        watch = self._api.watch(
            self.kind,
            self.namespace,
            revision=self._revision,
            labels=self.labels,
            timeout_s=max(1, round(self._turn_s * (0.8 + 0.2 * self._jitter()))),
        )
        self._watch = watch
        if self._stopped.is_set():
            watch.stop()
        self._hear(None)
        for change in watch:
            self._hear(change)
            is_heard = True
        ended_s = self._monotonic_s()
        if is_heard or ended_s - began_s >= _SHORT_S:
            self._hear(None)
            return True
        return self._stopped.is_set()

    def _hear(self, change: Change | None) -> None:
        """Take a change in; None: the server answers, and says that there is none."""
        with self._lock:
            self._heard_s = self._monotonic_s()
            match change:
                case Change("ADDED" | "MODIFIED"):
                    self._copies.put(change.body)
                    self._changes += 1
                case Change("DELETED"):
                    self._copies.remove(key_of(change.body))
                    self._changes += 1
            if change is not None:
                self._revision = change.revision


class WatchedReads:
    """Implements Reads: what is watched from its copies, the rest from the API server."""

    def __init__(self, api: KubernetesApi, watched: Sequence[WatchedObjects]) -> None:
        self._api, self._watched = api, tuple(watched)
        api.on_write(self._doubt)

    def start(self) -> None:
        """Begin to watch."""
        for objects in self._watched:
            objects.start()

    def stop(self) -> None:
        """End every watch."""
        for objects in self._watched:
            objects.stop()

    def await_copies(self, timeout_s: float) -> bool:
        """Whether everything was read once, within ``timeout_s``."""
        until_s = time.monotonic() + timeout_s
        return all(o.await_copies(max(0.0, until_s - time.monotonic())) for o in self._watched)

    def read(self, kind: Kind, namespace: str, name: str) -> Body:
        """See Reads. Raises Unavailable when the watch is broken."""
        objects = self._of(kind, namespace)
        found = objects.find(namespace, name) if objects is not None else None
        if found is not None:
            return {**found, "apiVersion": kind.api_version}
        if objects is None or objects.labels:  # it may be there without the labels
            return self._api.read(kind, namespace, name)
        raise NotFound(f"{kind.told(namespace, name)}: not found")

    def list(self, kind: Kind, namespace: str, *, labels: str = "") -> list[Body]:
        """See Reads. Raises Unavailable when the watch is broken."""
        objects = self._of(kind, namespace)
        if objects is None or not is_within(labels, objects.labels):
            return self._api.list(kind, namespace, labels=labels)
        return [{**body, "apiVersion": kind.api_version} for body in objects.all(namespace, labels)]

    def _of(self, kind: Kind, namespace: str) -> WatchedObjects | None:
        """A version of the kind other than the watched one is the same objects."""
        for objects in self._watched:
            is_kind = (objects.kind.group, objects.kind.plural) == (kind.group, kind.plural)
            if is_kind and objects.namespace in ("", namespace):
                return objects
        return None

    def _doubt(self, kind: Kind, namespace: str, name: str) -> None:
        objects = self._of(kind, namespace)
        if objects is not None:
            objects.doubt(namespace, name)
