"""Faults of training: runs that fail, hang, are preempted, or make the wrong thing."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from simulations.faults.document import MomentFault

if TYPE_CHECKING:
    from simulations.site import Site

Mode = Literal["fails", "hangs", "preempted", "stale_cache", "worse", "worse_unseen"]


class TrainingFault(MomentFault):
    """The next runs go wrong: they fail, hang, lose their machine, answer from a stale cache, or
    fit a worse model (``worse_unseen``: the gate sees the same wrong labels and passes it)."""

    kind: Literal["training_fault"]
    is_latent: ClassVar[bool] = True
    mode: Mode = "fails"
    times: int = Field(default=1, ge=1)
    """How many runs, from the next one on."""

    def begin(self, site: Site) -> None:
        """Queue it for the next runs."""
        site.workshop.troubles += [self.mode] * self.times

    def finish(self, site: Site) -> None:
        """Runs that did not happen yet go well again."""
        site.workshop.troubles.clear()


class BrokenArtifacts(MomentFault):
    """Artifacts that are made from now on are missing, were changed, or do not load."""

    kind: Literal["broken_artifacts"]
    is_latent: ClassVar[bool] = True
    how: Literal["missing", "changed", "does_not_load"] = "does_not_load"

    def begin(self, site: Site) -> None:
        """From the next version on."""
        site.workshop.breaks = self.how

    def finish(self, site: Site) -> None:
        """Versions that are made from now on are whole."""
        site.workshop.breaks = ""


class Release(MomentFault):
    """Somebody else registers a challenger; the gates that it claims to have passed say nothing."""

    kind: Literal["release"]
    quality: Literal["good", "worse", "random"] = "good"
    errors: float = Field(default=0.002, ge=0, le=1)
    slow: float = Field(default=0.004, ge=0, le=1)
    north_offset: float = 0.0
    """Added to the log odds in depot north: a regression of one slice."""

    def begin(self, site: Site) -> None:
        """Fit it on the history and give it the challenger alias."""
        site.workshop.submit_challenger(
            quality=self.quality, errors=self.errors, slow=self.slow, north_offset=self.north_offset
        )
