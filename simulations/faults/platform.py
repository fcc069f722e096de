"""Faults of the platform and of the people around it: readings, writes, aliases, controllers."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from simulations.faults.document import MomentFault
from tools.registry import CHALLENGER, CHAMPION

if TYPE_CHECKING:
    from simulations.site import Site

Role = Literal["champion", "challenger", "former"]


class MetricsBlackout(MomentFault):
    """No counter can be read."""

    kind: Literal["metrics_blackout"]

    def begin(self, site: Site) -> None:
        """Readings say why there are none."""
        site.world.metrics.dark = "the metrics store does not answer"

    def finish(self, site: Site) -> None:
        """Readings come again."""
        site.world.metrics.dark = ""


class MetricsGap(MomentFault):
    """The data plane restarts: its counters begin at 0 again, and nothing is wrong."""

    kind: Literal["metrics_gap"]

    def begin(self, site: Site) -> None:
        """A new epoch."""
        site.world.metrics.start_anew()


class PortOutage(MomentFault):
    """A part of the platform does not answer the operator; users are served as before."""

    kind: Literal["port_outage"]
    port: Literal["registry", "traffic", "workloads", "pipelines", "log", "journal"] = "registry"

    def begin(self, site: Site) -> None:
        """Every call of the port fails."""
        site.world.outages.add(self.port)

    def finish(self, site: Site) -> None:
        """It answers again."""
        site.world.outages.discard(self.port)


class WeightsStuck(MomentFault):
    """The route document is accepted and the data plane does not follow it."""

    kind: Literal["weights_stuck"]
    is_told: bool = True
    """Whether the platform says that it has not followed; otherwise it claims to have."""

    def begin(self, site: Site) -> None:
        """Freeze the data plane."""
        site.world.traffic.freeze(is_told=self.is_told)

    def finish(self, site: Site) -> None:
        """It follows again."""
        site.world.traffic.thaw()


class WeightsEdited(MomentFault):
    """Somebody else writes the weights."""

    kind: Literal["weights_edited"]
    challenger_percent: int = Field(default=40, ge=0, le=100)
    """What the challenger gets; where there is none, the newest version with a server."""

    def begin(self, site: Site) -> None:
        """Write them past the operator."""
        site.edit_weights(self.challenger_percent)


class AliasMoved(MomentFault):
    """Somebody moves an alias by hand."""

    kind: Literal["alias_moved"]
    alias: Literal["champion", "challenger"] = "champion"
    to: Literal["newest", "first", "nothing"] = "newest"

    def begin(self, site: Site) -> None:
        """Move it in the registry; the route stays."""
        alias = CHAMPION if self.alias == "champion" else CHALLENGER
        site.move_alias(alias, self.to)


class ServerCrash(MomentFault):
    """The server of a version goes down; with ``for_good`` it does not start again."""

    kind: Literal["server_crash"]
    role: Role = "champion"
    for_good: bool = False

    def begin(self, site: Site) -> None:
        """Crash it."""
        site.crash(self.role, for_good=self.for_good)

    def finish(self, site: Site) -> None:
        """What kept it from starting is gone."""
        site.mend(self.role)


class ControllerCrash(MomentFault):
    """The operator dies right before or after its next call of this name, and comes back later."""

    kind: Literal["controller_crash"]
    is_latent: ClassVar[bool] = True
    at: str = Field(default="traffic.patch:after", pattern=r"^[a-z_]+\.[a-z_]+:(before|after)$")
    """Such as ``traffic.patch:after`` (changed, not recorded) or ``journal.append:before``."""

    def begin(self, site: Site) -> None:
        """Lie in wait for the call."""
        site.world.crash_at = self.at

    def finish(self, site: Site) -> None:
        """Wait no longer."""
        site.world.crash_at = ""


class Freeze(MomentFault):
    """People stop every change: a freeze begins, whatever is under way."""

    kind: Literal["freeze"]

    def begin(self, site: Site) -> None:
        """Throw the switch."""
        site.world.kill_switch.touch()

    def finish(self, site: Site) -> None:
        """Allow changes again."""
        site.world.kill_switch.unlink(missing_ok=True)


class DuplicateTriggers(MomentFault):
    """An alert storm: the operator is woken over and over within the same moment."""

    kind: Literal["duplicate_triggers"]
    is_latent: ClassVar[bool] = True
    times: int = Field(default=10, ge=2, le=1000)

    def begin(self, site: Site) -> None:
        """From the next look on."""
        site.world.wakings = self.times

    def finish(self, site: Site) -> None:
        """One look at a time."""
        site.world.wakings = 1
