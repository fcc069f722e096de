"""Writes what is known of the models back to their custom resources, beside the loop.

Nothing here delays a tick or stops one: a status that cannot be written is kept, overtaken by the
next one, and tried again at growing intervals. Only what changed is written.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from pydantic import ValidationError

from orchestrator.resources.source import Resource, ResourceRef
from orchestrator.resources.standing import Standing, refused_status, status_of
from tools.errors import Invalid, Refused, Unavailable, Uncertain
from tools.kubernetes_api import KubernetesApi, NotFound
from tools.kubernetes_events import Regarding, Told, tell
from tools.kubernetes_kinds import MANAGED_MODEL
from tools.managed_model_status import LastIncident, ManagedModelStatus

Body = dict[str, Any]
FIRST_RETRY_S, LAST_RETRY_S = 1.0, 60.0
EVENTS_KEPT = 1000
"""Events that wait for an API server; older ones are in the journal."""
NEWS = timedelta(minutes=10)
"""An incident that opened or ended longer ago is no news to a controller that just began."""

FRESH = timedelta(minutes=1)
"""What this controller saw longer ago may be another one's to tell by now."""

log = structlog.get_logger()


class StatusReporter:
    """One per controller. ``report`` and ``refuse`` return at once."""

    def __init__(
        self,
        api: KubernetesApi,
        *,
        instance: str,
        now: Callable[[], datetime],
        wait: Callable[[threading.Event, float], bool] = threading.Event.wait,
    ) -> None:
        """``instance``: the controller's name, for events."""
        self._api, self._instance, self._now, self._wait = api, instance, now, wait
        self._refs: dict[str, ResourceRef] = {}
        self._known: dict[str, ManagedModelStatus] = {}
        """What stands in the resource, as far as is known."""
        self._wanted: dict[str, ManagedModelStatus] = {}
        self._problems: dict[str, str] = {}
        """Of resources that are refused, though an earlier spec of them may be in force."""
        self._seen: dict[str, tuple[Standing, datetime]] = {}
        self._events: deque[tuple[ResourceRef, Told]] = deque(maxlen=EVENTS_KEPT)
        self._told: set[str] = set()
        self._said: dict[str, str] = {}
        self._lock, self._wake = threading.Lock(), threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="statuses", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def stop(self, *, timeout_s: float = 5.0) -> None:
        """Write what can be written within the time, and end."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def take_in(self, resources: Mapping[str, Resource]) -> None:
        """The resources as they are now; those that are refused are told so."""
        with self._lock:
            self._refs = {target: resource.ref for target, resource in resources.items()}
            self._known = {t: _status_in(resource.status) for t, resource in resources.items()}
            self._problems = {t: r.problem for t, r in resources.items() if r.model is None}
            for gone in self._wanted.keys() - self._refs.keys():
                del self._wanted[gone]
            for target in self._problems:
                self._refuse(target)
        self._wake.set()

    def report(self, standing: Standing) -> None:
        """What the controller knows of a target now; one without a resource is let be."""
        with self._lock:
            ref = self._refs.get(standing.target)
            if ref is None:
                return
            now = self._now()
            self._seen[standing.target] = (standing, now)
            status = self._status(standing, ref, now)
            self._want(standing.target, status)
            if status.last_incident is not None:
                self._note(ref, status.last_incident)
        self._wake.set()

    def flush(self) -> bool:
        """Write what waits; whether nothing is left. An API server that does not answer is not
        asked for the rest."""
        with self._lock:
            waiting = list(self._wanted.items())
        is_done = True
        try:
            for target, status in waiting:
                is_done &= self._tried(f"status of {target}", partial(self._put, target, status))
            while self._events:
                ref, told = self._events[0]
                self._tried(f"event on {ref.target}", partial(self._tell, ref, told))
                self._events.popleft()
        except (Unavailable, Uncertain) as error:
            self._say("statuses", str(error))
            return False
        return is_done

    def _refuse(self, target: str) -> None:
        """Say so; where an earlier spec is in force, with how the model is by that."""
        ref, now = self._refs[target], self._now()
        seen = self._seen.get(target)
        if seen is not None and now - seen[1] < FRESH:
            self._want(target, self._status(seen[0], ref, now))
            return
        before, generation = self._before(target), ref.generation
        problem = self._problems[target]
        self._want(target, refused_status(problem, before, generation=generation, now=now))

    def _status(self, standing: Standing, ref: ResourceRef, now: datetime) -> ManagedModelStatus:
        return status_of(
            standing,
            self._before(standing.target),
            generation=ref.generation,
            now=now,
            problem=self._problems.get(standing.target, ""),
        )

    def _before(self, target: str) -> ManagedModelStatus | None:
        return self._wanted.get(target) or self._known.get(target)

    def _want(self, target: str, status: ManagedModelStatus) -> None:
        if status == self._known.get(target):
            self._wanted.pop(target, None)
        else:
            self._wanted[target] = status

    def _put(self, target: str, status: ManagedModelStatus) -> None:
        with self._lock:
            ref = self._refs.get(target)
        if ref is not None:
            try:
                body = status.model_dump(mode="json", by_alias=True)
                self._api.patch_status(MANAGED_MODEL, ref.namespace, ref.name, body)
            except NotFound:
                log.info("status.target_gone", target=target)
        with self._lock:
            self._known[target] = status
            if self._wanted.get(target) == status:
                del self._wanted[target]

    def _note(self, ref: ResourceRef, incident: LastIncident) -> None:
        """The events that an incident's state calls for, each once."""
        for told in _news(incident, now=self._now()):
            if told.key not in self._told:
                self._told.add(told.key)
                self._events.append((ref, told))

    def _tell(self, ref: ResourceRef, told: Told) -> None:
        about = Regarding(kind=MANAGED_MODEL, namespace=ref.namespace, name=ref.name, uid=ref.uid)
        try:
            tell(self._api, about, told, instance=self._instance, now=self._now())
        except Invalid as error:  # a namespace that is going away takes none
            log.warning("event.dropped", target=ref.target, reason=str(error))

    def _tried(self, what: str, work: Callable[[], None]) -> bool:
        """Whether it was done; what is refused or invalid is said once. Raises Unavailable."""
        try:
            work()
        except (Refused, Invalid) as error:
            self._say(what, str(error))
            return False
        self._said.pop(what, None)
        return True

    def _say(self, what: str, reason: str) -> None:
        if self._said.get(what) != reason:
            log.warning("status.unwritten", what=what, reason=reason)
        self._said[what] = reason

    def _run(self) -> None:
        retry_s = FIRST_RETRY_S
        while not self._stopped:
            self._wait(self._wake, LAST_RETRY_S)
            self._wake.clear()
            if self.flush():
                retry_s = FIRST_RETRY_S
            elif not self._stopped:
                self._wait(self._wake, retry_s)
                retry_s = min(2 * retry_s, LAST_RETRY_S)
                self._wake.set()
        self.flush()


def _news(incident: LastIncident, *, now: datetime) -> list[Told]:
    found = []
    if _is_news(incident.opened_at, now):
        note = f"{incident.id}: {incident.summary}"
        found.append(_told(incident, "Warning", "IncidentOpened", "Diagnosing", note))
    if incident.closed_at is not None and _is_news(incident.closed_at, now):
        note = f"{incident.id}: {incident.outcome or incident.status}"
        if incident.status == "escalated":
            note += "; a person is needed, see `mendloop incidents`"
            found.append(_told(incident, "Warning", "IncidentEscalated", "Escalating", note))
        else:
            found.append(_told(incident, "Normal", "IncidentResolved", "Resolving", note))
    return found


def _told(incident: LastIncident, kind: Any, reason: str, action: str, note: str) -> Told:
    return Told(key=f"{incident.id}/{reason}", type=kind, reason=reason, action=action, note=note)


def _is_news(at: str, now: datetime) -> bool:
    return now - datetime.fromisoformat(at) < NEWS


def _status_in(body: Body) -> ManagedModelStatus:
    """What a resource says of itself; what nobody can read counts as nothing."""
    try:
        return ManagedModelStatus.model_validate(json.loads(json.dumps(body)))
    except ValidationError:
        return ManagedModelStatus()
