"""A baseline as the operator of a generated world: one per target, at the target's own desk."""

from __future__ import annotations

from simulations.baselines.operator import MakeOperator
from simulations.baselines.operator import Operator as TargetOperator
from simulations.crashes import Killed
from simulations.fleet import FleetWorld
from simulations.operator import Claim
from simulations.site import Site


class BaselineOperator:
    """Implements Operator for anything that looks after one target by plain means."""

    is_announced = False

    def __init__(self, make: MakeOperator) -> None:
        self._make = make

    def start(self, world: FleetWorld) -> None:
        """See Operator."""
        self._world = world
        self._at_work = {site.name: self._place(site) for site in world.sites}

    def tick(self) -> bool:
        """See Operator."""
        self._world.is_moved = False
        for site in self._world.sites:
            try:
                self._at_work[site.name].tick()
            except Killed:  # its successor begins with nothing but what the world shows
                self._at_work[site.name] = self._place(site)
        return self._world.is_moved

    def stop(self) -> None:
        """See Operator."""

    def claims(self) -> list[Claim]:
        """See Operator; who says nothing is taken to have found something when it first acts."""
        return [
            Claim(at_s=deed.at_s, target=site.name, what="detected")
            for site in self._world.sites
            for deed in site.deeds
        ]

    def _place(self, site: Site) -> TargetOperator:
        return self._make(site.document, self._world.desk(site))
