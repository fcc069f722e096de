"""What will happen in a generated world and when: faults that begin and end, runs that are lost."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from simulations.faults.document import FaultDocument, MomentFault, Trigger

if TYPE_CHECKING:
    from simulations.scenario import Scenario
    from simulations.site import Site


class Schedule:
    """The faults of one world in their order of time; ``now_s`` is asked for the time."""

    def __init__(self, scenario: Scenario, now_s: Callable[[], float]) -> None:
        self.began_s: float | None = None
        """When what is to be found began."""
        self.told: list[tuple[float, str, str]] = []
        """The truth as a story: when, on which model, what."""
        self._scenario, self._now_s = scenario, now_s
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._waiting: list[tuple[FaultDocument, str]] = []
        self._order = itertools.count()

    def begin(self, sites: list[Site]) -> None:
        """Take up every fault of the scenario."""
        for fault in self._scenario.spec.faults:
            for site in sites:
                if not fault.hits(site.name):
                    continue
                if fault.on == "start":
                    self._trigger(fault, site)
                else:
                    self._waiting.append((fault, site.name))

    def later(self, at_s: float, happen: Callable[[], None]) -> None:
        """Let the world do something at a moment."""
        heapq.heappush(self._due, (at_s, next(self._order), happen))

    def until(self, until_s: float) -> Iterator[tuple[float, Callable[[], None]]]:
        """What happens up to a moment, one after the other; more may join meanwhile."""
        while self._due and self._due[0][0] <= until_s:
            at_s, _, happen = heapq.heappop(self._due)
            yield at_s, happen

    def happened(self, event: Trigger, site: Site) -> None:
        """An operator did something: faults that wait for it begin to count."""
        left: list[tuple[FaultDocument, str]] = []
        for fault, target in self._waiting:
            is_meant = fault.on == event and target == site.name
            if is_meant:
                self._trigger(fault, site)
            if not is_meant or fault.each_time:
                left.append((fault, target))
        self._waiting = left

    def _trigger(self, fault: FaultDocument, site: Site) -> None:
        origin_s = self._now_s()
        onset_s = origin_s + fault.onset.total_seconds()
        self._note_beginning(fault, onset_s)
        site.trigger(fault, origin_s)
        self.told.append((onset_s, site.name, f"{fault.name} begins"))
        # Time stops there in any case: a stretch of it lies before a fault or under it.
        begin, finish = _moments(fault, site)
        self.later(onset_s, begin)
        if fault.end is not None:
            end_s = origin_s + fault.end.total_seconds()
            self.told.append((end_s, site.name, f"{fault.name} is over"))
            self.later(end_s, finish)

    def _note_beginning(self, fault: FaultDocument, onset_s: float) -> None:
        """The first fault that is no trap begins what is to be found; the truth may say else."""
        told = self._scenario.spec.truth.begins
        if told is not None:
            self.began_s = told.total_seconds()
        elif not _is_latent(fault) or all(map(_is_latent, self._scenario.spec.faults)):
            self.began_s = onset_s if self.began_s is None else min(self.began_s, onset_s)


def _moments(fault: FaultDocument, site: Site) -> tuple[Callable[[], None], Callable[[], None]]:
    """What the world does at the onset, and at the end."""
    if isinstance(fault, MomentFault):
        return partial(fault.begin, site), partial(fault.finish, site)
    return _nothing, _nothing


def _is_latent(fault: FaultDocument) -> bool:
    return isinstance(fault, MomentFault) and fault.is_latent


def _nothing() -> None:
    """Time only has to stop here."""
